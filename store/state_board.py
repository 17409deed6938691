"""Whether records are taken, told to whoever watches."""

from __future__ import annotations

import logging

from store.submission import Condition, KeeperState, StateCallback, Unsubscribe

_log = logging.getLogger(__name__)


class StateBoard:
    """Belongs to one event loop."""

    def __init__(self, state: KeeperState) -> None:
        self._state = state
        self._watchers: dict[int, StateCallback] = {}
        self._next_watcher = 0

    @property
    def state(self) -> KeeperState:
        return self._state

    def set(self, condition: Condition, reason: str = "") -> bool:
        """Tells the watchers if the condition is another one; whether it is."""
        if condition is self._state.condition:
            return False
        self._state = KeeperState(condition, reason)
        for callback in tuple(self._watchers.values()):
            _tell(callback, self._state)
        return True

    def watch(self, callback: StateCallback) -> Unsubscribe:
        number = self._next_watcher
        self._next_watcher += 1
        self._watchers[number] = callback
        _tell(callback, self._state)

        def unsubscribe() -> None:
            self._watchers.pop(number, None)

        return unsubscribe


def _tell(callback: StateCallback, state: KeeperState) -> None:
    try:
        callback(state)
    except Exception:
        _log.exception("a watcher of the keeper's state failed")
