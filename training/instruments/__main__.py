"""The seed of instruments and venues, calibrated from the real data.

    python -m training.instruments --data ../shared/data --out store/seed/instruments.json

writes `instruments.json`, and beside it `venues.json` and `impact.json`. The same data give the same bytes:
no clock, no random state outside a seeded bootstrap, sorted keys, floats rounded to six significant digits.
Every figure carries its origin, "measured: ..." or "assumed: ...". The data files themselves never enter the
repository; `store/seed/README.md` says what each figure is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.instruments.seed import write_seed


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes instruments.json, and venues.json and impact.json beside it."""
    parser = argparse.ArgumentParser(
        prog="python -m training.instruments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("store/seed/instruments.json"))
    chosen = parser.parse_args(arguments)
    write_seed(chosen.data, chosen.out)


if __name__ == "__main__":
    main()
