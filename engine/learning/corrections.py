"""Corrections in force, as a value: what is added to the predicted cost of every candidate, and how sure that is."""

from __future__ import annotations

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.catalogue import ALGORITHM_NAMES
from engine.learning.effects import (
    EFFECTS,
    effect_names,
    prior_sds,
)

Array = NDArray[np.float64]

# A correction never says more than this, whatever was reported: bps of the order.
MOST_CORRECTION_BPS = 50.0
# What an alarm leaves of the confidence: the calibration behind it no longer holds. Assumed.
ALARM_CONFIDENCE = 0.6


class Corrections(msgspec.Struct, frozen=True):
    """values: (EFFECTS,) in force, 0 where the evidence does not carry one. mean: (EFFECTS,) what is most likely, and
    covariance_root: (EFFECTS, EFFECTS) lower triangle of how unsure that is, by rows (bytes of float64, little-endian):
    exploration draws from them. alarms: "ALL", or names of algorithms whose outcomes are not what was predicted.
    """

    surfaces_sha256: str
    models_sha256: str
    outcomes: int
    names: tuple[str, ...]
    values: tuple[float, ...]
    mean: tuple[float, ...]
    covariance_root: bytes
    alarms: tuple[str, ...]


class Exploration(msgspec.Struct, frozen=True):
    """budget_bps: utility an order may give up on average to learn; 0 explores nothing. regret_cap_bps: no candidate
    that is expected to be worse than the best by more is ever tried."""

    budget_bps: float = 0.0
    regret_cap_bps: float = 1.0


class Learned(msgspec.Struct, frozen=True, dict=True):
    """What a snapshot holds: corrections, and what exploring is allowed. `sha256`: of its canonical bytes, hex."""

    corrections: Corrections
    exploration: Exploration
    sha256: str

    @cached_property
    def values(self) -> Array:
        return np.array(self.corrections.values)

    @cached_property
    def mean(self) -> Array:
        return np.array(self.corrections.mean)

    @cached_property
    def root(self) -> Array:
        return np.frombuffer(self.corrections.covariance_root, dtype="<f8").reshape(EFFECTS, EFFECTS)

    @cached_property
    def corrects(self) -> bool:
        """Whether any effect is in force."""
        return any(self.corrections.values)

    @property
    def explores(self) -> bool:
        return self.exploration.budget_bps > 0.0

    def confidence_factor(self, algorithm: str) -> float:
        """What is left of the confidence in a choice of this algorithm."""
        alarms = self.corrections.alarms
        return ALARM_CONFIDENCE if "ALL" in alarms or algorithm in alarms else 1.0


def no_corrections(surfaces_sha256: str, models_sha256: str) -> Corrections:
    """Before any outcome: nothing is corrected, and all is as unsure as the priors say."""
    nothing = (0.0,) * EFFECTS
    root = np.diag(prior_sds()).astype("<f8").tobytes()
    return Corrections(surfaces_sha256, models_sha256, 0, effect_names(), nothing, nothing, root, ())


def faults_of(corrections: Corrections) -> list[str]:
    """Why this build cannot use them; nothing where it can."""
    if corrections.names != effect_names():
        return [f"made for other algorithms or sizes than the {len(ALGORITHM_NAMES)} algorithms of this build"]
    if len(corrections.values) != EFFECTS or len(corrections.mean) != EFFECTS:
        return ["the wrong number of effects"]
    if len(corrections.covariance_root) != EFFECTS * EFFECTS * 8:
        return ["the wrong size of the covariance"]
    figures = [*corrections.values, *corrections.mean, *np.frombuffer(corrections.covariance_root, "<f8").tolist()]
    return [] if np.all(np.isfinite(figures)) else ["a figure is not finite"]
