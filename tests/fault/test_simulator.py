"""A hundred thousand steps of the simulator, and that it would notice: the shipped journal, drainer and keeper, seeded."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from engine.records import SelectionRecord
from store.journal.port import Entry
from store.journal.tail import Tail
from store.selection_rows import OrderOwner
from tests.fault.simulator.database import FakeConnection, FakeDatabase
from tests.fault.simulator.disk import SimulatedDisk
from tests.fault.simulator.simulation import Simulation, Violation
from tests.helpers.running_host import REPOSITORY
