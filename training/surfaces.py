"""The first stage of training: the structural cost surfaces as an artifact.

    python -m training.surfaces [--out DIR]

Deterministic: the same code gives the same bytes, and the manifest says from which constants.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress

from engine.assumptions import DEFAULT_ASSUMPTIONS, StructuralAssumptions
from engine.catalogue import all_shapes, shape_keys
from engine.pricing import OUTPUTS
from engine.surfaces import arrays_of, build_surfaces
from engine.utility import table_sha256
from store.artifacts import Manifest, arrays_to_bytes, write_artifact

SHIPPED_DIR = Path(__file__).resolve().parent.parent / "store" / "shipped" / "surfaces"
FILE_NAME = "surfaces.npz"


def assumptions_json(assumptions: StructuralAssumptions) -> dict[str, Any]:
    """The table as it stands in the manifest; conditions by name."""
    fields = asdict(assumptions)
    fields["conditions"] = {condition.name: asdict(d) for condition, d in assumptions.conditions.items()}
    return fields


def write_surfaces(folder: Path, assumptions: StructuralAssumptions = DEFAULT_ASSUMPTIONS) -> Manifest:
    """Builds and writes; replaces what is there."""
    with Progress(transient=True) as progress:
        task = progress.add_task("surfaces", total=len(shape_keys()))
        surfaces = build_surfaces(
            all_shapes(), assumptions, lambda done, total: progress.update(task, completed=done, total=total)
        )
    metadata = {
        "shapes": [[name, value] for name, value in shape_keys()],
        "outputs": list(OUTPUTS),
        "layout": "condition, shape, participation, horizon, pool share, output; float32",
        "assumptions": assumptions_json(assumptions),
        "utility_sha256": table_sha256(),
        "origin": "structural model of engine/pricing.py; constants as listed, none fitted to data yet",
    }
    return write_artifact(
        folder,
        "surfaces",
        {FILE_NAME: arrays_to_bytes(arrays_of(surfaces))},
        metadata,
        created_by="training.surfaces",
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=SHIPPED_DIR, help="folder of the artifact")
    manifest = write_surfaces(parser.parse_args(arguments).out)
    size_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    print(f"surfaces {manifest.sha256} ({size_bytes / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
