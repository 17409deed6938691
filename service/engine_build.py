"""Which build decides: a hash over the sources that decide and over what can change a float beneath them.

Two services of the same build make the same bytes of the same inputs. What differs between two builds is told part by
part, so the parts are kept as reference data under the build's own hash.

    EngineBuildError    the sources are not there to be hashed
"""

from __future__ import annotations

import hashlib
import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import numba
import numpy as np

from service.version import VERSION

KIND: Final = "build"
ROOT: Final = Path(__file__).resolve().parent.parent
# Everything that turns a request and a snapshot into an answer, relative to where the rooms lie.
DECIDING_FOLDERS: Final = ("engine",)
DECIDING_FILES: Final = (
    "service/mapping/plain_rules.py", "service/mapping/requests.py", "service/mapping/responses.py",
    "service/mapping/validation.py", "service/mapping/wire.py", "service/mapping/wire_chosen.py",
    "service/mapping/wire_end.py", "service/world.py",
)
# numpy has loops of its own for several groups of instructions: which ones it chose for these names the baseline.
TOLD_BY: Final = "^(exp|log|power|add|multiply|subtract)$"
PROBES: Final = 256


class EngineBuildError(Exception):
    """The sources cannot be read, so nobody could say later which build decided."""


@dataclass(frozen=True, slots=True)
class EngineBuild:
    """`parts` by name; `build_id` is the hash of their canonical bytes."""

    parts: Mapping[str, str]

    @property
    def content(self) -> bytes:
        return msgspec.msgpack.encode(dict(sorted(self.parts.items())))

    @property
    def build_id(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@cache
def this_build() -> EngineBuild:
    """The build that runs here. Read once a process: some 60 files."""
    return EngineBuild(build_parts(source_files(ROOT)))


def parts_from(content: bytes) -> dict[str, str]:
    """The parts of a recorded build. Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(content, type=dict[str, str])


def source_files(root: Path) -> dict[str, bytes]:
    """The deciding sources by their path; and the contract's messages, wherever they are installed."""
    from service.mapping.contract_messages import deciding_modules

    try:
        found = {name: (root / name).read_bytes() for name in DECIDING_FILES}
        for folder in DECIDING_FOLDERS:
            paths = sorted((root / folder).rglob("*.py"))
            if not paths:
                raise EngineBuildError(f"the sources that decide are not in {root / folder}")
            found |= {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
        found |= {module: path.read_bytes() for module, path in deciding_modules().items()}
    except OSError as error:
        raise EngineBuildError(f"the sources that decide cannot be read: {error}") from error
    return found


def build_parts(sources: Mapping[str, bytes]) -> dict[str, str]:
    """What a float or a byte can depend on."""
    libc = " ".join(platform.libc_ver()).strip()
    return {
        "version": VERSION,
        "sources": sources_sha256(sources),
        # sum() of floats rounds otherwise from 3.12 on.
        "python": f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}",
        "numba": numba.__version__ + (" with SVML" if getattr(numba.config, "USING_SVML", False) else ""),
        **{name: version(name) for name in ("numpy", "llvmlite", "protobuf")},
        "libc": libc or "unknown",
        "cpu": cpu_baseline(),
        "floats": float_probe(),
    }


def sources_sha256(sources: Mapping[str, bytes]) -> str:
    """Of names and contents, in the order of names, each with its length so that no two sets look alike."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        for part in (name.encode(), sources[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def cpu_baseline() -> str:
    """The machine, and the instructions that numpy's loops were chosen for: "x86_64 X86_V3"."""
    chosen = {
        loop["current"]
        for loops in np.lib.introspect.opt_func_info(func_name=TOLD_BY, signature="float64").values()
        for loop in loops.values()
    }
    return " ".join([platform.machine(), *sorted(chosen)])


def float_probe() -> str:
    """What elementary functions and sums give here, to the last bit: libm, numpy's loops and its linear algebra choose
    by the processor, and no version number tells."""
    x = np.arange(1, PROBES + 1) / 37.0
    square = np.cos(np.outer(x[:16], x[:16]))
    arrays = [
        np.exp(-x), np.log(x), np.power(x, 0.6), np.sqrt(x), np.cumsum(x), np.interp(x * 0.5, x, np.log(x)),
        square @ square, square[0] @ square, np.array([x.sum(), np.dot(x, x), float(np.log(x).mean())]),
        np.array([[math.exp(-v), math.log(v), v**0.6, math.erfc(v / 9.0)] for v in x.tolist()]),
    ]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:32]
