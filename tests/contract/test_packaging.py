"""What `make setup` promises: pinned, hashed, in one environment, and found from every folder."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("runtime.lock", "dev.lock")


def pins(lock: str) -> dict[str, tuple[str, int]]:
    """Package -> (version, number of hashes). A package with several markers has several versions; the lines join."""
    found: dict[str, tuple[str, int]] = {}
    for block in re.split(r"^(?=[a-z0-9])", (ROOT / "requirements" / lock).read_text(), flags=re.MULTILINE):
        named = re.match(r"([a-z0-9._-]+)==(\S+)", block)
        if named:
            version, hashes = found.get(named.group(1), ("", 0))
            found[named.group(1)] = (version + named.group(2), hashes + block.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_index_is_named(lock: str) -> None:
    found = pins(lock)
    assert len(found) > 40
    assert [name for name, (_, hashes) in found.items() if hashes == 0] == []
    text = (ROOT / "requirements" / lock).read_text()
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links|/opt/|/home/", text)


def test_the_development_environment_holds_every_runtime_pin() -> None:
    """So that tests run on what production runs on, and `make setup-dev` leaves `make setup` nothing to do."""
    runtime, dev = pins("runtime.lock"), pins("dev.lock")
    assert {name: pin for name, pin in runtime.items() if dev.get(name) != pin} == {}


def test_every_package_is_found_from_another_folder(tmp_path: Path) -> None:
    program = (
        "from execution_strategy.v1 import service_pb2; from buf.validate import validate_pb2; "
        "import engine.algorithms.flow, engine.models.istar, store, service, benchmarks; "
        "print(service_pb2.DESCRIPTOR.package)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "execution_strategy.v1", done.stderr


@pytest.mark.parametrize(
    "pattern", ["store/migrations/*.sql", "store/seed/*.json", "store/shipped/*/*", "service/http/**/*.*"]
)
def test_what_is_read_at_run_time_is_package_data(pattern: str) -> None:
    """setuptools takes only what matches package-data; a wheel without its migrations or a file that a manifest names
    would start and then fail, where an editable installation would not."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = [path.name for path in ROOT.glob(pattern) if path.suffix not in {".py", ".pyc", ".nbi", ".nbc"}]
    assert files
    assert [name for name in files if not any(fnmatch(name, each) for each in configured)] == []


def test_compiled_code_is_made_anew_when_any_of_what_is_served_changes() -> None:
    """A cached function does not see that another file's, which it calls, has changed: it goes on with the old one."""
    rule = re.search(r"^\.setup-warm: \$\(wildcard (.*?)\)$", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert rule is not None
    looked_at = {path for pattern in rule.group(1).replace("\\", " ").split() for path in ROOT.glob(pattern)}
    compiled = {
        path for room in ("engine", "service", "store") for path in (ROOT / room).rglob("*.py")
        if re.search(r"^@(njit|compiled|intrinsic)\b", path.read_text(), re.MULTILINE)
    }  # fmt: skip
    assert len(compiled) > 20
    assert sorted(str(path.relative_to(ROOT)) for path in compiled - looked_at) == []
