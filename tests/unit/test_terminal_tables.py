"""What `ess` prints at a narrow terminal, or into a pipe, is whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from service.artifact_commands import print_artifacts
from service.tables import print_replay

WIDTH = 80


def columns(text: str) -> list[str]:
    """Of each column of the table everything that stands in it, across lines."""
    rows = [line.strip("│").split("│") for line in text.splitlines() if line.startswith("│")]
    return ["".join(cell.strip() for cell in column) for column in zip(*rows, strict=True)]


def test_the_fields_that_a_replay_names_are_not_cut() -> None:
    fields = (
        "recommended_strategy.parameters.participation_rate", "recommended_strategy.time_allocation.slices[3].quantity",
    )
    differences = [{"field": field, "recorded": "0.02158216421182549", "replayed": "0.04"} for field in fields]
    answer = {"verdict": "ENGINE_CHANGED", "recorded": {"order_id": "a"}, "differences": differences}
    out = io.StringIO()
    print_replay(Console(file=out, width=WIDTH), "5f3c1f5e-8a0e-4b5c-9f6e-2f1f6f0c9d11", answer)
    assert columns(out.getvalue())[0] == "".join(fields)
    assert "…" not in out.getvalue()


def test_why_an_artifact_is_unfit_is_not_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    reason = "/srv/models[/b]/forest.onnx: the hash is 3f2a9c01d7aa, not what the manifest says"
    unfit = {
        "manifest_sha256": "ab" * 32, "kind": "models", "created_at": "2026-11-26T20:11:12Z",
        "origin": "training.command", "active": False, "shadow": False, "unfit_reason": reason,
        "shadow_same_choice": "0", "shadow_scores": "0",
    }  # fmt: skip
    worker = {"host_id": "h", "worker_index": 0, "manifest_sha256": "", "reason": "[/] cannot be read"}
    print_artifacts({"artifacts": [unfit], "workers": [worker]})
    told = capsys.readouterr().out
    hash_, _, built, by, state, _ = columns(told)
    assert (hash_, built, by) == ("ab" * 6, "2026-11-26T20:11:12", "training.command")
    assert state.replace(" ", "") == reason.replace(" ", "")
    assert "h/0 decides from no models [/] cannot be read" in told
