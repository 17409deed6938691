"""What a limit on price leaves of an order: one part of the decision call (engine/kernel.py).

The mid is taken as a Brownian motion without drift, of the order's own volatility. The order is worked evenly over its
horizon T while the mid is on the good side of the limit, and stands still while it is beyond. With r = room / (sigma
sqrt(T)), room the way from the mid to the limit (negative where the limit lies beyond the mid), Phi and phi the normal
distribution and its density, and

    m(r) = (1 + r^2) Phi(-|r|) - |r| phi(r)

three things are known exactly. m is half of what is expected to be left of the horizon when the mid first reaches the
limit, E[(1 - tau)+] / 2 (reflection principle); from then on the time on either side, and when the mid was last at the
limit, follow the arcsine laws (P. Levy, Sur certains processus stochastiques homogenes, Compositio Math. 7, 1939).

    ends(r)  = Phi(r)            chance that the mid ends on the good side
    time(r)  = 1 - m(r)          part of the horizon that it spends there (beyond the mid: m(r)); so much is done by an
                                 order that never makes up for what it missed
    last(r)  = 1 - m(r) / 2      part of the horizon after which it is there no more (beyond the mid: 2 Phi(r) -
                                 m(r) / 2); so much is done by one that makes up for everything at once

Algorithms make up for what they missed as fast as the participation limit lets them. Taken is that they go at twice
their even pace then (assumed), which lies between the two:

    kept(r)      = sqrt(time(r) last(r))    share that is done on average; the rest waits for the end of the horizon
    completes(r) = ends(r) last(r)          chance that all of it is done

Both rise with the room, from 0 far beyond the mid to 1 far inside, without a jump; at the mid they are 0.61 and 0.375.
An order that is simulated so, in a thousand steps, is within 0.035 of the one and 0.03 of the other, at three
horizons (tests/unit/test_price_limit.py). Drift is left out: alpha has a price of its own
(engine/utility.py), and utilities stay straight lines in it, which the flips are told from.
"""

from __future__ import annotations

import math

from engine.compiled import uncounted

# A price limit farther away than this is none (engine/resolve.py).
NO_LIMIT_BPS = 1e8
# Standard deviations of the mid over the horizon beyond which a limit is certainly not reached.
CERTAIN = 40.0

_INV_SQRT2 = 0.7071067811865476
_INV_SQRT_2PI = 0.3989422804014327


@uncounted
def ndtr(x):
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x * _INV_SQRT2)


@uncounted
def under_limit(room, wander):
    """(chance that the mid lets the whole order through, share of it that is done on average, chance that the mid
    reaches the limit). room: bps from the mid to the limit. wander: bps, the mid's standard deviation over the horizon.
    """
    if room >= CERTAIN * wander:
        return 1.0, 1.0, 0.0
    if room <= -CERTAIN * wander:
        return 0.0, 0.0, 0.0
    r = room / wander
    far = abs(r)
    tail = ndtr(-far)
    left = max((1.0 + r * r) * tail - far * _INV_SQRT_2PI * math.exp(-0.5 * r * r), 0.0)
    if r >= 0.0:
        ends, time, last = 1.0 - tail, 1.0 - left, 1.0 - 0.5 * left
    else:
        ends, time, last = tail, left, 2.0 * tail - 0.5 * left
    return ends * last, math.sqrt(time * last), 2.0 * tail
