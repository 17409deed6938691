"""One real service for most of the tests; others where something must be different."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.live_service import Gateway, LiveService, first_start, live_service


@pytest.fixture(scope="session")
def live() -> Iterator[LiveService]:
    """One worker, as by default. Tests leave AIG's market as it is."""
    with first_start(ESS_HTTP_ADDRESS="127.0.0.1:0") as service:
        yield service


@pytest.fixture(scope="session")
def live_two() -> Iterator[LiveService]:
    """Two workers and a keeper."""
    with live_service(ESS_WORKERS="2") as service:
        yield service


@pytest.fixture
def gateway(live: LiveService) -> Iterator[Gateway]:
    with Gateway(live.target) as client:
        yield client
