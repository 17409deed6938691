"""The journal's own test disk in the simulator's hands: a second opinion on what a power cut leaves.

It throws the dice for every sector and every name by itself, where `disk.SimulatedDisk` loses whole writes, and names
in order.
"""

from __future__ import annotations

import errno
import random

from tests.helpers.disks import LossyFiles


class LossyDisk(LossyFiles):
    """Implements `disk.WorldDisk`."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(sleep=_never)
        self._chance = chance
        self.has_failed = False
        self.is_sick = False

    @property
    def is_off(self) -> bool:
        return self._is_off

    def cut_after(self, operations: int) -> None:
        self.cut_power_after(operations)

    def lose_power(self) -> None:
        self.crash(self._chance)
        self.has_failed = False

    def end_process(self) -> None:
        self._life += 1
        self._locks.clear()
        self.has_failed = False

    def sicken(self) -> None:
        self.is_sick = True
        kind = self._chance.randrange(3)
        if kind == 0:
            self.capacity_bytes = self.used_bytes
        else:
            self.fail("sync" if kind == 1 else "pwrite", errno.EIO)

    def heal(self) -> None:
        self.is_sick = False
        self.capacity_bytes = None
        super().heal()

    def _next_fault(self, operation: str, path: str) -> int | None:
        fault = super()._next_fault(operation, path)
        self.has_failed = self.has_failed or fault is not None or self.capacity_bytes is not None
        return fault


def _never(seconds: float) -> None:
    raise AssertionError(f"the simulator's time is not the machine's: {seconds} s")
