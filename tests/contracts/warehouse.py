"""The cases every warehouse passes; a subclass gives the fixture `warehouse`."""

import asyncio
import math
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.errors import Conflict, InvalidInput, NotFound
from foodex.domain.datasets import Column, Comparison, Condition, QueryLimits
from foodex.domain.deliveries import Kind
from foodex.ports.warehouse import Warehouse

COLUMNS = (
    Column(name="order_id", kind=Kind.TEXT),
    Column(name="city", kind=Kind.CATEGORY),
    Column(name="distance_km", kind=Kind.NUMBER),
    Column(name="subtotal_minor", kind=Kind.INTEGER),
    Column(name="placed_at", kind=Kind.TIME),
)
SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("order_id", pa.string()),
        ("city", pa.string()),
        ("distance_km", pa.float64()),
        ("subtotal_minor", pa.int64()),
        ("placed_at", pa.timestamp("us", "UTC")),
    ]
)
EARLIEST = datetime(1900, 1, 2)  # noqa: DTZ001 -- hypothesis adds the zone
LATEST = datetime(2299, 12, 30)  # noqa: DTZ001
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def rows(*row_ids: int, **values: Any) -> pa.Table:
    """Rows that differ by number, or all hold the values given."""
    return pa.Table.from_pylist(
        [
            {
                "row_id": n,
                "order_id": f"o{n}",
                "city": "Oulu" if n % 2 else "Turku",
                "distance_km": n / 3,
                "subtotal_minor": n * 100,
                "placed_at": NOON + timedelta(minutes=n),
                **values,
            }
            for n in row_ids
        ],
        SCHEMA,
    )


async def read(warehouse: Warehouse, table: str, **options: Any) -> list[dict[str, Any]]:
    return [row async for batch in warehouse.scan(table, **options) for row in batch.to_pylist()]


async def ids(warehouse: Warehouse, table: str, where: Sequence[Condition] = ()) -> list[int]:
    return [row["row_id"] for row in await read(warehouse, table, columns=["row_id"], where=where)]


def where(field: str, comparison: Comparison, value: Any) -> list[Condition]:
    return [Condition(field=field, comparison=comparison, value=value)]


class WarehouseContract:
    @pytest.fixture
    async def table(self, warehouse: Warehouse) -> Any:
        name = f"processed_{secrets.token_hex(6)}"
        await warehouse.create_table(name, COLUMNS)
        yield name
        await warehouse.drop_table(name)

    async def test_answers(self, warehouse: Warehouse) -> None:
        await warehouse.ping()

    async def test_rows_of_a_load_appear_when_it_is_committed_and_not_before(
        self, warehouse: Warehouse, table: str
    ) -> None:
        await warehouse.stage(table, 7, rows(1, 2))
        await warehouse.stage(table, 8, rows(3))
        assert await ids(warehouse, table) == []
        assert await warehouse.count(table) == 0
        assert await warehouse.span(table, "placed_at") == (None, None)
        await warehouse.commit(table, 7)
        assert await ids(warehouse, table) == [1, 2]
        await warehouse.commit(table, 7)
        await warehouse.commit(table, 8)
        assert await ids(warehouse, table) == [1, 2, 3]

    async def test_an_open_load_tells_how_far_it_is_and_can_be_cut_back(
        self, warehouse: Warehouse, table: str
    ) -> None:
        assert await warehouse.staged_until(table, 7) is None
        await warehouse.stage(table, 7, rows(1, 2, 3))
        await warehouse.stage(table, 8, rows(9))
        assert await warehouse.staged_until(table, 7) == 3
        await warehouse.unstage_after(table, 7, 1)
        assert await warehouse.staged_until(table, 7) == 1
        await warehouse.stage(table, 7, rows(2))
        await warehouse.commit(table, 7)
        assert await ids(warehouse, table) == [1, 2]
        assert await warehouse.staged_until(table, 8) == 9

    async def test_a_change_that_was_cut_off_is_waited_for(
        self, warehouse: TableWarehouse, table: str
    ) -> None:
        await warehouse.stage(table, 7, rows(1, 2, 3))
        slow = f"ALTER TABLE `{table}` DELETE WHERE row_id > 1 AND sleepEachRow(0.1) = 0"
        settings = {"mutations_sync": 0, "allow_nondeterministic_mutations": 1}
        await asyncio.to_thread(
            warehouse.engine.run,
            slow.replace(table, f"{warehouse.engine.database}`.`{table}"),
            settings,
        )
        assert await warehouse.staged_until(table, 7) == 1

    async def test_a_discarded_load_leaves_nothing(self, warehouse: Warehouse, table: str) -> None:
        await warehouse.stage(table, 7, rows(1, 2))
        await warehouse.discard(table, 7)
        await warehouse.discard(table, 7)
        await warehouse.commit(table, 7)
        assert await ids(warehouse, table) == []

    async def test_a_committed_load_can_no_longer_be_touched(
        self, warehouse: Warehouse, table: str
    ) -> None:
        await warehouse.stage(table, 7, rows(1, 2))
        await warehouse.commit(table, 7)
        with pytest.raises(Conflict, match="committed"):
            await warehouse.stage(table, 7, rows(3))
        await warehouse.discard(table, 7)
        await warehouse.unstage_after(table, 7, 0)
        assert await ids(warehouse, table) == [1, 2]
        assert await warehouse.staged_until(table, 7) == 2

    async def test_values_come_back_as_they_went_in(self, warehouse: Warehouse, table: str) -> None:
        extremes = pa.Table.from_pylist(
            [
                {"row_id": 1},
                {"row_id": 2, "order_id": "", "city": "", "distance_km": -0.0},
                {"row_id": 3, "order_id": "päivää 🍕\n\t\\'\"`\0x", "city": "東京"},
                {"row_id": 4, "distance_km": 0.1 + 0.2, "subtotal_minor": -(2**63)},
                {"row_id": 5, "distance_km": 5e-324, "subtotal_minor": 2**63 - 1},
                {"row_id": 6, "distance_km": 1.7976931348623157e308},
                {"row_id": 7, "placed_at": datetime(1900, 1, 1, tzinfo=UTC)},
                {"row_id": 8, "placed_at": datetime(2299, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
            ],
            SCHEMA,
        )
        await warehouse.insert(table, extremes)
        found = [b async for b in warehouse.scan(table, SCHEMA.names)]
        assert pa.Table.from_batches(found).equals(extremes)
        assert math.copysign(1, found[0].to_pylist()[1]["distance_km"]) == -1

    @settings(
        max_examples=8,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(
        value=st.one_of(
            st.text().map(lambda text: ("order_id", text)),
            st.floats(allow_nan=False).map(lambda number: ("distance_km", number)),
            st.integers(-(2**63), 2**63 - 1).map(lambda number: ("subtotal_minor", number)),
            st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)).map(
                lambda instant: ("placed_at", instant)
            ),
        )
    )
    async def test_any_value_is_found_again_and_can_be_set(
        self, warehouse: Warehouse, table: str, value: tuple[str, Any]
    ) -> None:
        field, content = value
        await warehouse.delete(table, where("row_id", Comparison.GE, 0))
        await warehouse.insert(table, rows(1, **{field: content}))
        await warehouse.insert(table, rows(2))
        assert 1 in await ids(warehouse, table, where(field, Comparison.EQ, content))
        assert await warehouse.update(table, where("row_id", Comparison.EQ, 2), {field: content})
        first, second = await read(warehouse, table, columns=[field])
        assert first == second == {field: content}

    @pytest.mark.parametrize(
        ("field", "comparison", "value", "expected"),
        [
            ("order_id", "eq", "o2", [2]),
            ("order_id", "ne", "o2", [1, 3, 4]),
            ("order_id", "contains", "3", [3]),
            ("order_id", "contains", "%", []),
            ("order_id", "in", ["o1", "o4", "x"], [1, 4]),
            ("order_id", "in", [], []),
            ("city", "eq", "Oulu", [1, 3]),
            ("city", "null", True, [5]),
            ("city", "null", False, [1, 2, 3, 4]),
            ("distance_km", "lt", 1.0, [1, 2]),
            ("distance_km", "le", 1.0, [1, 2, 3]),
            ("subtotal_minor", "gt", 200, [3, 4]),
            ("placed_at", "ge", NOON + timedelta(minutes=4), [4]),
            ("placed_at", "lt", "2026-03-01T14:02:00+02:00", [1]),
            ("row_id", "in", [1, 2], [1, 2]),
            ("load_id", "eq", 0, [1, 2, 3, 4, 5]),
        ],
    )
    async def test_conditions(
        self,
        warehouse: Warehouse,
        table: str,
        field: str,
        comparison: str,
        value: Any,
        expected: list[int],
    ) -> None:
        await warehouse.insert(table, rows(1, 2, 3, 4))
        await warehouse.insert(table, rows(5).select(["row_id"]))
        condition = where(field, Comparison(comparison), value)
        assert await ids(warehouse, table, condition) == expected
        assert await warehouse.count(table, condition) == len(expected)

    @pytest.mark.parametrize(
        ("field", "comparison", "value"),
        [
            ("nope", "eq", "x"),
            ("distance_km", "eq", "x"),
            ("distance_km", "contains", "x"),
            ("order_id", "eq", None),
            ("order_id", "eq", 5),
            ("order_id", "eq", "\ud800"),
            ("city", "null", "yes"),
            ("city", "in", "Oulu"),
            ("placed_at", "eq", "yesterday"),
            ("placed_at", "eq", NAIVE),
            ("placed_at", "eq", datetime(1500, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
            ("subtotal_minor", "eq", 2**63),
        ],
    )
    async def test_a_condition_without_sense_names_its_field(
        self, warehouse: Warehouse, table: str, field: str, comparison: str, value: Any
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            await warehouse.count(table, where(field, Comparison(comparison), value))
        assert [problem.field for problem in refused.value.problems] == [field]

    async def test_nothing_in_a_value_or_a_name_is_read_as_sql(
        self, warehouse: Warehouse, table: str
    ) -> None:
        evil = "x' OR 1=1 --"
        column = Column(name="a`b\"c\\n\\'; DROP TABLE x; -- {p:String}\\", kind=Kind.TEXT)
        await warehouse.create_table(table, [column])
        await warehouse.insert(table, rows(1, order_id=evil))
        assert await ids(warehouse, table, where("order_id", Comparison.EQ, evil)) == [1]
        assert await ids(warehouse, table, where("order_id", Comparison.EQ, "\\' OR 1=1")) == []
        assert (
            await warehouse.update(
                table, where("order_id", Comparison.CONTAINS, "' OR"), {column.name: evil}
            )
            == 1
        )
        assert await read(warehouse, table, columns=[column.name]) == [{column.name: evil}]
        for name in ("x; DROP TABLE y", "`x`", "../x", "", "_loads", "X"):
            with pytest.raises(NotFound):
                await warehouse.count(name)

    async def test_pages(self, warehouse: Warehouse, table: str) -> None:
        await warehouse.insert(table, rows(*range(1, 11)))
        page = await read(warehouse, table, columns=["row_id"], after=4, limit=3)
        assert [row["row_id"] for row in page] == [5, 6, 7]
        empty = [b async for b in warehouse.scan(table, after=10)]
        assert sum(b.num_rows for b in empty) == 0
        assert empty[0].schema.field("placed_at").type == pa.timestamp("us", "UTC")

    async def test_a_reader_may_stop_early(self, warehouse: Warehouse, table: str) -> None:
        for start in range(0, 300_000, 100_000):
            await warehouse.insert(
                table, pa.table({"row_id": pa.array(range(start, start + 100_000))})
            )
        scan = warehouse.scan(table, ["row_id"])
        async for batch in scan:
            assert batch.num_rows < 300_000
            break
        await scan.aclose()  # type: ignore[attr-defined]
        assert await warehouse.count(table) == 300_000

    async def test_updates_and_deletes_are_counted_and_done(
        self, warehouse: Warehouse, table: str
    ) -> None:
        await warehouse.insert(table, rows(1, 2, 3))
        await warehouse.stage(table, 7, rows(11, 12))
        oulu = where("city", Comparison.EQ, "Oulu")
        assert await warehouse.update(table, oulu, {"distance_km": None, "city": "Rauma"}) == 2
        assert await warehouse.update(table, oulu, {"city": "Rauma"}) == 0
        assert await warehouse.delete(table, where("city", Comparison.EQ, "Rauma")) == 2
        assert await ids(warehouse, table) == [2]
        await warehouse.commit(table, 7)
        assert [row["city"] for row in await read(warehouse, table)] == ["Turku", "Oulu", "Turku"]
        with pytest.raises(InvalidInput):
            await warehouse.update(table, oulu, {"row_id": 5})
        with pytest.raises(InvalidInput):
            await warehouse.update(table, oulu, {"distance_km": "far"})

    async def test_columns_are_added_and_never_change_their_kind(
        self, warehouse: Warehouse, table: str
    ) -> None:
        await warehouse.insert(table, rows(1))
        await warehouse.create_table(table, [*COLUMNS, Column(name="rain", kind=Kind.NUMBER)])
        assert (await read(warehouse, table))[0]["rain"] is None
        with pytest.raises(Conflict) as refused:
            await warehouse.create_table(table, [Column(name="rain", kind=Kind.TEXT)])
        assert refused.value.problems[0].field == "rain"
        for wrong in ("row_id", "load_id", " ", "a\nb", "x" * 201):
            with pytest.raises(InvalidInput):
                await warehouse.create_table(table, [Column(name=wrong, kind=Kind.TEXT)])

    async def test_rows_that_do_not_fit_are_refused_whole(
        self, warehouse: Warehouse, table: str
    ) -> None:
        for wrong in (
            pa.table({"order_id": ["x"]}),
            pa.table({"row_id": [1], "nope": ["x"]}),
            pa.table({"row_id": [1], "distance_km": ["far"]}),
            pa.table({"row_id": pa.array([None], pa.int64())}),
            pa.table({"row_id": [1], "placed_at": [NAIVE]}),
            pa.table({"row_id": [1], "placed_at": [datetime(2400, 1, 1, tzinfo=UTC)]}),
        ):
            with pytest.raises(InvalidInput):
                await warehouse.stage(table, 7, wrong)
        assert await warehouse.staged_until(table, 7) is None

    async def test_rows_of_other_arrow_types_fit(self, warehouse: Warehouse, table: str) -> None:
        other = pa.table(
            {
                "city": pa.array(["a", None, "a"]).dictionary_encode(),
                "row_id": pa.array([3, 1, 2], pa.int32()),
                "order_id": pa.array(["x", "y", None], pa.large_string()),
                "subtotal_minor": pa.nulls(3),
                "placed_at": pa.array([NOON] * 3, pa.timestamp("ns", "Europe/Helsinki")),
            }
        )
        await warehouse.stage(table, 7, other)
        await warehouse.commit(table, 7)
        found = await read(warehouse, table)
        assert [row["order_id"] for row in found] == ["y", None, "x"]
        assert found[0]["placed_at"] == NOON

    async def test_a_table_that_is_not_there(self, warehouse: Warehouse) -> None:
        await warehouse.drop_table("processed_nope")
        for call in (
            warehouse.count("processed_nope"),
            warehouse.stage("processed_nope", 1, rows(1)),
            warehouse.commit("processed_nope", 1),
            warehouse.staged_until("processed_nope", 1),
            read(warehouse, "processed_nope"),
        ):
            with pytest.raises(NotFound):
                await call

    async def test_a_dropped_table_comes_back_empty(self, warehouse: Warehouse, table: str) -> None:
        await warehouse.stage(table, 7, rows(1))
        await warehouse.commit(table, 7)
        await warehouse.drop_table(table)
        await warehouse.create_table(table, COLUMNS)
        assert await ids(warehouse, table) == []
        await warehouse.stage(table, 7, rows(2))
        assert await ids(warehouse, table) == []

    async def test_many_at_once(self, warehouse: Warehouse, table: str) -> None:
        async def load(number: int) -> None:
            await warehouse.stage(table, number, rows(number * 100, number * 100 + 1))
            await warehouse.commit(table, number)
            assert await warehouse.count(table) >= 2

        await asyncio.gather(*(load(number) for number in range(1, 13)))
        assert await warehouse.count(table) == 24

    async def test_a_question_sees_committed_rows_only(
        self, warehouse: Warehouse, table: str
    ) -> None:
        await warehouse.insert(table, rows(1, 2))
        await warehouse.stage(table, 7, rows(11))
        result = await warehouse.query(
            f"SELECT city, count() AS n, max(placed_at) AS last FROM {table} "
            "GROUP BY city ORDER BY city -- by city;",
            QueryLimits(),
        )
        assert [(c.name, c.kind) for c in result.columns] == [
            ("city", Kind.TEXT),
            ("n", Kind.INTEGER),
            ("last", Kind.TIME),
        ]
        assert result.rows == (
            ("Oulu", 1, NOON + timedelta(minutes=1)),
            ("Turku", 1, NOON + timedelta(minutes=2)),
        )
        assert not result.truncated
        joined = (
            f"WITH t AS (SELECT * FROM {table}) SELECT count() FROM t JOIN {table} USING row_id"
        )
        assert (await warehouse.query(joined, QueryLimits())).rows == ((2,),)
