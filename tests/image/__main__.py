"""`python -m tests.image`: builds and runs the image's root. Needs root, debootstrap, unshare, and ways to a Debian
mirror and a package index, as a build of the image does. Exit status 1 where something does not hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

from tests.image.build import FOLDER, Builder, Stage, base_root, this_installer
from tests.image.dockerfile import ROOT, instructions
from tests.image.run import started

_COMPILERS = ("gcc", "cc", "g++", "make", "ld")


def faults_of_root(stage: Stage) -> list[str]:
    """What the final root holds that it must not, or lacks."""
    found = [f"{name} is there" for name in _COMPILERS if shutil.which(name, path=_path(stage))]
    caches = list((stage.root / "opt" / "ess" / "numba-cache").rglob("*.nbc"))
    if not caches:
        found.append("no compiled code")
    owned = (stage.root / "var" / "lib" / "ess").stat()
    if f"{owned.st_uid}:{owned.st_gid}" != stage.user:
        found.append(f"the volume belongs to {owned.st_uid}:{owned.st_gid}, not to {stage.user}")
    uid = int(stage.user.partition(":")[0])
    own = (path for path in (stage.root / "opt").rglob("*") if not path.is_symlink())
    found += [f"{path} may be written by the service" for path in own if path.stat().st_uid == uid]
    return found


def _path(stage: Stage) -> str:
    return ":".join(f"{stage.root}{folder}" for folder in ("/usr/bin", "/usr/local/bin", "/bin"))


def faults_of_run(found: dict[str, object]) -> list[str]:
    wanted = {"refused_without_tls": True, "compiled_anew": [], "stored": True, "exit_status": 0}
    return [f"{name} is {found.get(name)!r}" for name, value in wanted.items() if found.get(name) != value]


def main() -> int:
    missing = [name for name in ("debootstrap", "unshare", "chroot", "ip") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        print(f"cannot be checked here: needs root and {', '.join(missing) or 'nothing else'}", file=sys.stderr)
        return 1
    steps = instructions((ROOT / "Dockerfile").read_text())
    suite = re.search(r"PYTHON_IMAGE=python:3\.11-slim-(\w+)", steps[0].text)
    if suite is None:
        print(f"the base {steps[0].text!r} is none that a Debian root with its own Python stands for", file=sys.stderr)
        return 1
    begun = time.monotonic()
    base = base_root(FOLDER, suite.group(1))
    print(f"{time.monotonic() - begun:6.1f} s  the base", flush=True)
    stage = Builder(base, FOLDER, this_installer(), lambda text: print(text, flush=True)).run(steps)
    faults = faults_of_root(stage)
    found = started(stage, Path(FOLDER) / "volume")
    faults += faults_of_run(found)
    size = sum(path.lstat().st_size for path in (stage.root / "opt" / "ess").rglob("*") if path.is_file())
    print(json.dumps(found | {"seconds": round(time.monotonic() - begun), "opt_ess_mb": size >> 20, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
