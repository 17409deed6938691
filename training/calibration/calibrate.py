"""The calibration of a folder: everything as one JSON-ready dictionary (calibration.json, measured.json)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from engine.values import CONDITIONS
from training.calibration import resiliency, spreads, volumes
from training.calibration.days import DataSet
from training.calibration.formats import IMPACT_TABLES, RULE_605, read_folder
from training.calibration.gathered import Measures
from training.calibration.matching import DAYS
from training.calibration.measured import measure
from training.calibration.proposals import Proposal, proposals, structural_table, world_table
from training.calibration.split import ALWAYS_CALIBRATION_DATES, REPLAY_ONE_IN, SALT
from training.impact_fit import impact_of_2007, rule605_figures
from training.summer_2007 import IMPACT_FOLDER

RULE_605_FOLDER = "rule605_virtu"
SEED_IMPACT = Path(__file__).resolve().parents[2] / "store" / "seed" / "impact.json"


def calibrate_folder(
    root: Path, world: WorldParameters = DEFAULT_WORLD, days: int = DAYS
) -> tuple[dict[str, Any], Measures, list[Proposal]]:
    """calibration.json's content, with the measures and proposals (of so many simulated days) it was made from.

    Raises NothingReadableError where the folder holds no known format.
    """
    data = read_folder(root)
    measures = measure(data)
    found = proposals(measures, world, days)
    return calibration_json(root.resolve().name, data, measures, found, world), measures, found


def calibration_json(
    name: str, data: DataSet, measures: Measures, found: list[Proposal], world: WorldParameters
) -> dict[str, Any]:
    """Everything that was read, measured and proposed. The folder goes by its name, not by where it is."""
    return {
        "format": 1,
        "data": name,
        "split": {
            "rule": f"a symbol's day is kept for replay when SHA-256 of '{SALT}|SYMBOL|DATE' is 0 modulo "
            f"{REPLAY_ONE_IN}",
            "always_calibration_dates": sorted(ALWAYS_CALIBRATION_DATES),
        },
        "axes": {
            "conditions": [c.name for c in CONDITIONS],
            "lags_minutes": list(volumes.LAGS_MINUTES),
            "windows_minutes": list(volumes.WINDOWS_MINUTES),
            "spread_ticks": list(spreads.TICK_LABELS),
            "log_spread_edges": [float(x) for x in spreads.RESIDUAL_EDGES],
            "recovery_lags_s": list(resiliency.LAGS_S),
        },
        "world": world_table(world, found),
        "structural": structural_table(world.assumptions),
        "measures": {n: {g: f.as_json() for g, f in groups.items()} for n, groups in measures.items()},
        "impact_2007": impact_2007(data),
        "rule605": rule605(data),
        "files": [
            {
                "file": f.path,
                "format": f.format,
                "rows": f.rows,
                "used": f.used,
                "bad": f.bad,
                "unused": f.unused,
            }
            for f in data.files
        ],
    }


def impact_2007(data: DataSet) -> dict[str, Any]:
    """Impact of signed flow in 2007: fitted again where the tables are there, else as the seed has it."""
    folder = data.tables.get(IMPACT_TABLES)
    if folder is not None and folder.name == IMPACT_FOLDER:
        return dict(impact_of_2007(folder.parent))
    return {**_seed()["impact_2007"], "read_from": "store/seed/impact.json"}


def rule605(data: DataSet) -> dict[str, Any]:
    """Fills and adverse selection of limit orders by Rule 605: from the report where it is there, else from
    the seed."""
    path = data.tables.get(RULE_605)
    if path is not None and path.parent.name == RULE_605_FOLDER:
        return dict(rule605_figures(path.parent.parent))
    return {**_seed()["rule605_2016"], "read_from": "store/seed/impact.json"}


def _seed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SEED_IMPACT.read_text())
    return found


def measured_json(calibration: dict[str, Any], simulated: dict[str, Any]) -> dict[str, Any]:
    """What is committed of a calibration: derived figures, without the files' rows and what the seed already
    holds."""
    kept = {k: v for k, v in calibration.items() if k not in ("files", "impact_2007", "rule605")}
    rows = {f["format"]: 0 for f in calibration["files"]}
    for f in calibration["files"]:
        rows[f["format"]] += f["used"]
    return kept | {"rows_used_by_format": rows, "simulated": simulated}


def write_json(path: Path, value: Any) -> None:
    """Pretty JSON whose lists of numbers stay on a line: the same value gives the same bytes."""
    text = json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False)
    path.write_text(_joined_lists(text) + "\n")


def _joined_lists(text: str) -> str:
    """Lists of plain numbers, and lists of such lists, on one line: a curve is read across, not down."""
    number = r"(?:-?[\d.e+-]+|null)"
    flat = re.sub(rf"\[\s*({number}(?:,\s*{number})*)\s*\]", _join, text)
    inner = r"\[[^\[\]{}\"\n]*\]"
    return re.sub(
        rf"\[\s*({inner}(?:,\s*{inner})*)\s*\]",
        lambda found: re.sub(r"\s*\n\s*", " ", found.group(0)).replace("[ [", "[[").replace("] ]", "]]"),
        flat,
    )


def _join(found: re.Match[str]) -> str:
    return "[" + ", ".join(part.strip() for part in found.group(1).split(",")) + "]"
