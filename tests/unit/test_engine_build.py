"""What names a build: every source that decides, and what floats depend on."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.engine_build import (
    DECIDING_FILES,
    ROOT,
    EngineBuild,
    EngineBuildError,
    build_parts,
    float_probe,
    parts_from,
    source_files,
    sources_sha256,
    this_build,
)


def copied(folder: Path) -> Path:
    """The deciding sources alone."""
    for name in DECIDING_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "engine", folder / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_every_source_of_the_engine_counts() -> None:
    names = set(source_files(ROOT))
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "engine").rglob("*.py")} < names
    assert {"service/mapping/requests.py", "service/mapping/responses.py", "service/world.py"} < names
    assert "execution_strategy.v1.response_pb2" in names


def test_whatever_an_answer_is_written_by_counts() -> None:
    """All that the mapping of a Recommend imports of the mapping; the event is beside the answer, not in it."""
    names, left = set(source_files(ROOT)), ["service/mapping/requests.py", "service/mapping/responses.py"]
    seen = {"service/mapping/events.py"}
    while left:
        name = left.pop()
        seen.add(name)
        assert name in names
        for line in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(line, ast.ImportFrom) and (line.module or "").startswith("service.mapping."):
                found = f"{line.module}.py".replace(".", "/").replace("/py", ".py")
                left += [found] if found not in seen else []


def test_a_copy_is_the_same_build_and_a_changed_source_another(tmp_path: Path) -> None:
    root = copied(tmp_path)
    same = EngineBuild(build_parts(source_files(root)))
    assert same.build_id == this_build().build_id
    kernel = root / "engine" / "kernel.py"
    kernel.write_text(kernel.read_text() + "\n# a word more\n")
    other = EngineBuild(build_parts(source_files(root)))
    assert other.build_id != same.build_id
    changed = {name for name in same.parts if same.parts[name] != other.parts[name]}
    assert changed == {"sources"}


def test_names_count_as_well_as_contents() -> None:
    told = {sources_sha256(sources) for sources in (
        {"a": b"xy"}, {"ax": b"y"}, {"a": b"x", "y": b""}, {"b": b"xy"}, {"a": b"xz"},
    )}  # fmt: skip
    assert len(told) == 5
    assert sources_sha256({"a": b"1", "b": b"2"}) == sources_sha256({"b": b"2", "a": b"1"})


def test_without_sources_there_is_no_build(tmp_path: Path) -> None:
    with pytest.raises(EngineBuildError, match="cannot be read"):
        source_files(tmp_path)
    root = copied(tmp_path)
    shutil.rmtree(root / "engine")
    (root / "engine").mkdir()
    with pytest.raises(EngineBuildError, match="are not in"):
        source_files(root)


def test_what_is_recorded_of_a_build_tells_its_parts() -> None:
    build = this_build()
    assert parts_from(build.content) == dict(build.parts)
    assert set(build.parts) == {
        "version", "sources", "python", "numpy", "numba", "llvmlite", "protobuf", "libc", "cpu", "floats",
    }
    assert all(build.parts.values())


def test_another_process_is_the_same_build() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}"}
    code = "from service.engine_build import this_build; print(this_build().build_id)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == this_build().build_id
    assert float_probe() == float_probe() == this_build().parts["floats"]


def test_a_processor_with_other_instructions_is_another_build() -> None:
    """numpy takes its plainest loops when it is told to; they round some functions otherwise, and the name says so."""
    code = "from service.engine_build import this_build; print(this_build().parts['cpu'])"
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    }
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True,
        timeout=60,
    )
    ours = this_build().parts["cpu"]
    if "X86_V3" in ours or "X86_V4" in ours:
        assert found.stdout.strip() != ours
    else:
        assert found.stdout.strip() == ours
