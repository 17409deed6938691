"""`--help` that teaches: every command ends with examples, and each is one that the command line takes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from service.cli import OFFLINE_COMMANDS, app
from service.help_texts import EXAMPLES, examples
from service.settings import Settings
from tests.helpers.command_line import ess
from tests.helpers.running_host import REPOSITORY
from tests.helpers.urls import url_of

LINES = [(command, line) for command, lines in EXAMPLES.items() for line, _ in lines]


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by its words, groups opened."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        words = f"{before} {name}".strip()
        found |= commands(command, words) if hasattr(command, "commands") else {words: command}
    return found


COMMANDS = commands(typer.main.get_command(app))


def test_every_command_has_examples() -> None:
    assert set(EXAMPLES) == set(COMMANDS) - {name for name, _ in OFFLINE_COMMANDS}


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_shows_them(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    assert COMMANDS[command].epilog == examples(command)
    # Typer takes the width of a dumb terminal for 80 where PY_COLORS or a CI says that there is one: lines may wrap.
    said = " ".join(shown.output.split())
    for line, what in EXAMPLES[command]:
        assert line in said
        assert what in said


@pytest.mark.parametrize(("command", "line"), LINES)
def test_the_command_line_takes_each_example(command: str, line: str) -> None:
    """Parsed and not run: names of commands, options and their values."""
    words = shlex.split(line.rpartition("| ")[2])
    while "=" in words[0]:
        name = words.pop(0).partition("=")[0]
        assert name.removeprefix("ESS_").lower() in Settings.model_fields
    called = command.split()
    assert words[: 1 + len(called)] == ["ess", *called]
    COMMANDS[command].make_context("ess", words[1 + len(called) :])


def test_an_example_that_is_none_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        COMMANDS["report"].make_context("ess", ["--form", "2025-06-01"])


def complete(words: list[str], folder: Path) -> list[str]:
    """What a real bash offers for the last word."""
    wrapper = folder / "ess"
    wrapper.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c \'from service.cli import app; app(prog_name="ess")\' "$@"\n'
    )
    wrapper.chmod(0o755)
    program = (
        'eval "$(ess completion bash)"; '
        f'COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _ess_completion ess; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    paths = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'generated'}"}
    done = subprocess.run(
        ["bash", "-c", program], env={**os.environ, **paths}, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    assert complete(["ess", "re"], tmp_path) == ["recommend", "replay", "retention", "report", "resume"]
    assert complete(["ess", "report", "--al"], tmp_path) == ["--algorithm"]
    assert complete(["ess", "audit", ""], tmp_path) == ["verify", "heads"]


@pytest.mark.parametrize(("shell", "words"), [("zsh", "#compdef ess"), ("fish", "complete --command ess")])
def test_scripts_for_other_shells(shell: str, words: str) -> None:
    done = ess("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout


def test_an_unknown_shell_is_refused() -> None:
    assert ess("completion", "cmd").returncode == 2


def test_settings_migrate_and_retention_speak_json(empty_database: str) -> None:
    rows = json.loads(ess("settings", "--json").stdout)
    assert {row["variable"] for row in rows} == {f"ESS_{name.upper()}" for name in Settings.model_fields}
    assert next(row for row in rows if row["variable"] == "ESS_WORKERS")["default"] == "1"
    url = url_of(empty_database)
    applied = json.loads(ess("migrate", "--json", ESS_DATABASE_URL=url).stdout)["applied"]
    assert [row["version"] for row in applied] == list(range(1, len(applied) + 1))
    assert json.loads(ess("migrate", "--json", ESS_DATABASE_URL=url).stdout) == {"applied": []}
    done = ess("retention", "--json", "--dry-run", ESS_DATABASE_URL=url)
    nothing: dict[str, object] = {name: [] for name in ("weeks", "held_back", "archived", "dropped", "not_dropped")}
    assert json.loads(done.stdout) == {"dry_run": True} | nothing
