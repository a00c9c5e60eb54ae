from datetime import UTC, date, datetime

import polars as pl
import pytest

from foodex.city.engine import Engine
from foodex.city.plan import draw_plan
from foodex.city.records import to_frame
from foodex.city.streets import Streets, load_streets

HISTORY_SEED = 3
FIRST_DAY = date(2026, 8, 3)
START = datetime(2026, 8, 3, 6, tzinfo=UTC)


@pytest.fixture(scope="package")
def streets() -> Streets:
    return load_streets()


@pytest.fixture(scope="package")
def fortnight(streets: Streets) -> Engine:
    """A city that has run for two weeks and come to rest."""
    engine = Engine(draw_plan(HISTORY_SEED, streets, orders_per_day=700, stores=50), FIRST_DAY, 14)
    engine.run()
    return engine


@pytest.fixture(scope="package")
def history(fortnight: Engine) -> pl.DataFrame:
    return to_frame(fortnight, fortnight.delivered)
