"""Options that many commands take, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Address = Annotated[str | None, typer.Option(help="host:port of the service; default: the one that runs here.")]
# The file, never the token itself: words of a command line are seen by everybody on the host.
TokenFile = Annotated[
    Path | None,
    typer.Option(help="File with the bearer token that says who calls; default: ESS_TOKEN_FILE.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
# Where a reason may be left out, and where the service wants one.
Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]
Required = Annotated[str, typer.Option("--reason", help="Why; it is recorded.", show_default=False)]
