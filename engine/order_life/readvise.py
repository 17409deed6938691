"""The remainder decided anew, and whether that is worth leaving the plan in force.

The plan in force and the models' best candidates are played out on the same simulated markets (rollout.py); where
there is nothing to play, the plan is priced for the remainder by the very call that finds the best: its candidate with
what is left of its duration. A switch must gain more than it costs and than either can tell apart (`rules.Switching`);
where the plan cannot go on as it is (amended, behind, its limits in the way) the schedule is recast, by the same
algorithm unless another is better by as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import msgspec

from engine import kernel as k
from engine.catalogue import CandidateSet, HorizonRule
from engine.decide import Considered, checked, consider
from engine.decision import Decision, ParameterValue, Refusal
from engine.fitting import fitting_fraction
from engine.order_life.plan import Plan
from engine.order_life.rollout import Played, played
from engine.order_life.rules import RULES, Switching
from engine.order_life.state import OrderState
from engine.order_life.triggers import Fired, Trigger
from engine.priced import Priced
from engine.request import OrderRequest
from engine.resolve import Resolved
from engine.simulator.market import Levels
from engine.snapshot import Snapshot
from engine.words import exact


class Action(IntEnum):
    """What an advice asks for. The numbers are those of the contract."""

    KEEP = 1
    RETUNE = 2
    SWITCH = 3
    PAUSE = 4
    STOP = 5


# What must be answered at once, however young the plan is.
PRESSING: Final = frozenset({Trigger.AMENDED, Trigger.PRICE_LIMIT, Trigger.DEADLINE, Trigger.REQUESTED})
# How the order fares, which chance does as much as any change of the market.
OF_ITS_OWN: Final = frozenset({Trigger.SCHEDULE_SHORTFALL, Trigger.PARTICIPATION_DRIFT, Trigger.DEADLINE})
COLLAR: Final = frozenset({Trigger.PRICE_LIMIT})
# Less likely than this to be completed is told as such; resting beyond a price limit is the usual case.
LEAST_COMPLETION: Final = 0.05
# Of what fits under the limits until the deadline, what is planned where not all does.
FITTING_MARGIN: Final = 0.95


@dataclass(frozen=True, slots=True)
class Gain:
    """stays: whether the plan in force may go on at all. net_bps: after the cost of switching. tried: what playing out
    found, where there was something to play."""

    stays: bool
    net_bps: float
    margin_bps: float
    tried: Played | None = None

    @property
    def is_worth_it(self) -> bool:
        return not self.stays or self.net_bps > self.margin_bps


@dataclass(frozen=True, slots=True)
class Advice:
    """`decision` for RETUNE and SWITCH. gain_bps: of utility, the cost of switching taken off; 0 for KEEP. weighed:
    what the best was worth against the plan in force, None where there was nothing to weigh."""

    action: Action
    trigger: Trigger
    rationale: str
    gain_bps: float = 0.0
    decision: Decision | None = None
    cannot_complete: bool = False
    weighed: Gain | None = None


@dataclass(frozen=True, slots=True)
class Stay:
    """The plan in force for the remainder: the catalogue's nearest candidate, and its utility between neighbours;
    None where its limits no longer allow it."""

    candidate: int
    utility_bps: float
    structural_bps: float


def readvise(remainder: OrderRequest, plan: Plan, state: OrderState, why: tuple[Fired, ...], snapshot: Snapshot,
             now_ns: int, switching: Switching = RULES.switching, known: Levels | None = None) -> Advice:
    """The advice for what is left of an order, after a trigger. known: of the day, from its bars."""
    considered = consider(remainder, snapshot)
    partial = False
    if isinstance(considered.decision, Refusal) and considered.resolved is not None:
        easier = eased(remainder, considered.resolved)
        if easier is not None:
            considered, partial = consider(easier, snapshot), True
    decision, resolved, priced = considered.decision, considered.resolved, considered.priced
    if isinstance(decision, Refusal) or resolved is None or priced is None:
        return cannot(decision, considered, why)
    partial = partial or any("carried over" in warning for warning in decision.warnings)
    hopeless = decision.chosen.outcomes.completion_probability < LEAST_COMPLETION
    over = plan.is_over(now_ns)
    tried = played(priced, resolved, plan, state, snapshot, now_ns, over, switching, known)
    stay = None if over else stay_of(plan, snapshot.catalogue, priced, now_ns, forgiven(why, switching, tried))
    if tried is not None:
        found = checked(resolved, snapshot, msgspec.structs.replace(priced, best=tried.best))
        if isinstance(found, Refusal):
            tried = None
        else:
            decision, priced = found, msgspec.structs.replace(priced, best=tried.best)
            considered = msgspec.structs.replace(considered, decision=decision, priced=priced)
    gain = gain_of(stay, priced, why, state, resolved, switching, tried)
    chosen = pick(considered, stay, gain, why, snapshot)
    trigger, words = told(why)
    if partial:
        words += f"; {part_words(decision_quantity(chosen or decision), remainder)}"
    if chosen is None:
        text = f"{words}; {kept_words(plan, gain)}"
        return Advice(Action.KEEP, trigger, text, 0.0, None, partial or hopeless, gain)
    same = chosen.chosen.algorithm == plan.algorithm
    action = Action.RETUNE if same else Action.SWITCH
    net = max(0.0, gain.net_bps) if chosen is considered.decision else 0.0
    verb = f"{plan.strategy_name} goes on with a new schedule" if same else (
        f"{chosen.chosen.strategy_name} instead of {plan.strategy_name}"
    )
    text = f"{words}; {verb}, expected to gain {net:.1f} bps of what is left. {chosen.rationale}"
    return Advice(action, trigger, text, net, chosen, partial or hopeless, gain)


def forgiven(why: tuple[Fired, ...], switching: Switching, tried: Played | None) -> int:
    """Mask bits for which a plan in force is not left. One that would have to trade faster than it may keeps to the
    limit and is late: by itself that is no reason, and where it was played out, late as it is, its price says the
    rest. An amendment is another matter: it may have set the limit."""
    behind = all(reason.trigger in OF_ITS_OWN for reason in why)
    priced_late = switching.playing.keeps_late and tried is not None and tried.keep_bps is not None
    amended = any(reason.trigger is Trigger.AMENDED for reason in why)
    return k.MASK_LEFT_OUT | (k.MASK_PARTICIPATION if behind or (priced_late and not amended) else 0)


def gain_of(stay: Stay | None, priced: Priced, why: tuple[Fired, ...], state: OrderState, resolved: Resolved,
            switching: Switching, tried: Played | None = None) -> Gain:
    """`tried`: the plan in force and the best played out; their prices count where it is None."""
    best = priced.metrics[priced.best]
    if stay is None:
        return Gain(False, 0.0, 0.0, tried)
    error = 0.0
    if tried is not None and tried.keep_bps is not None:
        before, after, error = tried.keep_bps, tried.best_bps, tried.error_bps
    elif math.isfinite(stay.utility_bps):
        before, after = stay.utility_bps, float(best[k.UTILITY])
    else:  # too far behind to be scored by the models: the surfaces say by how much
        before, after = stay.structural_bps, float(best[k.STRUCTURAL_UTILITY])
    working = state.working_units / state.open_units if state.open_units else 0.0
    same = priced.algorithm[priced.best] == priced.algorithm[stay.candidate]
    cost = switching.retune_bps if same else switching.switch_bps
    cost += switching.working_spread_part * resolved.inputs.spread_bps * working
    margin = max(switching.tolerance_bps, switching.tolerance_fraction * abs(before))
    margin += switching.tolerance_errors * error
    # Near the collar that every order has it is the price that moved by chance; a limit that was asked for is another.
    by_itself = OF_ITS_OWN if resolved.request.constraints.price_limit is not None else OF_ITS_OWN | COLLAR
    if all(reason.trigger in by_itself for reason in why):
        margin *= switching.progress_factor
    return Gain(True, before - after - cost, margin, tried)


def pick(considered: Considered, stay: Stay | None, gain: Gain, why: tuple[Fired, ...],
         snapshot: Snapshot) -> Decision | None:
    """The decision to send; None where the plan in force goes on as it is: one that is only behind too, since
    algorithms catch up by themselves, and those that follow the market are rarely on their slices."""
    assert considered.priced is not None
    assert considered.resolved is not None
    assert isinstance(considered.decision, Decision)
    if gain.is_worth_it:
        return considered.decision
    if not any(reason.recasts for reason in why):
        return None
    if stay is None or considered.priced.mask[stay.candidate] != 0:
        return considered.decision
    recast = checked(considered.resolved, snapshot, msgspec.structs.replace(considered.priced, best=stay.candidate))
    return considered.decision if isinstance(recast, Refusal) else recast


def stay_of(plan: Plan, catalogue: CandidateSet, priced: Priced, now_ns: int,
            soft: int = k.MASK_LEFT_OUT) -> Stay | None:
    """The plan's algorithm and parameters with what is left of its time, between the two durations that enclose it;
    None where none of them is allowed any more, but for the mask bits in `soft`."""
    alike = [
        n for n, candidate in enumerate(catalogue.candidates)
        if candidate.spec.name == plan.algorithm and same_shape(candidate.parameters, plan.parameters)
        and priced.mask[n] & ~soft == 0
    ]  # fmt: skip
    if not alike:
        return None
    rows = priced.metrics[alike]
    rule = catalogue.candidates[alike[0]].spec.rule
    if rule is not HorizonRule.DURATION:
        nearest = min(alike, key=lambda n: rate_distance(catalogue, n, plan))
        return stay_between(priced, nearest, nearest, 0.0)
    minutes = max(1.0, (plan.end_ns - now_ns) / 60e9)
    horizons = rows[:, k.HORIZON_MINUTES].tolist()
    by_horizon = sorted(zip(horizons, alike, strict=True))
    below = [pair for pair in by_horizon if pair[0] <= minutes] or by_horizon[:1]
    above = [pair for pair in by_horizon if pair[0] >= minutes] or by_horizon[-1:]
    (low, first), (high, second) = below[-1], above[0]
    part = math.log(minutes / low) / math.log(high / low) if high > low * (1.0 + 1e-9) else 0.0
    return stay_between(priced, first, second, min(1.0, max(0.0, part)))


def stay_between(priced: Priced, first: int, second: int, part: float) -> Stay:
    one, other = priced.metrics[first], priced.metrics[second]
    pruned = bool(priced.mask[first] | priced.mask[second])
    utility = math.nan if pruned else float(one[k.UTILITY] + part * (other[k.UTILITY] - one[k.UTILITY]))
    structural = float(
        one[k.STRUCTURAL_UTILITY] + part * (other[k.STRUCTURAL_UTILITY] - one[k.STRUCTURAL_UTILITY])
    )
    return Stay(first if part < 0.5 else second, utility, structural)


def same_shape(parameters: Mapping[str, float], in_force: Mapping[str, ParameterValue]) -> bool:
    """Alike in everything but duration and rate."""
    return all(
        math.isclose(value, float(in_force.get(name, 0.0)), rel_tol=1e-6, abs_tol=1e-9)
        for name, value in parameters.items() if name not in ("duration_minutes", "participation_rate")
    )  # fmt: skip


def rate_distance(catalogue: CandidateSet, candidate: int, plan: Plan) -> float:
    parameters = catalogue.candidates[candidate].parameters
    if "participation_rate" not in parameters:
        return 0.0
    return abs(math.log(parameters["participation_rate"] / max(plan.participation_rate, 1e-6)))


def eased(remainder: OrderRequest, resolved: Resolved) -> OrderRequest | None:
    """What can be planned of a remainder that nothing takes as it is: the part that fits, or else all of it, however
    unlikely it is to be completed. None where neither asks for less."""
    smaller = fitting_part(remainder, resolved)
    if smaller is not None or remainder.constraints.min_completion_probability is None:
        return smaller
    return replace(remainder, constraints=replace(remainder.constraints, min_completion_probability=None))


def part_words(can_shares: float, remainder: OrderRequest) -> str:
    least = remainder.constraints.min_completion_probability
    if can_shares < remainder.quantity_shares or least is None:
        return f"only {exact(can_shares)} of {exact(remainder.quantity_shares)} can be done in time"
    return f"no strategy is as likely as {least:g} to complete it"


def fitting_part(remainder: OrderRequest, resolved: Resolved) -> OrderRequest | None:
    """As much of the remainder as its limits let through until the deadline, in whole lots."""
    lot = resolved.view.instrument.lot_size_shares
    fraction = fitting_fraction(resolved, resolved.inputs.max_participation_rate * FITTING_MARGIN)
    lots = math.floor(remainder.quantity_shares * fraction / lot + 1e-9)
    if lots < 1 or lots * lot >= remainder.quantity_shares:
        return None
    constraints = replace(remainder.constraints, min_completion_probability=None)
    return replace(remainder, quantity_shares=lots * lot, constraints=constraints)


def cannot(refusal: Decision | Refusal, considered: Considered, why: tuple[Fired, ...]) -> Advice:
    """Nothing can be planned. Beyond the price limit that is a matter of waiting; else the order will not be done."""
    trigger, words = told(why)
    faults = refusal.faults if isinstance(refusal, Refusal) else ()
    reasons = "; ".join(fault.description for fault in faults)
    resolved = considered.resolved
    if resolved is not None and resolved.limit_room_bps <= 0.0:
        return Advice(Action.PAUSE, Trigger.PRICE_LIMIT, f"{words}; {reasons}; wait until the price is back")
    return Advice(Action.KEEP, trigger, f"{words}; what is left cannot be planned: {reasons}", 0.0, None, True)


def told(why: tuple[Fired, ...]) -> tuple[Trigger, str]:
    return why[0].trigger, "; ".join(reason.words for reason in why)


def kept_words(plan: Plan, gain: Gain) -> str:
    found = f"at most {max(0.0, gain.net_bps):.1f} bps" if gain.stays else "nothing"
    return f"{plan.strategy_name} stays: {found} would be gained, a switch must gain {gain.margin_bps:.1f} bps"


def decision_quantity(decision: Decision) -> float:
    return math.fsum(part.quantity_shares for part in decision.schedule.slices)
