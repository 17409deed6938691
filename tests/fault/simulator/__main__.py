"""`python -m tests.fault.simulator [--seed N] [--steps N] [--seeds N]`: runs seeds from N on, and prints each.

A violation ends it, names its seed, and comes again with that seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import time

from tests.fault.simulator.simulation import Simulation, Violation


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="what the service logs, too")
    given = parser.parse_args(arguments)
    logging.disable(logging.NOTSET if given.verbose else logging.CRITICAL)
    for seed in range(given.seed, given.seed + given.seeds):
        begun_s = time.monotonic()
        try:
            result = Simulation(seed).run(given.steps)
        except Violation as error:
            print(error, file=sys.stderr)
            return 1
        shown = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        print(json.dumps(shown | {"took_s": round(time.monotonic() - begun_s, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
