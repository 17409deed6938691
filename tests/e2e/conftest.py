"""One real service for most of the tests; others where something must be different."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.helpers import native_clients as native
from tests.helpers.live_service import Gateway, LiveService, first_start, live_service
from tests.helpers.native_orders import write_order
from tests.helpers.running_host import REPOSITORY


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


@pytest.fixture(scope="module")
def native_built() -> None:
    missing = native.missing_tools()
    if missing:
        pytest.skip(f"the native clients cannot be built here without {', '.join(missing)}")
    native.build()


@pytest.fixture
def order_path(tmp_path: Path) -> Path:
    """An order as a person writes it, planned for the next session at whatever hour the test runs."""
    return write_order(tmp_path)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, native_built: None) -> dict[str, Sequence[str]]:
    """Programs of a user's that send updates without waiting, by language."""
    folder: Path = tmp_path_factory.mktemp("many")
    sources = REPOSITORY / "tests" / "helpers" / "many_in_flight"
    native.compile_cpp(sources / "many.cc", folder / "many")
    return {"cpp": (str(folder / "many"),), "java": native.compile_java(sources / "Many.java", folder)}
