"""`ess calibrate --data DIR [--out DIR]`: measure a folder of market data, and report simulated markets
against it.

    python -m training.calibration.command --data ../shared/data --keep

Writes calibration.json (every figure with its unit, interval, origin and rows), simulated.json and
report.html. `--keep` also rewrites measured.json beside this file, the derived figures that are committed.
Exit code 2 where the folder holds nothing that can be read, with what was looked for.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.simulator.world import DEFAULT_WORLD
from training.calibration.calibrate import calibrate_folder, measured_json, write_json
from training.calibration.clocks import MarketFileError
from training.calibration.compare import comparisons
from training.calibration.formats import NothingReadableError
from training.calibration.matching import DAYS as MATCHING_DAYS
from training.calibration.proposals import proposed_world
from training.calibration.report import calibration_report
from training.calibration.simulate import simulate_report
from training.calibration.simulated import DAYS, instruments_of

DEFAULT_OUT = Path("var") / "calibration"
MEASURED = Path(__file__).with_name("measured.json")
EX_USAGE = 2
SHIPPED, PROPOSED = "as shipped", "with what the data propose"


def calibrate(data: Path, out: Path, days: int = DAYS) -> dict[str, Any]:
    """Measures the folder and writes the three files; returns the calibration.

    Raises NothingReadableError where the folder holds no known format.
    """
    calibration, measures, found = calibrate_folder(data, days=min(days, MATCHING_DAYS))
    instruments = instruments_of(measures)
    simulated = {SHIPPED: simulate_report(DEFAULT_WORLD, instruments, days)}
    if found:
        simulated[PROPOSED] = simulate_report(proposed_world(DEFAULT_WORLD, found), instruments, days)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "calibration.json", calibration)
    write_json(out / "simulated.json", simulated)
    (out / "report.html").write_text(calibration_report(calibration, simulated), encoding="utf-8")
    return calibration | {"simulated": simulated}


def summary(result: dict[str, Any], out: Path) -> str:
    """What the person at the terminal is told."""
    files = [f for f in result["files"] if f["used"]]
    used, bad = sum(f["used"] for f in files), sum(sum(f["bad"].values()) for f in result["files"])
    supported = sum("proposed" in row for row in result["world"])
    lines = [
        f"{len(files)} files read, {used:,} rows used, {bad:,} bad rows left out (the report says why)",
        *unneeded(result["files"]),
        f"{supported} of {len(result['world'])} numbers of the simulated market are supported by these data",
    ]
    for name, own in result["simulated"].items():
        met = comparisons(result, own)
        within = sum(c.within is True for c in met)
        lines.append(f"simulated {name}: {within} of {len(met)} comparisons within their bounds")
    return "\n".join([*lines, f"written: {out / 'calibration.json'}, {out / 'report.html'}"])


def unneeded(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of sound rows that were not used: many outside of trading tell of a clock that is not the format's."""
    rows: Counter[str] = Counter()
    for file in files:
        rows.update(file["unused"])
    told = ", ".join(f"{count:,} {reason}" for reason, count in rows.most_common())
    return [f"sound rows that were not used: {told}"] if told else []


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="ess calibrate", description="Measure market data for the simulated market."
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a folder of files of the known formats"
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help=f"default: {DEFAULT_OUT}"
    )
    parser.add_argument(
        "--keep", action="store_true", help=f"rewrite this project's own {MEASURED.name} as well"
    )
    chosen = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            # Means over windows without a quote: nan is their right answer.
            warnings.simplefilter("ignore", RuntimeWarning)
            result = calibrate(chosen.data, chosen.out)
    except (NothingReadableError, MarketFileError) as error:
        print(f"ess calibrate: {error}", file=sys.stderr)
        return EX_USAGE
    if chosen.keep:
        write_json(
            MEASURED,
            measured_json({k: v for k, v in result.items() if k != "simulated"}, result["simulated"]),
        )
    print(summary(result, chosen.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
