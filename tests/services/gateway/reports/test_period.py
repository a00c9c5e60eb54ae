"""The period's sums, asked in SQL of both engines, are those of the rows."""

import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.clock import SystemClock
from foodex.core.errors import InvalidInput, NotFound
from foodex.core.settings import StorageSettings
from foodex.domain.datasets import Column, DatasetSpec, Layer
from foodex.domain.deliveries import FIELD
from foodex.domain.reports import Report, Unit
from foodex.services.gateway.reports.period import period_report
from foodex.services.storage.service import StorageService

ZONE = ZoneInfo("Europe/Helsinki")
# The night in which clocks go back is inside, the period before has the summer's time.
SINCE = datetime(2026, 10, 19, tzinfo=ZONE)
UNTIL = datetime(2026, 11, 2, tzinfo=ZONE)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def orders() -> list[dict[str, Any]]:
    """Orders of the period, of the one before it, and outside; some without this or that."""
    rng = random.Random(5)
    made: list[dict[str, Any]] = []
    for number in range(1500):
        placed = SINCE.astimezone(UTC) + timedelta(minutes=rng.uniform(-15 * 1440, 15 * 1440))
        took = rng.uniform(10, 70)
        made.append(
            {
                "order_id": f"o{number}",
                "store_id": None if number % 50 == 0 else f"it's \\ store {number % 11}",
                "placed_at": placed,
                "delivery_minutes": None if number % 97 == 0 else took,
                "delivered_at": placed + timedelta(minutes=took) if number % 2 == 0 else None,
                "own_estimate_minutes": None if number % 13 == 0 else rng.choice([30, 40, 50.0]),
                "subtotal_minor": None if number % 17 == 0 else rng.randint(500, 9000),
                "currency": None if number % 19 == 0 else "SEK" if number % 7 == 0 else "EUR",
            }
        )
    # On the edges: the first is in, the second is not.
    for number, placed in enumerate((SINCE, UNTIL)):
        made.append(made[1] | {"order_id": f"e{number}", "placed_at": placed.astimezone(UTC)})
    return made


ORDERS = orders()


class PeriodCases:
    """A subclass gives the fixture `warehouse`."""

    @pytest.fixture
    async def storage(
        self, warehouse: TableWarehouse, tmp_path: Path
    ) -> AsyncIterator[StorageService]:
        database = open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
        service = StorageService(
            database=database,
            warehouse=warehouse,
            objects=open_objects(f"file://{tmp_path}/objects"),
            settings=StorageSettings(),
            clock=SystemClock(),
        )
        async with service.running():
            yield service
        await database.close()

    async def stored(
        self, storage: StorageService, without: tuple[str, ...] = ()
    ) -> tuple[str, list[dict[str, Any]]]:
        """A data set of the orders without some columns: its name and its rows."""
        name = f"t_{uuid.uuid4().hex[:8]}"
        kept = [name for name in ORDERS[0] if name not in without]
        columns = tuple(Column(name=n, kind=FIELD[n].kind) for n in kept)
        await storage.create_dataset(
            DatasetSpec(name=name, columns=columns, time_zone="Europe/Helsinki")
        )
        rows = [{n: order[n] for n in kept} for order in ORDERS]
        await storage.insert_rows(name, Layer.PROCESSED, rows)
        return name, rows

    async def test_the_figures_are_those_of_the_rows(self, storage: StorageService) -> None:
        name, rows = await self.stored(storage)
        report = await period_report(storage, name, SINCE, UNTIL, made_at=NOW)
        await storage.delete_dataset(name)
        inside = [row for row in rows if SINCE <= row["placed_at"] < UNTIL]
        earlier = SINCE.astimezone(UTC) - (UNTIL.astimezone(UTC) - SINCE.astimezone(UTC))
        before = [row for row in rows if earlier <= row["placed_at"] < SINCE]
        figures = {(f.name, f.currency): f for f in report.figures}
        assert (figures["Orders", ""].value, figures["Orders", ""].other) == (
            len(inside),
            len(before),
        )
        late = sorted(lateness(inside))
        on_time = sum(value == 0 for value in late)
        assert figures["On time", ""].value == pytest.approx(on_time / len(late))
        assert figures["Lateness, median", ""].value == pytest.approx(late[len(late) // 2])
        nine = figures["Lateness, nine in ten below", ""].value
        assert nine == pytest.approx(late[int(0.9 * len(late))])
        for currency in ("EUR", "SEK"):
            kept = [r["subtotal_minor"] or 0 for r in inside if r["currency"] == currency]
            assert figures["Baskets", currency].value == sum(kept)
        by_day = report.sections[0].charts[0]
        assert len(by_day.labels) == 14
        assert (by_day.labels[0], by_day.labels[-1]) == ("19 Oct", "1 Nov")
        assert sum(value or 0 for value in by_day.series[0].values) == len(inside)
        hours: dict[tuple[int, int], int] = {}
        for row in inside:
            local = row["placed_at"].astimezone(ZONE)
            key = local.weekday(), local.hour
            hours[key] = hours.get(key, 0) + 1
        heat = report.sections[1].charts[1]
        assert heat.unit is Unit.COUNT
        found = {
            (weekday, int(heat.labels[place])): value
            for weekday, series in enumerate(heat.series)
            for place, value in enumerate(series.values)
            if value is not None
        }
        assert found == hours
        self.check_stores(report, inside)

    @staticmethod
    def check_stores(report: Report, inside: list[dict[str, Any]]) -> None:
        (table,) = report.sections[2].tables
        shares = [float(row[2] or 0) for row in table.rows]
        assert shares == sorted(shares)
        worst = table.rows[0]
        own = [row for row in inside if row["store_id"] == worst[0]]
        late = lateness(own)
        assert worst[1:4] == (
            len(own),
            pytest.approx(sum(value == 0 for value in late) / len(late)),
            pytest.approx(sum(value > 10 for value in late) / len(late)),
        )

    async def test_a_data_set_with_the_least_there_can_be(self, storage: StorageService) -> None:
        spare = ("store_id", "own_estimate_minutes", "subtotal_minor", "currency", "delivered_at")
        name, _ = await self.stored(storage, without=spare)
        report = await period_report(storage, name, SINCE, UNTIL, made_at=NOW)
        assert "none can be judged" in " ".join(report.summary)
        none = await period_report(
            storage, name, SINCE + timedelta(days=900), UNTIL + timedelta(days=900), made_at=NOW
        )
        await storage.delete_dataset(name)
        assert none.summary == ("No order was placed in this period.",)

    async def test_the_same_rows_make_the_same_report(self, storage: StorageService) -> None:
        name, _ = await self.stored(storage)
        first = await period_report(storage, name, SINCE, UNTIL, made_at=NOW)
        assert await period_report(storage, name, SINCE, UNTIL, made_at=NOW) == first
        await storage.delete_dataset(name)

    async def test_what_cannot_be_asked_is_refused(self, storage: StorageService) -> None:
        name, _ = await self.stored(storage, without=("placed_at", "delivered_at"))
        wrong: list[tuple[Any, Any, str | None, str]] = [
            (UNTIL, SINCE, None, "until"),
            (SINCE, SINCE + timedelta(days=500), None, "until"),
            (SINCE.replace(tzinfo=None), UNTIL, None, "since"),
            (SINCE, UNTIL, "Mars/Olympus'", "time_zone"),
            (SINCE, UNTIL, None, "dataset"),
        ]
        for since, until, zone, field in wrong:
            with pytest.raises(InvalidInput) as caught:
                await period_report(storage, name, since, until, made_at=NOW, time_zone=zone)
            assert field in {problem.field for problem in caught.value.problems}
        await storage.delete_dataset(name)
        with pytest.raises(NotFound):
            await period_report(storage, name, SINCE, UNTIL, made_at=NOW)


def lateness(rows: list[dict[str, Any]]) -> list[float]:
    found = []
    for row in rows:
        took, said = row["delivery_minutes"], row["own_estimate_minutes"]
        if took is None and row["delivered_at"]:
            took = (row["delivered_at"] - row["placed_at"]).total_seconds() / 60
        if took is not None and said is not None:
            found.append(max(0.0, took - said))
    return found


class TestChdb(PeriodCases):
    @pytest.fixture
    def warehouse(self, chdb_warehouse: TableWarehouse) -> TableWarehouse:
        return chdb_warehouse


class TestClickhouse(PeriodCases):
    @pytest.fixture
    def warehouse(self, clickhouse_warehouse: TableWarehouse) -> TableWarehouse:
        return clickhouse_warehouse
