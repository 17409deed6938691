"""`ess` as at a terminal: in a process of its own, without the settings of this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers.live_service import LiveService
from tests.helpers.running_host import environment

# Of a busy machine: an activation waits for models to be checked in idle time.
AT_A_SERVICE_WITHIN_S = 180.0


def ess(
    *arguments: str, service: LiveService | None = None, data_dir: Path | None = None, columns: int = 200,
    stdin: str | None = None, within_s: float = 60.0, **variables: str,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """A finished `ess`; it finds the service by its data folder."""
    folder = service.data_dir if service is not None else data_dir or Path("/nonexistent")
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        env=environment(folder, COLUMNS=str(columns), **variables),
        input=stdin, capture_output=True, text=True, timeout=within_s, check=False,
    )  # fmt: skip


def ess_at(service: LiveService, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """The same, that may take longer."""
    return ess(*arguments, service=service, stdin=stdin, within_s=AT_A_SERVICE_WITHIN_S)
