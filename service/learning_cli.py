"""What outcomes taught, at a terminal. The work is in `service/learning_commands.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli_options import AsJson, Reason
from service.help_texts import examples

if TYPE_CHECKING:
    from service.settings import Settings

Challenger = Annotated[Path, typer.Argument(help="Folder of the other models' artifact.")]


def add_to(app: typer.Typer, settings_or_exit: Callable[[], Settings]) -> None:
    """`ess learn`, under the command line's root."""
    learn = typer.Typer(no_args_is_help=True, help="What reported outcomes taught; challengers, promotion, rollback.")
    app.add_typer(learn, name="learn")

    @learn.command("status", epilog=examples("learn status"))
    def learn_status(as_json: AsJson = False) -> None:
        """Corrections in force, alarms, exploration, promotions."""
        from service.learning_commands import status as run

        raise typer.Exit(run(settings_or_exit(), as_json))

    @learn.command("update", epilog=examples("learn update"))
    def learn_update() -> None:
        """Fit the recorded outcomes now instead of at the next look."""
        from service.learning_commands import update as run

        raise typer.Exit(run(settings_or_exit()))

    @learn.command("shadow", epilog=examples("learn shadow"))
    def learn_shadow(
        challenger: Challenger,
        most: Annotated[int, typer.Option(min=1, help="Decisions at most, newest first.")] = 1_000,
    ) -> None:
        """Let other models decide recorded orders again, and record both scores. Answers nobody."""
        from service.learning_commands import shadow as run

        raise typer.Exit(run(settings_or_exit(), challenger, most))

    @learn.command("evaluate", epilog=examples("learn evaluate"))
    def learn_evaluate(challenger: Challenger, as_json: AsJson = False) -> None:
        """What they would have cost, from outcomes and propensities. Exit code 0: shown to be better; 1: not shown."""
        from service.learning_commands import evaluate as run

        raise typer.Exit(run(settings_or_exit(), challenger, as_json))

    @learn.command("promote", epilog=examples("learn promote"))
    def learn_promote(
        challenger: Challenger,
        reason: Reason = "",
        anyway: Annotated[bool, typer.Option(help="Also where it is not shown to be better.")] = False,
    ) -> None:
        """Put other models in force, in services that run too. Exit code 1 where they are not shown to be better."""
        from service.learning_commands import promote as run

        raise typer.Exit(run(settings_or_exit(), challenger, reason, anyway))

    @learn.command("rollback", epilog=examples("learn rollback"))
    def learn_rollback(reason: Reason = "") -> None:
        """Back to the models from before the last promotion."""
        from service.learning_commands import rollback as run

        raise typer.Exit(run(settings_or_exit(), reason))
