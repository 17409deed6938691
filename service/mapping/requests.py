"""Requests of the contract as the engine's values."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import msgspec
from execution_strategy.v1 import enums_pb2, market_data_pb2, request_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from engine.decision import Fault
from engine.records import MarketUpdate
from engine.request import Constraints, Context, OrderRequest
from engine.resolve import instrument_faults
from engine.snapshot import Snapshot, VenueDirectory
from engine.values import Bar, MarketCondition, Objective, Side, Urgency
from service.mapping.validation import MAX_INDICES, rule_faults

NO_CONSTRAINTS = Constraints()
# Numbers of the contract; one that is none of these breaks a rule of the message.
SIDE_OF, OBJECTIVE_OF, URGENCY_OF, CONDITION_OF = (
    {member.value: member for member in Side}, {member.value: member for member in Objective},
    {member.value: member for member in Urgency}, {member.value: member for member in MarketCondition},
)  # fmt: skip
MAX_AHEAD_NS = 30 * 86_400 * 1_000_000_000
CLOCK_SKEW_NS = 5_000_000_000
# The minute that as_of lies in may be told by its end.
BAR_NS = 60_000_000_000
# Of nothing yet: a copy costs less than asking OpenSSL for another.
_SHA256 = hashlib.sha256()
# Seconds of 2000-01-01 and 2200-01-01: outside them a timestamp is a mistake, and int64 nanoseconds hold all inside.
FIRST_SECOND, LAST_SECOND = 946_684_800, 7_258_118_400


class MappedRequest(msgspec.Struct, frozen=True):
    """A request in the engine's terms with what identifies it."""

    order: OrderRequest
    request_hash: str
    canonical: bytes
    dry_run: bool
    acknowledgement: int
    tags: dict[str, str]


def map_request(
    message: request_pb2.ExecutionStrategyRequest, snapshot: Snapshot, now_ns: int
) -> MappedRequest | list[Fault]:
    """The request, or every fault in it: the .proto's rules, instrument and lots, times, venue names."""
    faults = rule_faults(message)
    if message.instrument_id:
        faults += instrument_faults(message.instrument_id, message.quantity, snapshot)
    tags = dict(message.tags) if message.tags else {}
    if tags and any("\0" in text for pair in tags.items() for text in pair):
        faults.append(Fault("tags", "the character NUL cannot be kept"))
    start_ns = start_time(message, now_ns, faults)
    market = message.market_context
    bars = map_bars("market_context.recent_bars", market.recent_bars, faults)
    constraints = NO_CONSTRAINTS
    if message.HasField("constraints"):
        constraints = map_constraints(message.constraints, snapshot.directory, faults)
    if faults:
        return faults
    canonical, digest = content_hash(message)
    order = OrderRequest(
        message.order_id, message.instrument_id, SIDE_OF[message.side], message.quantity,
        OBJECTIVE_OF[message.objective], URGENCY_OF[message.urgency], start_ns, int(digest[:16], 16), constraints,
        map_context(market, bars),
    )  # fmt: skip
    return MappedRequest(order, digest, canonical, message.dry_run, message.acknowledgement, tags)


def content_hash(message: request_pb2.ExecutionStrategyRequest) -> tuple[bytes, str]:
    """(canonical bytes, SHA-256 hex) of what the decision depends on: how to acknowledge and tags are left out."""
    content = message
    if message.dry_run or message.acknowledgement or message.tags:
        content = request_pb2.ExecutionStrategyRequest()
        content.CopyFrom(message)
        # A field that is zero is none: nothing costs less than setting it so.
        content.dry_run = False
        content.acknowledgement = enums_pb2.ACKNOWLEDGEMENT_CLASS_UNSPECIFIED
        if message.tags:
            content.ClearField("tags")
    canonical = content.SerializeToString(deterministic=True)
    digest = _SHA256.copy()
    digest.update(canonical)
    return canonical, digest.hexdigest()


def start_time(message: request_pb2.ExecutionStrategyRequest, now_ns: int, faults: list[Fault]) -> int:
    """When trading may begin, ns."""
    if not message.HasField("effective_time"):
        return now_ns
    effective_ns = timestamp_ns("effective_time", message.effective_time, faults)
    if effective_ns is None:
        return now_ns
    if effective_ns > now_ns + MAX_AHEAD_NS:
        faults.append(Fault("effective_time", "more than 30 days ahead"))
    return effective_ns if message.dry_run else max(effective_ns, now_ns)


def timestamp_ns(field: str, stamp: Timestamp, faults: list[Fault]) -> int | None:
    """Nanoseconds of a timestamp of this or the next century; else a fault and None."""
    if not FIRST_SECOND <= stamp.seconds < LAST_SECOND or not 0 <= stamp.nanos < 1_000_000_000:
        faults.append(Fault(field, f"not a time between 2000 and 2200: {stamp.seconds} s, {stamp.nanos} ns"))
        return None
    return int(stamp.seconds) * 1_000_000_000 + int(stamp.nanos)


def map_bars(field: str, bars: Sequence[request_pb2.MarketBar], faults: list[Fault]) -> tuple[Bar, ...]:
    """Bars in time order; faults for bad times and for bars that do not rise."""
    if not bars:
        return ()
    found: list[Bar] = []
    bad: list[Fault] = []
    for index, bar in enumerate(bars):
        end_ns = timestamp_ns(f"{field}[{index}].end_time", bar.end_time, bad)
        if end_ns is None:
            continue
        if found and end_ns <= found[-1].end_ns:
            bad.append(Fault(f"{field}[{index}].end_time", "not later than the bar before it"))
        found.append(Bar(end_ns, bar.mid_price, bar.volume, bar.spread_bps))
    faults += first_few(field, bad)
    return tuple(found)


def first_few(field: str, bad: list[Fault]) -> list[Fault]:
    """The first faults of a list's entries and the number of the others, so that other fields' faults find room."""
    more = len(bad) - MAX_INDICES
    return [*bad[:MAX_INDICES], Fault(field, f"{more} more of its entries are wrong")] if more > 0 else bad


def map_constraints(
    message: request_pb2.ExecutionConstraints, directory: VenueDirectory, faults: list[Fault]
) -> Constraints:
    def optional(name: str) -> float | None:
        return float(getattr(message, name)) if message.HasField(name) else None

    return Constraints(
        max_participation_rate=optional("max_participation_rate"),
        time_limit_minutes=message.time_limit_minutes if message.HasField("time_limit_minutes") else None,
        price_limit=optional("price_limit"),
        excluded_venues=map_venues(
            "constraints.venue_restrictions", message.venue_restrictions, directory, faults
        ),
        allowed_venues=map_venues("constraints.allowed_venues", message.allowed_venues, directory, faults),
        dark_pool_preference=message.dark_pool_preference,
        min_completion_probability=optional("min_completion_probability"),
    )


def map_venues(
    field: str, names: Iterable[str], directory: VenueDirectory, faults: list[Fault]
) -> frozenset[str]:
    """MICs of MICs and directory names; a fault for every name that is neither."""
    found = set()
    bad = []
    for index, name in enumerate(names):
        mic = directory.find(name)
        if mic is None:
            bad.append(Fault(f"{field}[{index}]", f"{name[:64]!a} is no MIC or name of the venue directory"))
        else:
            found.add(mic)
    faults += first_few(field, bad)
    return frozenset(found)


def map_context(message: request_pb2.MarketContext, bars: tuple[Bar, ...]) -> Context:
    said = message.HasField
    return Context(
        condition=CONDITION_OF[message.current_conditions],
        volatility_regime=message.volatility_regime,
        liquidity_score=message.liquidity_score if said("liquidity_score") else None,
        news_impact_score=message.news_impact_score if said("news_impact_score") else None,
        time_of_day=message.time_of_day,
        mid_price=message.mid_price if said("mid_price") else None,
        spread_bps=message.spread_bps if said("spread_bps") else None,
        daily_volatility_fraction=message.daily_volatility if said("daily_volatility") else None,
        average_daily_volume_shares=message.average_daily_volume if said("average_daily_volume") else None,
        short_term_alpha_bps_per_day=(
            message.short_term_alpha_bps_per_day if said("short_term_alpha_bps_per_day") else None
        ),
        bars=bars,
    )


def map_market_update(
    message: market_data_pb2.UpdateMarketDataRequest, now_ns: int
) -> MarketUpdate | list[Fault]:
    """One update, or every fault in it."""
    faults = rule_faults(message)
    as_of_ns = timestamp_ns("as_of", message.as_of, faults) if message.HasField("as_of") else None
    if as_of_ns is not None and as_of_ns > now_ns + CLOCK_SKEW_NS:
        faults.append(Fault("as_of", "more than 5 seconds ahead of the service's clock"))
    bars = map_bars("bars", message.bars, faults)
    if as_of_ns is not None and bars and bars[-1].end_ns > as_of_ns + BAR_NS:
        faults.append(Fault("bars", "the last one ends more than a minute after as_of"))
    if faults or as_of_ns is None:
        return faults

    def optional(name: str) -> float | None:
        value = float(getattr(message, name)) if message.HasField(name) else None
        return value if value is None or math.isfinite(value) else None

    return MarketUpdate(
        instrument_id=message.instrument_id,
        as_of_ns=as_of_ns,
        mid_price=optional("mid_price"),
        spread_bps=optional("spread_bps"),
        daily_volatility_fraction=optional("daily_volatility"),
        average_daily_volume_shares=optional("average_daily_volume"),
        short_term_alpha_bps_per_day=optional("short_term_alpha_bps_per_day"),
        bars=bars,
    )
