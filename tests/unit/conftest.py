"""What tests of one part alone share: a journal and a sink in memory, each test its own."""

from __future__ import annotations

import pytest

from tests.helpers.memory_journal import MemoryJournal, MemorySink


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()
