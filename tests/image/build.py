"""Carries out a Dockerfile's instructions, a root folder a stage, with chroot in namespaces of its own.

What differs from Docker: the base is Debian's minimal root with Debian's Python, as `python` in /usr/local/bin, where
the Dockerfile's has one built from source; layers are not made, so neither size nor caching is shown; and pip asks
whatever index this machine's pip is configured with (by the lock's hashes it gets the same files from any).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.image.dockerfile import ROOT, Instruction, context_files, filled_in, pairs_of

FOLDER = ROOT / "build" / "image"
STEP_S = 600.0  # no step may take longer
PLAIN_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"

# The folders of the kernel, and one after another what stands in $BINDS, before the command runs in the root.
_ENTER = """
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"
done
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --bind -o ro "$1" "$root$1"; shift; done; shift
exec chroot "$root" "$@"
"""


@dataclass(slots=True)
class Stage:
    """A root folder with what ENV, ARG, WORKDIR and USER have made of it so far."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PLAIN_PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        return self.arguments | self.environment


@dataclass(frozen=True, slots=True)
class Installer:
    """How this machine's pip is configured: variables, and the local folders that they name."""

    variables: Mapping[str, str]
    folders: tuple[str, ...]


def installer(listed: str) -> Installer:
    """From `pip config list`; what stands in the environment goes before what stands in files."""
    variables: dict[str, str] = {}
    folders: set[str] = set()
    for line in sorted(listed.splitlines(), key=lambda each: each.startswith(":env:")):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        text = value.strip().strip("'")
        variables["PIP_" + name.upper().replace("-", "_")] = text
        for word in text.split():
            path = Path(urlsplit(word).path if word.startswith("file:") else word)
            if path.is_absolute() and path.exists():
                # An index's pages point at files beside it; of a single file its folder.
                folders.add(str(path.parent if word.startswith("file:") or path.is_file() else path))
    return Installer(variables, tuple(sorted(folders)))


class Builder:
    """Stages by name. `told` hears of every instruction and of how long it took."""

    def __init__(self, base: Path, folder: Path, pip: Installer, told: Callable[[str], None] = print) -> None:
        self.stages: dict[str, Stage] = {}
        self._base = base
        self._folder = folder
        self._pip = pip
        self._told = told
        self._global: dict[str, str] = {}

    def run(self, steps: list[Instruction]) -> Stage:
        """All of them; the last stage."""
        for step in steps:
            begun = time.monotonic()
            self._do(step)
            self._told(f"{time.monotonic() - begun:6.1f} s  {step.stage or '-'}: {step.name} {step.text[:90]}")
        return list(self.stages.values())[-1]

    def _do(self, step: Instruction) -> None:
        if step.name == "FROM":
            self.stages[step.stage] = Stage(self._fresh_root(step.stage))
            return
        if not step.stage:
            if step.name != "ARG":
                raise ValueError(f"{step.name} before the first FROM")
            self._global |= pairs_of(step.text)
            return
        stage = self.stages[step.stage]
        text = step.text if step.name == "RUN" else filled_in(step.text, stage.variables)
        match step.name:
            case "ARG":
                stage.arguments |= pairs_of(text)
            case "ENV":
                stage.environment |= pairs_of(text)
            case "WORKDIR":
                stage.folder = text
                _inside(stage.root, text).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(stage, text.split())
            case "RUN":
                self.execute(stage, ("/bin/sh", "-c", text))
            case "USER":
                stage.user = text
            case "ENTRYPOINT":
                stage.entrypoint = tuple(json.loads(text))
            case "CMD":
                stage.command = tuple(json.loads(text))
            case "HEALTHCHECK":
                stage.health = tuple(json.loads(text.partition("CMD ")[2]))
            case "LABEL" | "EXPOSE" | "VOLUME" | "STOPSIGNAL":
                pass  # for the engine that runs the image
            case unknown:
                raise ValueError(f"{unknown} is not known here")

    def execute(self, stage: Stage, command: tuple[str, ...]) -> None:
        """In the root, with the image's environment and this machine's pip; raises with the end of what it said."""
        certificates = tuple(folder for folder in self._pip.folders if Path(folder).is_dir())
        environment = {**self._pip.variables, **stage.variables, "HOME": "/root"}
        inside = ("/usr/bin/env", f"--chdir={stage.folder}", *command)
        done = subprocess.run(
            ("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
             "/bin/sh", "-c", _ENTER, "enter", str(stage.root), *certificates, "--", *inside),
            env=environment, cwd="/", capture_output=True, text=True, timeout=STEP_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")

    def _fresh_root(self, name: str) -> Path:
        root = self._folder / name
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(("cp", "-a", "--reflink=auto", str(self._base), str(root)), check=True, timeout=STEP_S)
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        return root

    def _copy(self, stage: Stage, words: list[str]) -> None:
        options = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")]
        place = _inside(stage.root, os.path.join(stage.folder, target))
        if options:
            (option,) = options
            origin = self.stages[option.removeprefix("--from=")].root
            for source in sources:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(_inside(origin, source), place, symlinks=True, dirs_exist_ok=True)
            _whole_seconds(place)
            return
        for source in sources:
            found = list(context_files(source))
            if not found:
                raise ValueError(f"COPY {source}: nothing of it is in the build context")
            for path in found:
                at = place / path.relative_to(source) if (ROOT / source).is_dir() else place
                if target.endswith("/"):
                    at = place / path.name
                at.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, at)


def _whole_seconds(folder: Path) -> None:
    """Layers keep times of change without fractions of seconds; what compares them exactly must bear that."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found = path.stat()
            os.utime(path, (int(found.st_atime), int(found.st_mtime)))


def _inside(root: Path, path: str) -> Path:
    return root / os.path.normpath(path).lstrip("/")


def base_root(folder: Path, suite: str) -> Path:
    """Debian's minimal root with its Python; kept in the build folder, since it is the same the next time."""
    base, made = folder / "base", folder / f"base.{suite}"
    if not made.exists():
        shutil.rmtree(base, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        mirror = (os.environ["DEBIAN_MIRROR"],) if os.environ.get("DEBIAN_MIRROR") else ()
        subprocess.run(
            ("debootstrap", "--variant=minbase", "--include=python3,python3-venv", suite, str(base), *mirror),
            check=True, stdout=subprocess.DEVNULL, timeout=STEP_S,
        )  # fmt: skip
        (base / "usr" / "local" / "bin" / "python").symlink_to("/usr/bin/python3")
        made.touch()
    return base


def this_installer() -> Installer:
    listed = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"), capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return installer(listed)


def as_run(stage: Stage, **changes: str) -> Stage:
    """With variables as `docker run -e` would set them."""
    return replace(stage, environment=stage.environment | changes)
