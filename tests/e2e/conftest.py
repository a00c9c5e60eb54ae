"""What the whole system is tried with."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foodex.city import export_as_company_csv, simulate_history
from tests.support.lives import Nursery, nursery

MAPPING = (Path(__file__).resolve().parents[2] / "src/foodex/city/data/export.toml").read_text()


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
