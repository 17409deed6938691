"""Compiles and touches everything a first call would wait for.

As a module (`python -m service.warmup`) it fills the compiler's cache at install, so that a worker starts in seconds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import msgspec
import numpy as np

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import ALGORITHM_NAMES, candidate_set, shape_keys
from engine.decide import decide
from engine.decide_many import decide_all
from engine.decision import Decision
from engine.learning.corrections import Exploration, Learned, no_corrections
from engine.order_life.plan import deadline_of, plan_of
from engine.order_life.state import Opening, opened
from engine.order_life.updates import UNITS_PER_SHARE, Market
from engine.order_life.watch import seen, watch_of
from engine.pricing import OUTPUTS
from engine.request import Context, OrderRequest
from engine.scoring.features import DESCRIBING_HEADS, FEATURE_NAMES, RANKING_HEADS, schema_sha256
from engine.scoring.models import CONFIDENCE_FEATURES, DOMAIN_NAMES, Models
from engine.scoring.trees import LEAF, TreeTable
from engine.sessions import Sessions
from engine.snapshot import Limits, Snapshot, VenueDirectory, prepare_view
from engine.surfaces import Surfaces
from engine.utility import table_sha256
from engine.values import (
    Bar,
    Instrument,
    MarketState,
    Objective,
    Side,
    TradingSession,
    Urgency,
    Venue,
    VenueKind,
)
from engine.venues import dark_shares
from service.deciding import Deciding
from service.mapping.responses import Naming, answer_of
from service.mapping.wire import ToldWriter
from store.journal import pen_compiled

MINUTE_NS = 60_000_000_000
WARM_CALLS = 20


def warm(snapshot: Snapshot) -> None:
    """Decides a few orders of the real snapshot, so that the first real one is not the slow one."""
    # Corrections may come at any time, and their first decision must not wait for a compiler.
    corrected, writer = replace(snapshot, learned=toy_learned()), ToldWriter()
    naming = Naming(snapshot.directory, snapshot.venue_names)
    for name, view in list(snapshot.views.items())[:3]:
        start_ns = int(view.sessions.open_ns[len(view.sessions.open_ns) // 2]) + 30 * MINUTE_NS
        quantity = view.instrument.lot_size_shares * 100
        aim = (Objective.BALANCED_EXECUTION, Urgency.NORMAL)
        decide_all([OrderRequest("warm", name, Side.BUY, quantity, *aim, start_ns, 1)], snapshot)
        for _ in range(WARM_CALLS):
            decision = decide(OrderRequest("warm", name, Side.BUY, quantity, *aim, start_ns, 1), snapshot)
            if isinstance(decision, Decision):
                answer_of(decision, naming, "", start_ns, 1, writer)
            decide(OrderRequest("warm", name, Side.BUY, quantity, *aim, start_ns, 1), corrected)
        if view.dark:
            dark_shares(view.venues, quantity)  # whether or not one of them goes there
    warm_order_life(snapshot)


def warm_order_life(snapshot: Snapshot) -> None:
    """One look at an order under way: the filter of its bars, and what is left of it played out."""
    for view in list(snapshot.views.values())[:1]:
        start_ns = int(view.sessions.open_ns[len(view.sessions.open_ns) // 2]) + 30 * MINUTE_NS
        quantity = view.instrument.lot_size_shares * 100
        name = view.instrument.instrument_id
        aim = (Objective.BALANCED_EXECUTION, Urgency.NORMAL)
        request = OrderRequest("warm", name, Side.BUY, quantity, *aim, start_ns, 1)
        decision = decide(request, snapshot)
        if not isinstance(decision, Decision):
            continue
        mid = view.market.mid_price or 1.0
        state = opened(Opening("warm", name, 1, round(quantity * UNITS_PER_SHARE), mid, start_ns)).state
        plan = plan_of(decision, state, start_ns, deadline_of(view, request.constraints, start_ns))
        bars = tuple(Bar(start_ns + n * MINUTE_NS, mid * (1.0 + 1e-4 * (n % 3)), 1e4, 2.0) for n in range(-20, 3))
        market = Market(Context(mid_price=mid, spread_bps=2.0, bars=bars))
        seen(watch_of(request, start_ns, plan, view), state, market, snapshot, start_ns + 2 * MINUTE_NS, "warm")


def touch(snapshot: Snapshot) -> None:
    """One decision of another snapshot while the service runs: its arrays are read in. Nothing is compiled: they are of
    the same form as those before. For a thread; the loop goes first."""
    for view in list(snapshot.views.values())[:1]:
        start_ns = int(view.sessions.open_ns[len(view.sessions.open_ns) // 2]) + 30 * MINUTE_NS
        aim = (Objective.BALANCED_EXECUTION, Urgency.NORMAL)
        quantity = view.instrument.lot_size_shares * 100
        decide(OrderRequest("warm", view.instrument.instrument_id, Side.BUY, quantity, *aim, start_ns, 1), snapshot)


async def warm_thread(snapshot: Snapshot) -> None:
    """The thread that decides beside the loop."""
    deciding = Deciding(by_thread=True)
    deciding.begin(snapshot)
    if not await deciding.has_thread():
        raise RuntimeError("the engine's thread does not start")
    for name, view in snapshot.views.items():
        start_ns = int(view.sessions.open_ns[len(view.sessions.open_ns) // 2]) + 30 * MINUTE_NS
        quantity = view.instrument.lot_size_shares * 100
        order = OrderRequest(
            "warm", name, Side.BUY, quantity, Objective.BALANCED_EXECUTION, Urgency.NORMAL, start_ns, 1
        )
        await deciding.decide(order, snapshot, is_alone=False)
    deciding.close()


def toy_snapshot() -> Snapshot:
    """A snapshot of one made-up instrument with flat surfaces: enough to compile every function."""
    axis = np.array([-8.0, 0.0])
    values = np.zeros((6, len(shape_keys()), 2, 2, 2, len(OUTPUTS)), dtype=np.float32)
    open_ns = 1_767_623_400_000_000_000
    sessions = Sessions.of([TradingSession(open_ns, open_ns + 390 * MINUTE_NS)])
    venues = (
        Venue("XNYS", "NYSE", VenueKind.LIT, 0.8, 0.3, -0.2),
        Venue("UBSA", "UBS ATS", VenueKind.DARK, 0.1, 0.1, 0.1, (100.0, 1000.0), (0.5, 0.2)),
    )
    instrument = Instrument(
        "TOY", "toy", "XNYS", "XNYS", "USD", 0.01, 1.0, 1e9, venues, (0.5, 0.5), 0.01, 0.05, 2.0, "made up"
    )
    bars = tuple(Bar(open_ns + k * MINUTE_NS, 100.0 + 0.01 * (k % 3), 1e4, 2.0) for k in range(1, 31))
    market = MarketState(open_ns + 30 * MINUTE_NS, 100.0, 2.0, 0.015, 5e6, None, bars)
    view = prepare_view(instrument, market, sessions, 570.0)
    return Snapshot(
        candidate_set(), Surfaces(values, axis, axis, axis), "", DEFAULT_ASSUMPTIONS, table_sha256(), "warm", Limits(),
        VenueDirectory({}, {}), {"TOY": view},
    )


def toy_learned() -> Learned:
    """A shift of all costs and a little exploration."""
    found = no_corrections("", "")
    values = (0.5, *found.values[1:])
    return Learned(msgspec.structs.replace(found, values=values), Exploration(0.01, 1.0), "warm")


def toy_models() -> Models:
    """Models without a single tree, whose domain is everything."""
    everything = np.tile([-1e9, 1e9], (len(DOMAIN_NAMES), 1))
    line = np.array([[0.0, 1.0], [0.0, 1.0]])
    return Models(
        ranking=toy_table(ALGORITHM_NAMES, RANKING_HEADS, FEATURE_NAMES),
        describing=toy_table(ALGORITHM_NAMES, DESCRIBING_HEADS, FEATURE_NAMES),
        confidence=toy_table(("ALL",), ("within",), CONFIDENCE_FEATURES),
        factors=np.ones((6, len(shape_keys()), len(OUTPUTS))), interval_scale=np.ones((6, 2)), completion_map=line,
        confidence_map=line, domain=everything, ratio_sd=np.ones(3), thin_from=1.0, thin_slope=0.1,
        keep=np.array([16, 8, *[1] * len(ALGORITHM_NAMES)], dtype=np.int64),
    )


def toy_table(groups: tuple[str, ...], heads: tuple[str, ...], features: tuple[str, ...]) -> TreeTable:
    """One leaf of 0, so that the arrays are those of a real table."""
    first_tree = np.ones((len(groups), len(heads) + 1), dtype=np.int32)
    first_tree[0, 0] = 0
    return TreeTable(
        feature=np.array([LEAF], dtype=np.int16), threshold=np.zeros(1, dtype=np.float32),
        left=np.array([LEAF], dtype=np.int32), right=np.array([LEAF], dtype=np.int32),
        value=np.zeros(1, dtype=np.float32), root=np.zeros(1, dtype=np.int32), first_tree=first_tree,
        base=np.zeros((len(groups), len(heads)), dtype=np.float32), groups=groups, heads=heads, features=features,
        schema_sha256=schema_sha256(),
    )


def probe_shipped() -> None:
    """What every start does with the models before they may decide calls compiled functions of its own."""
    from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
    from service.models import load_models
    from store.artifacts import load_artifact

    load_models(SHIPPED_MODELS, load_artifact(SHIPPED_SURFACES).sha256)


def main() -> None:
    begun_s = time.perf_counter()
    warm(toy_snapshot())
    warm(replace(toy_snapshot(), models=toy_models()))
    probe_shipped()
    pen_compiled.prepare()
    asyncio.run(warm_thread(replace(toy_snapshot(), models=toy_models())))
    print(f"compiled in {time.perf_counter() - begun_s:.1f} s")


if __name__ == "__main__":
    main()
