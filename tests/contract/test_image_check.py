"""What `make check-image` reads: the Dockerfile, the build context, this machine's pip. Nothing is built here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.image.__main__ import faults_of_run
from tests.image.build import Builder, installer
from tests.image.dockerfile import ROOT, Instruction, context_files, filled_in, instructions, pairs_of

HELD = {"refused_without_tls": True, "compiled_anew": [], "stored": True, "exit_status": 0}


def test_steps_are_read_with_their_stage_and_continued_lines() -> None:
    text = "ARG A=1\n# no\nFROM base AS one\nRUN a \\\n    # between\n    && b\nCOPY x y\n"
    assert instructions(text) == [
        Instruction("", "ARG", "A=1"), Instruction("one", "FROM", "base AS one"), Instruction("one", "RUN", "a && b"),
        Instruction("one", "COPY", "x y"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="goes on after its end"):
        instructions("FROM base\nRUN a \\\n")


def test_variables_are_filled_in_and_one_that_nobody_declared_is_a_mistake() -> None:
    assert pairs_of('A=1 B="" C="two words"') == {"A": "1", "B": "", "C": "two words"}
    assert filled_in("${A}/$B", {"A": "x", "B": "y"}) == "x/y"
    with pytest.raises(ValueError, match="TYPO"):
        filled_in("${TYPO}", {"A": "x"})


def test_the_context_holds_sources_and_neither_compiled_code_nor_tests() -> None:
    files = {path.as_posix() for path in context_files("service")}
    assert "service/cli.py" in files
    assert not any("__pycache__" in path for path in files)
    assert list(context_files("tests")) == []
    assert list(context_files("README.md")) == [Path("README.md")]


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        (Instruction("final", "ONBUILD", "RUN x"), "ONBUILD"), (Instruction("", "RUN", "x"), "before the first FROM"),
        (Instruction("final", "COPY", "no-such-folder here"), "nothing of it is in the build context"),
        (Instruction("final", "COPY", "tests here"), "nothing of it is in the build context"),
    ],
)  # fmt: skip
def test_a_step_that_docker_would_refuse_or_that_is_not_known_ends_the_check(
    tmp_path: Path, step: Instruction, wrong: str
) -> None:
    (tmp_path / "base" / "etc").mkdir(parents=True)
    builder = Builder(tmp_path / "base", tmp_path, installer(""), lambda _: None)
    with pytest.raises(ValueError, match=wrong):
        builder.run([Instruction("final", "FROM", "base AS final"), step])


def test_copies_land_where_docker_puts_them(tmp_path: Path) -> None:
    (tmp_path / "base" / "etc").mkdir(parents=True)
    text = (
        "FROM base AS one\nWORKDIR /src\nCOPY requirements/runtime.lock requirements/runtime.lock\n"
        "COPY pyproject.toml README.md ./\nCOPY reports reports\nFROM base AS two\nCOPY --from=one /src /opt/x\n"
    )
    last = Builder(tmp_path / "base", tmp_path, installer(""), lambda _: None).run(instructions(text))
    place = last.root / "opt" / "x"
    for name in ("requirements/runtime.lock", "pyproject.toml", "README.md", "reports/__init__.py"):
        assert (place / name).read_bytes() == (ROOT / name).read_bytes()
        assert (place / name).stat().st_mtime_ns % 1_000_000_000 == 0


def test_pip_is_asked_as_this_machine_asks_it(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "pages" / "simple").mkdir(parents=True)
    listed = (
        f":env:.find-links='{tmp_path}/wheels'\nglobal.find-links='/nowhere'\n"
        f"global.extra-index-url='file://{tmp_path}/pages/simple'\nglobal.timeout='60'\n"
    )
    found = installer(listed)
    assert found.variables == {
        "PIP_FIND_LINKS": f"{tmp_path}/wheels", "PIP_EXTRA_INDEX_URL": f"file://{tmp_path}/pages/simple",
        "PIP_TIMEOUT": "60",
    }  # fmt: skip
    assert found.folders == (f"{tmp_path}/pages", f"{tmp_path}/wheels")


@pytest.mark.parametrize(
    ("name", "value"),
    [("refused_without_tls", False), ("compiled_anew", ["decide"]), ("stored", False), ("exit_status", 1)],
)
def test_whatever_does_not_hold_is_a_fault(name: str, value: object) -> None:
    assert faults_of_run(HELD) == []
    assert faults_of_run(HELD | {name: value}) == [f"{name} is {value!r}"]
