"""The simulated city's past as canonical delivery records."""

from datetime import date, datetime
from typing import Final

import polars as pl

from foodex.city.engine import CITY_ZONE, Engine
from foodex.city.plan import draw_plan
from foodex.city.records import to_frame
from foodex.city.streets import Streets, load_streets
from foodex.core.errors import FieldProblem, InvalidInput

MAX_ORDERS: Final = 20_000_000


def simulate_history(
    *,
    seed: int,
    start: datetime,
    days: int,
    orders_per_day: float = 1250,
    stores: int = 90,
    streets: Streets | None = None,
) -> pl.DataFrame:
    """Whole local days of deliveries, one canonical record each, by the time of placing.

    The first day is the one that holds `start` (zone-aware) in Helsinki. The same arguments give
    the same rows. All fields of `foodex.domain.deliveries.FIELDS` are columns; `city` and every id
    say that the record is simulated. Raises `InvalidInput` for arguments that make no city.
    """
    problems = check(seed=seed, start=start, orders_per_day=orders_per_day, stores=stores)
    if not 1 <= days * max(1.0, orders_per_day) <= MAX_ORDERS or days < 1:
        problems.append(FieldProblem("days", "is below 1 or makes too many orders"))
    if problems:
        raise InvalidInput("No city can be simulated from this", problems=problems)
    plan = draw_plan(seed, streets or load_streets(), orders_per_day=orders_per_day, stores=stores)
    engine = Engine(plan, local_day(start), days)
    engine.run()
    return to_frame(engine, engine.delivered)


def check(*, seed: int, start: datetime, orders_per_day: float, stores: int) -> list[FieldProblem]:
    """What is wrong with a city's arguments."""
    problems = []
    if not 0 <= seed < 2**63:
        problems.append(FieldProblem("seed", "is not between 0 and 2^63"))
    if start.utcoffset() is None:
        problems.append(FieldProblem("start", "has no time zone"))
    elif not 1970 <= start.year <= 2200:
        problems.append(FieldProblem("start", "is not between the years 1970 and 2200"))
    if not 0 < orders_per_day <= 100_000:
        problems.append(FieldProblem("orders_per_day", "is not above 0 and at most 100,000"))
    if not 1 <= stores <= 1000:
        problems.append(FieldProblem("stores", "is not between 1 and 1,000"))
    return problems


def local_day(start: datetime) -> date:
    """The local day of the city that holds an instant."""
    return start.astimezone(CITY_ZONE).date()
