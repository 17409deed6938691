"""Halts and limits at a terminal. Each is a call of ExecutionStrategyAdmin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli_files import read_json
from service.cli_options import Address, AsJson, Required, TokenFile
from service.help_texts import examples

if TYPE_CHECKING:
    from service.settings import Settings

EX_REFUSED = 1
# A halt waits for other hosts.
CALL_S = 10.0


class Scope(StrEnum):
    """What a halt stops."""

    FIRM = "FIRM"
    INSTRUMENT = "INSTRUMENT"
    STRATEGY = "STRATEGY"
    GATEWAY = "GATEWAY"


# A call of ExecutionStrategyAdmin by name, fields, address and token file; what refuses ends the command.
Ask = Callable[[str, dict[str, object], str | None, Path | None], dict[str, Any]]


def add_to(app: typer.Typer, settings_or_exit: Callable[[Path | None], Settings]) -> None:
    """The commands, under the command line's root."""

    def ask(
        name: str, fields: dict[str, object], address: str | None, token_file: Path | None
    ) -> dict[str, Any]:
        from service.client import connect

        with connect(settings_or_exit(token_file), address) as client:
            answer = client.administer(name, fields, CALL_S)
        if answer.response is None:
            print(f"ess: {answer.code}: {answer.message}", file=sys.stderr)
            raise typer.Exit(EX_REFUSED)
        return answer.response

    _add_halt(app, ask)
    _add_resume(app, ask)
    _add_controls(app, ask)
    _add_limits(app, ask)


def _add_halt(app: typer.Typer, ask: Ask) -> None:
    @app.command(epilog=examples("halt"))
    def halt(
        scope: Annotated[Scope, typer.Argument(help="What to stop.")],
        reason: Required,
        subject: Annotated[str, typer.Argument(help="Which one; nothing for FIRM.")] = "",
        address: Address = None,
        token_file: TokenFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Stop new decisions at every worker of every host. The answer names hosts that have not confirmed yet."""
        found = ask("Halt", {"scope": scope.value, "subject": subject, "reason": reason}, address, token_file)
        columns = ("host_id", "confirmed", "lease_expires_at")
        show(found, as_json, f"halted: {found['halt_id']}", found["hosts"], columns)


def _add_resume(app: typer.Typer, ask: Ask) -> None:
    @app.command(epilog=examples("resume"))
    def resume(
        halt_id: Annotated[str, typer.Argument(help="UUID of the halt; `ess controls` lists them.")],
        reason: Required,
        address: Address = None,
        token_file: TokenFile = None,
        as_json: AsJson = False,
    ) -> None:
        """End a halt. Needs the role risk."""
        found = ask("Resume", {"halt_id": halt_id, "reason": reason}, address, token_file)
        show(found, as_json, f"resumed: {found['halt_id']}", found["hosts"], ("host_id", "confirmed"))


def _add_controls(app: typer.Typer, ask: Ask) -> None:
    @app.command(epilog=examples("controls"))
    def controls(address: Address = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
        """List halts and limits in force."""
        found = ask("ListControls", {}, address, token_file)
        halts = found["halts"]
        show(found, as_json, f"{len(halts)} halts, {len(found['limits'])} limits in force", halts,
             ("halt_id", "scope", "subject", "reason", "actor", "created_at"))  # fmt: skip
        if not as_json and found["limits"]:
            print(json.dumps(found["limits"], indent=2))


def _add_limits(app: typer.Typer, ask: Ask) -> None:
    @app.command(epilog=examples("limits"))
    def limits(
        file: Annotated[Path, typer.Argument(help="JSON: a list of HardLimits; - for stdin.")],
        reason: Required,
        address: Address = None,
        token_file: TokenFile = None,
        as_json: AsJson = False,
    ) -> None:
        """Replace the hard limits of every subject in a file. Needs the role risk."""
        try:
            given = read_json(file)
        except ValueError as error:
            print(f"ess: {file} cannot be read as JSON: {error}", file=sys.stderr)
            raise typer.Exit(EX_REFUSED) from None
        found = ask("SetLimits", {"limits": given, "reason": reason}, address, token_file)
        show(found, as_json, f"{len(found['limits'])} limits in force", found["hosts"], ("host_id", "confirmed"))


def show(found: dict[str, Any], as_json: bool, said: str, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """The whole answer as JSON, or a sentence and a table."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if said:
        print(said)
    if rows:
        table = Table(header_style="bold")
        for name in names:  # folded, not cut: an id is there to be copied
            table.add_column(name.replace("_", " "), overflow="fold", no_wrap=False)
        for row in rows:
            table.add_row(*(Text(str(row.get(name, ""))) for name in names))
        Console().print(table)
