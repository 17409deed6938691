"""Writes the figures of the last full run into docs/decision-quality.md, between its markers.

    python -m benchmarks.judge.page [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.judge.figures import CHOICES, WORDS, Found
from benchmarks.judge.report import interval
from benchmarks.judge.targets import as_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "decision-quality.md"
FIGURES = Path("build/bench/quality.json")
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def lines_of(found: Found) -> list[str]:
    """The tables as Markdown."""
    lines = [
        f"Benchmark `{found['benchmark']}`, {found['orders']:,} held-out orders, {found['minutes']:g} minutes with "
        f"{found['jobs']} process(es); models `{found['models_sha256'][:12] or 'none'}`.", "",
        "| Figure | Value [95 %] | Wanted | |", "|---|---|---|---|",
    ]
    for name, value, wanted, met in as_table(found):
        lines.append(f"| `{name}` | {value} | {wanted} | {'' if met else 'missed'} |")
    lines += ["", "| Choice | Accuracy [95 %] | Regret, bps [95 %] |", "|---|---|---|"]
    for name in (*CHOICES, "random"):
        line = found["baselines"][name]
        lines.append(f"| {WORDS[name]} | {interval(line, 'accuracy')} | {interval(line, 'regret_bps', 2)} |")
    for cell, parts in found["accuracy_by"].items():
        lines += ["", f"| {cell.capitalize()} | Accuracy [95 %] | Random | Orders |", "|---|---|---|---|"]
        for value, line in parts.items():
            lines.append(
                f"| {value} | {interval(line, 'accuracy')} | {line['accuracy_random']:.3f} | {line['orders']} |"
            )
    lines += ["", "| Shift | Accuracy [95 %] | Confidence change | Regret of utility |", "|---|---|---|---|"]
    for part in ("ood_seen", "ood_unseen"):
        for name, line in found[part].items():
            lines.append(
                f"| {name} | {interval(line, 'accuracy')} | {interval(line, 'confidence_change')} "
                f"| {interval(line, 'regret_of_utility')} |"
            )
    return lines + replay_lines(found.get("replay"), found.get("replay_reason", ""))


def replay_lines(replay: dict[str, Any] | None, reason: str) -> list[str]:
    if replay is None:
        return ["", f"Real days: none ({reason})."]
    lines = [
        "", f"{replay['orders']:,} orders on real days ({replay['dates']} dates, {replay['symbols']:,} symbols):", "",
        "| Against | Shortfall saved, bps [95 %] | Utility saved, bps [95 %] |", "|---|---|---|",
    ]
    for name, line in replay["against"].items():
        saved = interval(line, "saved_shortfall_bps", 2), interval(line, "saved_utility_bps", 2)
        lines.append(f"| {WORDS[name]} | {saved[0]} | {saved[1]} |")
    return lines


def filled(page: str, found: Found) -> str:
    """The page with the figures between its markers. Raises ValueError where there are none, or for a short run."""
    if found["short"]:
        raise ValueError("these are figures of a short look, which proves nothing")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return "\n".join([before + BEGIN, *lines_of(found), END]) + after


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page has the last run's figures")
    check = parser.parse_args(arguments).check
    page = PAGE.read_text(encoding="utf-8")
    try:
        new = filled(page, json.loads(FIGURES.read_text()))
    except (OSError, ValueError) as error:
        print(f"{PAGE.name} is left as it is: {error}", file=sys.stderr)
        return 2
    if check:
        return 0 if new == page else 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
