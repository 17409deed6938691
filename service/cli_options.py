"""Options that many commands take, worded once."""

from __future__ import annotations

from typing import Annotated

import typer

Address = Annotated[str | None, typer.Option(help="host:port of the service; default: the one that runs here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
# Where a reason may be left out, and where the service wants one.
Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]
Required = Annotated[str, typer.Option("--reason", help="Why; it is recorded.", show_default=False)]
