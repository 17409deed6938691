"""What the benchmark of decisions is made of, as hashes in benchmarks/judging.json; another one gets another name.

    python -m benchmarks.judging                 # what differs from the committed file; status 1 if anything does
    python -m benchmarks.judging --write b2      # takes what the code says now as benchmark b2

The grid of candidates, the utility table, the simulated world, the drawn orders and the rules of judging: whoever
changes one of them changes the yardstick, so figures from before and after must not be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.simulator.world import DEFAULT_WORLD
from engine.utility import table_sha256
from training.contexts import Case, Purpose, draw_case
from training.judging_grid import grid_sha256, judging_grid
from training.verdict import DEFAULT_RULES

FILE = Path(__file__).resolve().parent / "judging.json"
# As many orders as every combination of objective, condition and urgency has instances in the hash.
HASHED_CASES = 240


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many orders each part has. The main ones are instances of all 120 combinations, equally many; those of an
    axis are the first of the main ones once more, so that confidence is compared pair by pair."""

    orders: int = 2_040
    axis_orders: int = 240
    fixed_rule_orders: int = 600
    seen_axes: tuple[str, ...] = ("volatility", "spread", "volume")
    unseen_axes: tuple[str, ...] = ("impact_factor", "dark_factor")
    axis_factors: tuple[float, ...] = (0.5, 2.0)
    bootstraps: int = 2_000
    bootstrap_seed: int = 20261122


FULL = Sizes()


def case_row(case: Case) -> list[Any]:
    """What of a case decides how it is judged; numbers to nine digits, since libraries differ in the last one."""
    request, said = case.request, case.request.context
    figures = (
        request.quantity_shares, said.mid_price, said.spread_bps, said.daily_volatility_fraction,
        said.average_daily_volume_shares, said.short_term_alpha_bps_per_day, *case.weights.tolist(),
    )
    constraints = request.constraints
    return [
        request.order_id, request.instrument_id, int(request.side), int(request.objective), int(request.urgency),
        request.start_ns, [f"{figure:.9g}" for figure in figures], constraints.max_participation_rate,
        constraints.time_limit_minutes, sorted(constraints.excluded_venues), constraints.dark_pool_preference,
    ]


def cases_sha256() -> str:
    """Hash of the first held-out orders, hex."""
    rows = [case_row(draw_case(Purpose.JUDGE, index)) for index in range(HASHED_CASES)]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def current(name: str) -> dict[str, Any]:
    """What the code says, in the form of the file."""
    found: dict[str, Any] = {
        "name": name,
        "grid": {"candidates": len(judging_grid().candidates), "sha256": grid_sha256()},
        "utility_sha256": table_sha256(),
        "world_sha256": DEFAULT_WORLD.sha256(),
        "cases_sha256": cases_sha256(),
        "rules": asdict(DEFAULT_RULES),
        "sizes": asdict(FULL),
    }
    # Tuples become lists, as they come back from a file.
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def committed(file: Path = FILE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def differences(file: Path = FILE) -> list[str]:
    """Which parts of the committed benchmark are not what the code says."""
    known = committed(file)
    now = current(str(known.get("name", "")))
    return [
        f"{part}: {json.dumps(known.get(part))} is committed, the code says {json.dumps(now.get(part))}"
        for part in sorted(known.keys() | now.keys()) if known.get(part) != now.get(part)
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="NAME", help="take what the code says now as the benchmark of this name")
    name = parser.parse_args(arguments).write
    if name:
        FILE.write_text(json.dumps(current(name), indent=2) + "\n")
        return 0
    found = differences()
    print("\n".join(found) or f"benchmark {committed()['name']}: the code is what was committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
