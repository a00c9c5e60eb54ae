"""What the whole system is tried with."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from foodex.city import export_as_company_csv, simulate_history
from tests.support.apart import Apart
from tests.support.apart import apart as started_apart
from tests.support.lives import Nursery, nursery
from tests.support.running import Up, up
from tests.support.shop import MAPPING, Shop

SMALL = {"FOODEX_CITY__DAYS": "4", "FOODEX_CITY__ORDERS_PER_DAY": "150"}
QUICK = {
    "FOODEX_ML__JOB_THREADS": "1",
    "FOODEX_JOBS__LEASE_SECONDS": "3",
    "FOODEX_JOBS__SWEEP_SECONDS": "0.5",
}


@pytest.fixture(scope="session")
def export() -> bytes:
    """Three days of a simulated city as a company would export them."""
    frame = simulate_history(
        seed=11, start=datetime(2026, 3, 2, tzinfo=UTC), days=3, orders_per_day=150
    )
    return export_as_company_csv(frame)


@pytest.fixture(scope="session")
def mapping() -> str:
    """The mapping of that export."""
    return MAPPING


@pytest.fixture(scope="session")
def lives() -> Iterator[Nursery]:
    """Begins FoodEx as often as wanted, in a second each."""
    with nursery() as found:
        yield found


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`foodex up` with a small demonstration; shared, so tests add and never take away."""
    with up(tmp_path_factory.mktemp("up") / "state", env=SMALL) as found:
        yield found


@pytest.fixture(scope="session")
def one_process(lives: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A business on `foodex up`; shared, so tests add and never take away."""
    state = tmp_path_factory.mktemp("one") / "state"
    with up(state, "--no-demo", env=QUICK, lives=lives) as running:
        adapters = {
            "database": "sqlite",
            "warehouse": "chdb",
            "objects": "file",
            "queue": "sqlite",
            "limits": "memory",
        }
        yield Shop(running, adapters=adapters, state=state).learn()


@pytest.fixture(scope="session")
def apart(lives: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Every service as a process of its own; shared, so who kills one starts it again."""
    with started_apart(lives, tmp_path_factory.mktemp("apart"), QUICK) as services:
        yield services


@pytest.fixture(scope="session")
def services_apart(apart: Apart) -> Shop:
    """The same business on services apart."""
    adapters = {
        "database": "postgresql",
        "warehouse": "clickhouse",
        "objects": "s3",
        "queue": "amqp",
        "limits": "redis",
    }
    return Shop(apart, adapters=adapters).learn()
