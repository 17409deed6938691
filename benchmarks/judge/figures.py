"""From rows to figures: QUANT's list of how decisions are judged, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.orders import Row
from benchmarks.judge.statistics import (
    Bootstrap,
    Estimate,
    Reliability,
    area_under_curve,
    brier_skill,
    error_if_calibrated,
    reliability,
    wilson,
)
from benchmarks.judging import FULL

Array = NDArray[np.float64]
Found = dict[str, Any]

JUDGED = "judged"
CELLS = ("objective", "condition", "urgency")
CHOICES = ("chosen", "structural", "unfitted", "best_fixed", "rule_table", "always_pov", "always_vwap", "always_twap")
WORDS = {
    "chosen": "the service", "structural": "surfaces refitted, no trees", "unfitted": "surfaces as built",
    "best_fixed": "best fixed candidate", "rule_table": "published rule table", "always_pov": "always POV 10 %",
    "always_vwap": "always VWAP", "always_twap": "always TWAP", "random": "random, undominated",
}
CALIBRATION_TIMES = 200


def judged_of(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == JUDGED]


def column(rows: Sequence[Row], read: Callable[[Row], float]) -> Array:
    return np.array([read(row) for row in rows], dtype=np.float64)


def regrets(rows: Sequence[Row], name: str) -> Array:
    """(rows,) bps behind the oracle; `random` is the mean over undominated candidates."""
    if name == "random":
        return column(rows, lambda row: row["random_regret_bps"])
    return column(rows, lambda row: row["choices"][name]["regret_bps"])


def within(rows: Sequence[Row], name: str) -> NDArray[np.bool_]:
    return np.array([row["choices"][name]["within"] for row in rows], dtype=np.bool_)


def bootstrap_of(rows: Sequence[Row]) -> Bootstrap:
    return Bootstrap.of(len(rows), FULL.bootstraps, FULL.bootstrap_seed)


def rounded(value: float, digits: int = 4) -> float | None:
    """For JSON, which has no word for what is not a number."""
    return round(value, digits) if math.isfinite(value) else None


def spread(name: str, found: Estimate, digits: int = 4) -> Found:
    """A figure and its interval as two keys."""
    return {
        name: rounded(found.value, digits),
        f"{name}_interval": [rounded(found.lower, digits), rounded(found.upper, digits)],
    }


# ---- accuracy and regret


def accuracy_figures(rows: Sequence[Row]) -> Found:
    """Shares within the tolerance, overall and in every cell, beside those of a random choice."""
    overall = wilson(within(rows, "chosen"))
    found = spread("accuracy", overall)
    found["accuracy_lower"] = rounded(overall.lower)
    found["accuracy_by"] = {cell: accuracy_by(rows, cell) for cell in CELLS}
    for cell in CELLS:
        worst = min((part["accuracy"] for part in found["accuracy_by"][cell].values()), default=None)
        found[f"accuracy_worst_{cell}"] = worst
    draw = bootstrap_of(rows)
    found |= spread("accuracy_random", draw.mean(column(rows, lambda row: row["random_accuracy"])))
    found |= spread(
        "accuracy_random_undominated", draw.mean(column(rows, lambda row: row["random_undominated_accuracy"]))
    )
    for group, name in (("kept", "prune_recall"), ("served", "served_recall")):
        hits = np.array([row["groups"].get(group, {}).get("within", False) for row in rows], dtype=np.bool_)
        found |= spread(name, wilson(hits))
    return found


def accuracy_by(rows: Sequence[Row], cell: str) -> Found:
    """One line a value of the cell, in the order in which they come up."""
    found: Found = {}
    for value in dict.fromkeys(row[cell] for row in rows):
        own = [row for row in rows if row[cell] == value]
        found[value] = spread("accuracy", wilson(within(own, "chosen"))) | {
            "accuracy_random": rounded(float(np.mean([row["random_accuracy"] for row in own]))),
            "regret_bps": rounded(float(regrets(own, "chosen").mean())), "orders": len(own),
        }
    return found


def skill_figures(rows: Sequence[Row]) -> Found:
    """Regret that the service saves against each baseline, and the baselines' own standing."""
    draw = bootstrap_of(rows)
    own = regrets(rows, "chosen")
    found: Found = {"regret_bps": rounded(float(own.mean())), "baselines": {}}
    for name, key in (("random", "skill_over_random"), ("best_fixed", "skill_over_best_fixed")):
        lost = draw.ratio(own, regrets(rows, name))
        found |= spread(key, Estimate(1.0 - lost.value, 1.0 - lost.upper, 1.0 - lost.lower, lost.count))
    gained = draw.mean(regrets(rows, "structural") - own)
    found |= spread("learned_over_structural_bps", gained)
    found["learned_over_structural_lower"] = rounded(gained.lower)
    found |= spread("refit_over_unfitted_bps", draw.mean(regrets(rows, "unfitted") - regrets(rows, "structural")))
    utility = column(rows, lambda row: abs(row["oracle_utility_bps"]))
    found |= spread("regret_of_utility", draw.ratio(own, utility))
    for name in (*CHOICES, "random"):
        line = spread("regret_bps", draw.mean(regrets(rows, name)))
        if name == "random":
            line["accuracy"] = rounded(float(np.mean([row["random_undominated_accuracy"] for row in rows])))
        else:
            line |= spread("accuracy", wilson(within(rows, name)))
        found["baselines"][name] = line
    return found


# ---- what the answer says of itself


def curve(found: Reliability) -> list[list[float]]:
    """[mean stated, share that came true, orders] a bin."""
    return [
        [round(float(stated), 4), round(float(true), 4), int(count)]
        for stated, true, count in zip(found.stated, found.true, found.counts, strict=True)
    ]


def confidence_figures(rows: Sequence[Row]) -> Found:
    stated, true = column(rows, lambda row: row["confidence"]), within(rows, "chosen")
    bins = reliability(stated, true.astype(np.float64))
    return {
        "confidence_mean": rounded(float(stated.mean())),
        "confidence_ece": rounded(bins.error),
        "confidence_ece_if_calibrated": rounded(error_if_calibrated(stated, CALIBRATION_TIMES, FULL.bootstrap_seed)),
        "confidence_brier_skill": rounded(brier_skill(stated, true.astype(np.float64))),
        "confidence_auc": rounded(area_under_curve(stated, true)),
        "confidence_curve": curve(bins),
    }


def completion_figures(rows: Sequence[Row]) -> Found:
    bins = reliability(
        column(rows, lambda row: row["said_completion"]), column(rows, lambda row: row["completion"])
    )
    return {"completion_ece": rounded(bins.error), "completion_curve": curve(bins)}


def covered(row: Row) -> float:
    """Share of the draws that lie in the 80 % interval."""
    draws = np.array(row["draws_bps"])
    return float(((draws >= row["said_quantile_10_bps"]) & (draws <= row["said_quantile_90_bps"])).mean())


def interval_figures(rows: Sequence[Row]) -> Found:
    """Coverage over draws, whole orders resampled; and how far off cost and risk are said."""
    found = spread("interval_coverage", bootstrap_of(rows).mean(column(rows, covered)))
    found["interval_draws"] = int(sum(len(row["draws_bps"]) for row in rows))
    found["interval_coverage_by"] = {}
    for condition in dict.fromkeys(row["condition"] for row in rows):
        own = [row for row in rows if row["condition"] == condition]
        found["interval_coverage_by"][condition] = spread(
            "interval_coverage", bootstrap_of(own).mean(column(own, covered))
        )
    shares = [part["interval_coverage"] for part in found["interval_coverage_by"].values()]
    found["interval_coverage_least"], found["interval_coverage_most"] = min(shares), max(shares)
    below = column(rows, lambda row: float((np.array(row["draws_bps"]) < row["said_quantile_10_bps"]).mean()))
    above = column(rows, lambda row: float((np.array(row["draws_bps"]) > row["said_quantile_90_bps"]).mean()))
    found["interval_below"], found["interval_above"] = rounded(float(below.mean())), rounded(float(above.mean()))
    draw = bootstrap_of(rows)
    found |= spread("cost_bias_bps", draw.mean(column(rows, lambda row: row["said_cost_bps"] - row["cost_bps"])))
    ratio = draw.mean(column(rows, lambda row: math.log(row["said_deviation_bps"] / row["deviation_bps"])))
    found |= spread("deviation_log_bias", ratio)
    return found


# ---- out of distribution


def axis_figures(rows: Sequence[Row], plain: Sequence[Row]) -> Found:
    """One shifted world or market; `plain` are the same orders unshifted, for the difference of confidence."""
    own = judged_of(rows)
    stated = {row["index"]: row["confidence"] for row in judged_of(plain)}
    both = [row for row in own if row["index"] in stated]
    falls = bootstrap_of(both).mean(column(both, lambda row: row["confidence"] - stated[row["index"]]))
    utility = column(own, lambda row: abs(row["oracle_utility_bps"]))
    return {
        **spread("accuracy", wilson(within(own, "chosen"))),
        **spread("confidence_change", falls),
        "confidence_mean": rounded(float(column(own, lambda row: row["confidence"]).mean())),
        **spread("regret_of_utility", bootstrap_of(own).ratio(regrets(own, "chosen"), utility)),
        "regret_bps": rounded(float(regrets(own, "chosen").mean())),
        "by_models": rounded(float(np.mean([row["by_models"] for row in own]))), "orders": len(own),
    }


def foreign_figures(seen: dict[str, list[Row]], unseen: dict[str, list[Row]], plain: Sequence[Row]) -> Found:
    """Seen axes: accuracy, and confidence falls. Unseen ones: regret as a share of utility."""
    found: Found = {
        "ood_seen": {name: axis_figures(rows, plain) for name, rows in seen.items()},
        "ood_unseen": {name: axis_figures(rows, plain) for name, rows in unseen.items()},
    }
    every = [row for rows in seen.values() for row in judged_of(rows)]
    found |= spread("accuracy_ood_seen", wilson(within(every, "chosen")))
    found["accuracy_ood_seen_worst"] = min(part["accuracy"] for part in found["ood_seen"].values())
    stated = {row["index"]: row["confidence"] for row in judged_of(plain)}
    both = [row for row in every if row["index"] in stated]
    falls = bootstrap_of(both).mean(column(both, lambda row: row["confidence"] - stated[row["index"]]))
    found |= spread("confidence_change_ood_seen", falls)
    others = [row for rows in unseen.values() for row in judged_of(rows)]
    utility = column(others, lambda row: abs(row["oracle_utility_bps"]))
    found |= spread("regret_ood_unseen", bootstrap_of(others).ratio(regrets(others, "chosen"), utility))
    found["regret_ood_unseen_worst"] = max(part["regret_of_utility"] for part in found["ood_unseen"].values())
    return found


# ---- the orders themselves


def order_figures(rows: Sequence[Row]) -> Found:
    """How many there were of each kind, and how well they are known."""
    own = judged_of(rows)
    kinds = {kind: sum(row["status"] == kind for row in rows) for kind in dict.fromkeys(r["status"] for r in rows)}
    errors = column(own, lambda row: row["choices"]["chosen"]["error_bps"])
    counts = {name: sum(row["algorithm"] == name for row in own) for name in dict.fromkeys(r["algorithm"] for r in own)}
    bests = {name: sum(row["oracle"] == name for row in own) for name in dict.fromkeys(r["oracle"] for r in own)}
    return {
        "orders": len(own), "orders_by_status": kinds,
        "by_models": rounded(float(np.mean([row["by_models"] for row in own]))),
        "pairs_mean": rounded(float(column(own, lambda row: row["pairs"]).mean()), 1),
        "pairs_most": int(max(row["pairs"] for row in own)),
        "error_bps_median": rounded(float(np.median(errors))),
        "error_bps_p95": rounded(float(np.quantile(errors, 0.95))),
        "error_over_wanted": rounded(float((errors > 0.15).mean())),
        "feasible_mean": rounded(float(column(own, lambda row: row["feasible"]).mean()), 1),
        "inline_share": rounded(float(column(own, lambda row: row["inline_share"]).mean())),
        "algorithms_chosen": dict(sorted(counts.items(), key=lambda pair: -pair[1])),
        "algorithms_best": dict(sorted(bests.items(), key=lambda pair: -pair[1])),
        "oracle_utility_bps_mean": rounded(float(column(own, lambda row: row["oracle_utility_bps"]).mean())),
    }
