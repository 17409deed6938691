"""The market states of a host: merged, told to whoever subscribes, persisted soon."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from engine.records import MarketUpdate
from engine.values import MarketState
from store.market import MarketVerdict, merge
from store.market_persister import MarketPersister
from store.submission import MarketCallback, Unsubscribe

_log = logging.getLogger(__name__)


class MarketBoard:
    """Belongs to one event loop."""

    def __init__(self, states: Mapping[str, MarketState], persister: MarketPersister | None = None) -> None:
        self._states = dict(states)
        self._persister = persister
        self._subscribers: dict[int, MarketCallback] = {}
        self._next_subscriber = 0

    @property
    def states(self) -> Mapping[str, MarketState]:
        """The held states, by instrument id."""
        return self._states

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def start(self) -> None:
        if self._persister is not None:
            self._persister.start()

    async def stop(self, deadline_s: float) -> None:
        if self._persister is not None:
            await self._persister.stop(deadline_s=deadline_s)

    def apply(self, update: MarketUpdate) -> MarketVerdict:
        """Merges new figures into what is held, tells the subscribers, and persists soon."""
        held = self._states.get(update.instrument_id)
        if held is None:
            return MarketVerdict.UNKNOWN_INSTRUMENT
        state, verdict = merge(held, update)
        if verdict is MarketVerdict.APPLIED:
            self._take(update.instrument_id, state)
        return verdict

    def restore(self, instrument_id: str, state: MarketState) -> None:
        """A state that somebody heard from this board's forerunner: taken where it is newer than what is held."""
        held = self._states.get(instrument_id)
        if held is not None and state.as_of_ns > held.as_of_ns:
            self._take(instrument_id, state)

    def subscribe(self, callback: MarketCallback) -> Unsubscribe:
        number = self._next_subscriber
        self._next_subscriber += 1
        self._subscribers[number] = callback
        for instrument_id, state in tuple(self._states.items()):
            tell(callback, instrument_id, state)

        def unsubscribe() -> None:
            self._subscribers.pop(number, None)

        return unsubscribe

    def _take(self, instrument_id: str, state: MarketState) -> None:
        self._states[instrument_id] = state
        if self._persister is not None:
            self._persister.mark(instrument_id, state)
        for callback in tuple(self._subscribers.values()):
            tell(callback, instrument_id, state)


def tell(callback: MarketCallback, instrument_id: str, state: MarketState) -> None:
    try:
        callback(instrument_id, state)
    except Exception:
        _log.exception("a subscriber to market states failed")
