"""What a gateway would send: bars of a minute with mid, volume and spread, the mid and spread of now. No condition."""

from __future__ import annotations

from copy import copy
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.adapt.worlds import World
from engine.request import Context
from engine.simulator.market import DRIFT, HALF_SPREAD, INNOVATION, VOLUME, MarketPaths
from engine.values import Bar

BARS: Final = 60
# The spread of now is the mean of so many minutes.
SPREAD_BARS: Final = 5


class Tape:
    """The bars of one path, growing with it. Our own displacement is in the mids after the start."""

    def __init__(self, world: World, paths: MarketPaths, pair: int, mirror: float) -> None:
        usual = world.usual
        self._world, self._sign = world, world.side.sign
        self._mid, self._sigma = float(usual.mid_price or 0.0), float(usual.daily_volatility_fraction or 0.0)
        fields = paths.fields[pair]
        spread, volume = float(usual.spread_bps or 0.0), float(usual.average_daily_volume_shares or 0.0)
        self._spreads: list[float] = (2.0 * spread * fields[:, HALF_SPREAD].astype(np.float64)).tolist()
        self._volumes: list[float] = (volume * fields[:, VOLUME].astype(np.float64)).tolist()
        moves: NDArray[np.float64] = mirror * (fields[:, INNOVATION] + fields[:, DRIFT]).astype(np.float64)
        before = np.cumsum(moves[: world.warm])
        self._bars = [
            self._bar(minute, float(moved)) for minute, moved in enumerate(before - before[-1])
        ][-BARS:]  # fmt: skip

    def copied(self) -> Tape:
        """The same moment, to go on otherwise."""
        other: Tape = copy(self)
        other._bars = self._bars[:]
        return other

    def _bar(self, position: int, moved: float) -> Bar:
        """`position` counts from the warm-up's first minute; `moved` against the order since its start."""
        end_ns = self._world.bar_end_ns(position + 1 - self._world.warm)
        mid = self._mid * float(np.exp(self._sign * self._sigma * moved))
        return Bar(end_ns, mid, self._volumes[position], self._spreads[position])

    def traded(self, minute: int, moved: float) -> None:
        """Minute `minute` of the order is over."""
        self._bars.append(self._bar(self._world.warm + minute, moved))
        del self._bars[:-BARS]

    def context(self) -> Context:
        spreads = [bar.spread_bps for bar in self._bars[-SPREAD_BARS:]]
        return Context(
            mid_price=self._bars[-1].mid_price, spread_bps=sum(spreads) / len(spreads), bars=tuple(self._bars)
        )
