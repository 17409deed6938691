"""`ess`: the service and its tools at a terminal.

Light at the top: spawned processes import their parent's main module again, and the supervisor must never load gRPC.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import learning_cli, operator_cli
from service.cli_app import CommandError, CommandLine
from service.cli_files import read_orders
from service.cli_options import Address, AsJson, Required, TokenFile
from service.help_texts import examples

if TYPE_CHECKING:
    from service.client import Answer, ServiceClient
    from service.settings import Settings

EX_CONFIG = 78
EX_UNAVAILABLE = 69
EX_REFUSED = 1
EX_DIFFERENT, EX_NO_REPLAY = 1, 2
# Steps of training: the service runs without their code, so they are found by name when they are asked for.
COMMAND_GROUP = "execution_strategy.commands"
OFFLINE_COMMANDS = (
    ("calibrate", "Measure a folder of market data (--data DIR), and hold the simulated market against it."),
    ("train", "Train the models from simulated orders."),
)

app = CommandLine(
    no_args_is_help=True, pretty_exceptions_enable=False,
    help="Which execution algorithm to run for a parent order, at what expected cost, how sure, and why.",
)


def settings_or_exit(token_file: Path | None = None) -> Settings:
    """The settings, or every fault in them on stderr and exit code 78. `token_file`: what an option said instead."""
    from service.settings_load import SettingsError, load_settings

    try:
        found = load_settings(os.environ)
    except SettingsError as error:
        print(f"ess: {error}", file=sys.stderr)
        raise typer.Exit(EX_CONFIG) from None
    return found if token_file is None else found.model_copy(update={"token_file": token_file})


@app.command(epilog=examples("serve"))
def serve() -> None:
    """Run the service until SIGTERM. ESS_* variables configure it (`ess settings` lists them)."""
    from service.plan import run

    raise typer.Exit(run(settings_or_exit()))


@app.command(epilog=examples("settings"))
def settings(as_json: AsJson = False) -> None:
    """List every setting with its default."""
    from service.settings_table import configuration_rows, configuration_table

    print(json.dumps(configuration_rows(), indent=2) if as_json else configuration_table())


@app.command(epilog=examples("recommend"))
def recommend(
    file: Annotated[Path, typer.Argument(help="JSON in the contract's field names: one order or a list; - for stdin.")],
    address: Address = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option(help="Only the table, no rationale.")] = False,
) -> None:
    """Ask for a strategy for one or many orders. Exit code 1 if any was refused."""
    from rich.console import Console

    from service.client import connect
    from service.tables import decisions_table, print_answer

    orders = read_orders(file)
    with connect(settings_or_exit(token_file), address) as client:
        answers = decided(client, orders)
    if as_json:
        print(json.dumps([answer_json(answer) for answer in answers], indent=2))
    else:
        console = Console()
        console.print(decisions_table(answers, console.width))
        for answer in answers if not quiet else ():
            print_answer(console, answer)
    if any(answer.response is None for answer in answers):
        raise typer.Exit(EX_REFUSED)


def decided(client: ServiceClient, orders: list[dict[str, Any]]) -> list[Answer]:
    """One after the other, as a person waits for them."""
    from service.progress import bar

    answers = []
    with bar("deciding", len(orders)) as advance:
        for order in orders:
            answers.append(client.recommend(order))
            advance(1, "deciding")
    return answers


def answer_json(answer: Any) -> dict[str, Any]:
    """An answer, or the refusal with its violations."""
    if answer.response is not None:
        return dict(answer.response)
    violations = [{"field": field, "description": text} for field, text in answer.violations]
    return {
        "order_id": answer.request.get("order_id"),
        "error": {"code": answer.code, "message": answer.message, "violations": violations},
    }


def archive_hint(code: str) -> str:
    """Where else a record may be that the service does not find."""
    if code != "NOT_FOUND":
        return ""
    return (
        "\n     What `ess retention` took away is in the archive that it wrote: `retired_partitions` has the files of"
        " each week, and docs/operations-records.md says how they are read"
    )


@app.command(epilog=examples("status"))
def status(
    order: str, address: Address = None, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Where an order stands."""
    from rich.console import Console
    from rich.markup import escape

    from service.client import connect
    from service.tables import print_answer

    with connect(settings_or_exit(token_file), address) as client:
        answer = client.status(order)
    if answer.response is None:
        print(f"ess: {answer.code}: {answer.message}{archive_hint(answer.code)}", file=sys.stderr)
        raise typer.Exit(EX_REFUSED)
    if as_json:
        print(json.dumps(answer.response, indent=2))
        return
    found: dict[str, Any] = answer.response
    console = Console()
    progress = found["progress"]
    console.print(
        f"[bold]{escape(order)}[/bold] {found['state']}, selected {found['selected_at']}; filled "
        f"{progress['filled_quantity']:,.0f} of {progress['parent_quantity']:,.0f}, "
        f"{found['scheduled_fraction']:.0%} scheduled by now"
    )
    from service.client import Answer

    print_answer(console, Answer({"order_id": order}, found["current"]))


@app.command(epilog=examples("replay"))
def replay(
    selection: Annotated[str, typer.Argument(help="UUID of a decision or an advice (a selection_id).")],
    address: Address = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a recorded decision or advice again and compare. Exit code 0: the same; 1: other; 2: it cannot be made."""
    from rich.console import Console

    from service.client import connect
    from service.tables import is_same_decision, print_replay

    with connect(settings_or_exit(token_file), address) as client:
        answer = client.replay(selection)
    if answer.response is None:
        print(f"ess: {answer.code}: {answer.message}{archive_hint(answer.code)}", file=sys.stderr)
        raise typer.Exit(EX_NO_REPLAY)
    if as_json:
        print(json.dumps(answer.response, indent=2))
    else:
        print_replay(Console(), selection, answer.response)
    raise typer.Exit(0 if is_same_decision(answer.response) else EX_DIFFERENT)


@app.command(epilog=examples("catalogue"))
def catalogue(as_json: AsJson = False) -> None:
    """List the algorithms with their parameter ranges and FIX mapping."""
    from rich.console import Console
    from rich.table import Table

    from engine.catalogue import CATALOGUE, algorithm_mapping_json, parameter_ranges_json

    if as_json:
        rows = [
            {
                "strategy_name": spec.strategy_name, "strategy_type": spec.strategy_type,
                "algorithm_mapping": algorithm_mapping_json(spec), "parameter_ranges": parameter_ranges_json(spec),
            }
            for spec in CATALOGUE
        ]
        print(json.dumps(rows, indent=2))
        return
    table = Table("algorithm", "type", "FIX 847", "parameters", "what it does")
    for spec in CATALOGUE:
        ranges = "\n".join(f"{name} {min(r.values):g} to {max(r.values):g} {r.unit}" for name, r in spec.ranges.items())
        table.add_row(spec.name, spec.strategy_type, str(spec.fix_target_strategy), ranges, spec.description)
    Console().print(table)


@app.command("atdl", epilog=examples("atdl"))
def atdl_command(
    out: Annotated[Path | None, typer.Option(help="File to write. Default: stdout.", show_default=False)] = None,
    version: Annotated[str, typer.Option(help="The strategies' version in the file.")] = "1",
) -> None:
    """Write the catalogue as FIXatdl 1.1: strategies, parameters, order ticket, rules."""
    from service.atdl import atdl

    document = atdl(version=version)
    if out is None:
        print(document, end="")
        return
    try:
        out.write_text(document, encoding="utf-8")
    except OSError as error:
        print(f"ess: {out} cannot be written: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


@app.command(epilog=examples("migrate"))
def migrate(as_json: AsJson = False) -> None:
    """Bring the database's tables up to date, and say what was done."""
    from service.plan import migrate_database

    raise typer.Exit(migrate_database(settings_or_exit(), as_json))


audit = typer.Typer(no_args_is_help=True, help="Check the records in PostgreSQL against their chains of hashes.")
app.add_typer(audit, name="audit")


@audit.command("verify", epilog=examples("audit verify"))
def audit_verify(
    heads: Annotated[
        Path | None, typer.Option(help="Heads kept elsewhere, a JSON object a line, as `ess audit heads` gives them.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Folder that `ess retention` exported to: what it took away is looked at too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find every edited, missing, moved, cut-off or forged row. Exit code 1 if there is one."""
    from service.progress import bar
    from service.records_commands import verify

    with bar("walking the chains", None):
        code = verify(settings_or_exit(), heads, archive, as_json)
    raise typer.Exit(code)


@audit.command("heads", epilog=examples("audit heads"))
def audit_heads() -> None:
    """Print the head of every journal that the database holds, to be kept elsewhere."""
    from service.records_commands import print_heads

    raise typer.Exit(print_heads(settings_or_exit()))


@app.command(epilog=examples("retention"))
def retention(
    keep_weeks: Annotated[int, typer.Option(min=1, help="Whole weeks before this one that stay.")] = 60,
    archive: Annotated[Path | None, typer.Option(help="Folder that rows are exported to before they go.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Only say what would go.")] = False,
    drop: Annotated[bool, typer.Option(help="Drop what was detached and is in an archive.")] = False,
    as_json: AsJson = False,
) -> None:
    """Detach old weeks, as the owner of the tables, keeping what an audit needs to know of them."""
    from service.progress import bar
    from service.records_commands import retention as run
    from store.retention import RetentionPlan

    with bar("checking, then taking away", None):
        code = run(settings_or_exit(), RetentionPlan(keep_weeks, archive, dry_run, drop), as_json)
    raise typer.Exit(code)


artifacts = typer.Typer(no_args_is_help=True, help="Models in force: list, activate and roll back while services run.")
app.add_typer(artifacts, name="artifacts")


@artifacts.command("list", epilog=examples("artifacts list"))
def artifacts_list(address: Address = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """What this host has, what is active or in shadow, and what every worker decides from."""
    from service.artifact_commands import show

    raise typer.Exit(show(settings_or_exit(token_file), address, as_json))


@artifacts.command("activate", epilog=examples("artifacts activate"))
def artifacts_activate(
    which: Annotated[str, typer.Argument(help="Hash of a manifest, its first digits, or a folder of this host.")],
    reason: Required,
    shadow: Annotated[bool, typer.Option(help="Only score beside what is active.")] = False,
    address: Address = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Put models in force at every worker of every live host, or nowhere. Exit code 1: nothing was changed."""
    from service.artifact_commands import activate as run

    raise typer.Exit(run(settings_or_exit(token_file), address, which, reason, shadow, as_json))


@artifacts.command("rollback", epilog=examples("artifacts rollback"))
def artifacts_rollback(
    reason: Required, address: Address = None, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Back to the models from before the last activation, everywhere."""
    from service.artifact_commands import rollback as run

    raise typer.Exit(run(settings_or_exit(token_file), address, reason, as_json))


@app.command(epilog=examples("report"))
def report(
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD, UTC.", show_default=False)],
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD, UTC; included.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder that the files go to; it is made.", show_default=False)],
    algorithm: Annotated[str, typer.Option(help="One algorithm, e.g. VWAP. Default: all.", show_default=False)] = "",
    parquet: Annotated[bool, typer.Option(help="Write Parquet beside CSV (extra `report`).")] = True,
    as_json: AsJson = False,
) -> None:
    """Write how strategies did as a page with pictures (report.html), CSV and Parquet, from the database."""
    from service.progress import steps
    from service.report_command import STEPS, ReportPlan, run

    plan = ReportPlan(first, last, out, algorithm, parquet)
    with steps(STEPS) as on_step:
        code = run(settings_or_exit(), plan, as_json, on_step)
    raise typer.Exit(code)


@app.command(epilog=examples("health"))
def health(address: Address = None) -> None:
    """Exit 0 if the service answers SERVING, else 1 (for container health checks)."""
    import asyncio

    from service.data_dir import running_address
    from service.http.dial import dial_of
    from service.http.health import check_health
    from service.ports import AddressError
    from service.tls import TlsError

    settings_now = settings_or_exit()
    target = address or running_address(settings_now.data_dir) or settings_now.grpc_address
    try:
        found = dict(asyncio.run(check_health(target, dial_of(settings_now, is_from_afar=True))))
    except (TlsError, AddressError) as error:
        raise CommandError(f"{target}: {error}", EX_CONFIG) from error
    print(json.dumps(found))
    raise typer.Exit(0 if set(found.values()) == {"SERVING"} else 1)


@app.command(epilog=examples("demo"))
def demo(keep: Annotated[bool, typer.Option(help="Keep the data folder of the demo.")] = False) -> None:
    """Start a service of its own on free ports, send real-looking orders, show decisions and stored rows."""
    from service.demo import run_demo

    raise typer.Exit(run_demo(keep=keep))


class Shell(StrEnum):
    """Those that completion is written for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command(epilog=examples("completion"))
def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print the script that completes commands and options at a shell's prompt."""
    # The protocol that the script itself speaks; Typer answers it and ends the process.
    os.environ["_ESS_COMPLETE"] = f"source_{shell.value}"
    app(args=[], prog_name="ess")


def run_offline(name: str, arguments: list[str]) -> int:
    """The command of the entry point of this name, with its own options; says what is missing where it cannot load."""
    from importlib.metadata import entry_points

    found = [entry for entry in entry_points(group=COMMAND_GROUP) if entry.name == name]
    try:
        if not found:
            raise ImportError(f"no entry point {name} in the group {COMMAND_GROUP}; install this version again")
        command = found[0].load()
    except ImportError as error:
        if error.name is not None and error.name.startswith("training"):
            print(f"ess {name}: not in this installation ({error})", file=sys.stderr)
        else:
            wanted = "pip install 'execution-strategy-service[train]', or `make setup-dev` in the repository"
            print(f"ess {name}: needs the extra `train`: {wanted} ({error})", file=sys.stderr)
        return EX_UNAVAILABLE
    return int(command(arguments))


def add_offline(name: str, what: str) -> None:
    """One command whose options are not known here: everything behind its name is handed on, --help too."""

    @app.command(
        name, help=what, add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def offline(context: typer.Context) -> None:
        raise typer.Exit(run_offline(name, list(context.args)))


operator_cli.add_to(app, settings_or_exit)
learning_cli.add_to(app, settings_or_exit)
for _name, _what in OFFLINE_COMMANDS:
    add_offline(_name, _what)


if __name__ == "__main__":
    app()
