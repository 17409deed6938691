"""What a worker loads early is all that it would load later."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from service.preload import BUILD_IMPORTS

ROOT = Path(__file__).resolve().parents[2]


def test_the_modules_are_those_that_build_imports() -> None:
    tree = ast.parse((ROOT / "service" / "bootstrap.py").read_text())
    (build,) = (node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "build")
    assert {node.module for node in ast.walk(build) if isinstance(node, ast.ImportFrom)} == set(BUILD_IMPORTS)


@pytest.mark.parametrize("models", ["on", "off"])
def test_a_snapshot_that_is_warmed_up_needs_no_more_compiled_code(models: str, tmp_path: Path) -> None:
    """Whatever is compiled or loaded from the compiler's cache is an overload of its function."""
    code = f"""
import gc
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from service.preload import preload
from service.settings import Settings

def loaded():
    return sorted((d.py_func.__module__, d.py_func.__name__, len(d.overloads))
                  for d in gc.get_objects() if isinstance(d, Dispatcher))

settings = Settings(models={models!r}, data_dir=Path({str(tmp_path)!r}))
preload(settings)
before = loaded()
from service.bootstrap import load_snapshot
from service.prepare import catalogue_rows, write_reference
from service.warmup import warm
from store.instruments import read_seed
write_reference(settings, read_seed().data, tuple(catalogue_rows()))
warm(load_snapshot(settings, probes=False))
assert loaded() == before, set(loaded()) ^ set(before)
assert sum(count for _, _, count in before) > 5
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, cwd=ROOT)


def test_the_supervisor_prepares_without_what_decides_or_serves() -> None:
    code = (
        "import sys, service.cli, service.plan, service.supervisor, service.prepare;"
        "found = {'numba', 'grpc', 'pandas', 'onnxruntime', 'engine.snapshot', 'service.bootstrap'} & set(sys.modules);"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=ROOT)
