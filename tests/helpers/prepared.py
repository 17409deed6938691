"""A data folder as a first start leaves it, made once a process and copied for each service: most tests are about what
comes after a first start, and a third of its processor time goes into what later ones do not do.

    python -m tests.helpers.prepared FOLDER

What is copied: the embedded PostgreSQL, stopped, migrated and seeded; the exchanges' sessions; and that the shipped
models passed their check on this host. A service that finds them looks them through as at any later start.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from service.reference_file import SESSIONS_FOLDER
from service.reference_keeper import ARCHIVE_FOLDER
from tests.helpers.running_host import REPOSITORY, environment

_CLUSTER = "postgres"


def copy_prepared(data_dir: Path, *, with_database: bool) -> None:
    """Into a folder that does not exist yet; one that does is left as it is."""
    if data_dir.exists():
        return
    data_dir.mkdir()
    names = (SESSIONS_FOLDER, ARCHIVE_FOLDER, *((_CLUSTER,) if with_database else ()))
    # Owners too: where the tests run as root, PostgreSQL does not.
    subprocess.run(["cp", "-a", *(_made() / name for name in names), data_dir], check=True)


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ess-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # In a process of its own: what it imports, and the loop that it runs, are none of this one's.
    subprocess.run(
        [sys.executable, "-m", "tests.helpers.prepared", folder], check=True, cwd=REPOSITORY, env=environment(folder)
    )
    return folder


def main(folder: Path) -> None:
    from service.artifact_checker import ChildChecker
    from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
    from service.engine_build import this_build
    from service.prepare import prepare
    from service.settings import Settings
    from store.artifacts import read_manifest

    prepare(Settings(data_dir=folder)).close()
    checker = ChildChecker(folder / ARCHIVE_FOLDER, build_id=this_build().build_id, is_awaited=True)
    models, surfaces = (read_manifest(one).sha256 for one in (SHIPPED_MODELS, SHIPPED_SURFACES))
    asyncio.run(checker.check(SHIPPED_MODELS, models, surfaces))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
