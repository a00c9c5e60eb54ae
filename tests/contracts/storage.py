"""The cases the storage service and its client pass; a subclass gives the fixture `storage`."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from foodex.core.errors import Conflict, FoodexError, InvalidInput, NotFound, TooLarge
from foodex.domain.datasets import (
    Column,
    Comparison,
    Condition,
    Dataset,
    DatasetSpec,
    Layer,
)
from foodex.domain.deliveries import Kind
from foodex.ports.storage import Storage

PROCESSED, RAW = Layer.PROCESSED, Layer.RAW
COLUMNS = (
    Column(name="order_id", kind=Kind.TEXT, meaning="the company's own number"),
    Column(name="city", kind=Kind.CATEGORY),
    Column(name="placed_at", kind=Kind.TIME),
    Column(name="delivery_minutes", kind=Kind.NUMBER),
    Column(name="subtotal_minor", kind=Kind.INTEGER),
    Column(name="rush", kind=Kind.NUMBER),
)
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ROW: dict[str, Any] = {
    "order_id": "o1",
    "city": "Oulu",
    "placed_at": NOON,
    "delivery_minutes": 31.5,
    "subtotal_minor": 1990,
    "rush": None,
}


def where(field: str, comparison: str, value: Any) -> list[Condition]:
    return [Condition(field=field, comparison=Comparison(comparison), value=value)]


async def scanned(storage: Storage, name: str, **options: Any) -> list[dict[str, Any]]:
    return [row async for batch in storage.scan(name, **options) for row in batch.to_pylist()]


class StorageContract:
    @pytest.fixture
    def name(self) -> str:
        return f"t_{secrets.token_hex(6)}"

    @pytest.fixture
    async def dataset(self, storage: Storage, name: str) -> AsyncIterator[Dataset]:
        yield await storage.create_dataset(
            DatasetSpec(
                name=name, columns=COLUMNS, description="of tests", time_zone="Europe/Helsinki"
            )
        )
        for layer in Layer:
            try:
                await storage.delete_dataset(name, layer)
            except NotFound:
                continue

    async def test_a_new_data_set(self, storage: Storage, dataset: Dataset) -> None:
        assert dataset.columns == COLUMNS
        assert (dataset.rows, dataset.description) == (0, "of tests")
        assert (dataset.first_at, dataset.last_at) == (None, None)
        assert dataset.created_at.tzinfo is not None
        assert await storage.dataset(dataset.name) == dataset
        assert dataset in await storage.datasets()

    async def test_making_it_again_adds_columns(self, storage: Storage, dataset: Dataset) -> None:
        again = await storage.create_dataset(DatasetSpec(name=dataset.name, columns=COLUMNS[:1]))
        assert again == dataset
        more = Column(name="distance_km", kind=Kind.NUMBER)
        grown = await storage.create_dataset(DatasetSpec(name=dataset.name, columns=(more,)))
        assert grown.columns == (*COLUMNS, more)
        assert grown.time_zone == "Europe/Helsinki"
        wrong = Column(name="rush", kind=Kind.CATEGORY)
        with pytest.raises(Conflict) as refused:
            await storage.create_dataset(DatasetSpec(name=dataset.name, columns=(wrong,)))
        assert refused.value.problems[0].field == "rush"

    async def test_columns_added_at_once_are_all_there(
        self, storage: Storage, dataset: Dataset
    ) -> None:
        extras = [Column(name=f"extra_{n}", kind=Kind.NUMBER) for n in range(6)]
        specs = [DatasetSpec(name=dataset.name, columns=(extra,)) for extra in extras]
        await asyncio.gather(*map(storage.create_dataset, specs))
        grown = await storage.dataset(dataset.name)
        assert {column.name for column in grown.columns} >= {extra.name for extra in extras}
        await storage.insert_rows(dataset.name, PROCESSED, [{e.name: 1 for e in extras}])

    @pytest.mark.parametrize(
        ("spec", "fields"),
        [
            ({"name": "Bad Name"}, ["name"]),
            ({"name": "x" * 49}, ["name"]),
            ({"name": "x", "time_zone": "Mars"}, ["time_zone"]),
            ({"name": "x", "time_zone": "../x"}, ["time_zone"]),
            ({"columns": [("placed_at", "text")]}, ["columns.placed_at"]),
            ({"columns": [("extra", "time")]}, ["columns.extra"]),
            ({"columns": [("Extra One", "number")]}, ["columns.Extra One"]),
            ({"columns": [("row_id", "integer")]}, ["columns.row_id"]),
            ({"columns": [("a", "number"), ("a", "number")]}, ["columns.a"]),
            ({"layer": RAW, "columns": [("a", "number"), ("b", "text")]}, ["columns.a"]),
        ],
    )
    async def test_data_sets_that_cannot_be(
        self, storage: Storage, spec: dict[str, Any], fields: list[str]
    ) -> None:
        columns = tuple(Column(name=n, kind=Kind(k)) for n, k in spec.get("columns", ()))
        with pytest.raises(InvalidInput) as refused:
            await storage.create_dataset(
                DatasetSpec(**{"name": "some_name", **spec, "columns": columns})
            )
        assert [problem.field for problem in refused.value.problems] == fields

    async def test_a_missing_data_set_suggests_close_names(
        self, storage: Storage, dataset: Dataset
    ) -> None:
        with pytest.raises(NotFound, match=f"did you mean '{dataset.name}'"):
            await storage.dataset(dataset.name + "s")
        with pytest.raises(NotFound, match="other layer"):
            await storage.dataset(dataset.name, RAW)
        with pytest.raises(NotFound):
            await scanned(storage, "t_nope")
        with pytest.raises(NotFound):
            await storage.delete_dataset("t_nope")

    async def test_what_is_said_of_it_can_change(self, storage: Storage, dataset: Dataset) -> None:
        changed = await storage.describe_dataset(dataset.name, description="")
        assert (changed.description, changed.time_zone) == ("", "Europe/Helsinki")
        changed = await storage.describe_dataset(dataset.name, time_zone="Asia/Tokyo")
        assert (changed.description, changed.time_zone) == ("", "Asia/Tokyo")
        with pytest.raises(InvalidInput):
            await storage.describe_dataset(dataset.name, time_zone="Mars")

    async def test_rows_by_hand(self, storage: Storage, dataset: Dataset) -> None:
        later = {**ROW, "placed_at": "2026-03-01T15:00:00+02:00", "city": None}
        ids = await storage.insert_rows(dataset.name, PROCESSED, [ROW, later])
        assert ids == (1, 2)
        assert await storage.insert_rows(dataset.name, PROCESSED, [{"order_id": "o3"}]) == (3,)
        assert await storage.insert_rows(dataset.name, PROCESSED, []) == ()
        page = await storage.rows(dataset.name)
        assert page.next_after is None
        assert page.rows[0] == {"row_id": 1, "load_id": 0, **ROW}
        assert page.rows[1]["placed_at"] == NOON.replace(hour=13, microsecond=0)
        stood = await storage.dataset(dataset.name)
        assert stood.rows == 3
        assert (stood.first_at, stood.last_at) == (NOON, page.rows[1]["placed_at"])
        assert stood.changed_at > dataset.changed_at

    async def test_rows_that_cannot_be_name_field_and_row(
        self, storage: Storage, dataset: Dataset
    ) -> None:
        wrong = [
            ROW,
            {**ROW, "delivery_minutes": -5, "order_id": 7},
            {**ROW, "placed_at": "2026-03-01T15:00:00", "subtotal_minor": 1.5, "nope": 1},
            {**ROW, "row_id": 9, "rush": True, "city": 5},
        ]
        with pytest.raises(InvalidInput) as refused:
            await storage.insert_rows(dataset.name, PROCESSED, wrong)
        found = {(problem.row, problem.field) for problem in refused.value.problems}
        assert found == {
            *((1, "delivery_minutes"), (1, "order_id")),
            *((2, "placed_at"), (2, "subtotal_minor"), (2, "nope")),
            *((3, "row_id"), (3, "rush"), (3, "city")),
        }
        assert "1440 min" in str(refused.value)
        assert (await storage.dataset(dataset.name)).rows == 0

    async def test_pages_and_filters(self, storage: Storage, dataset: Dataset) -> None:
        rows = [
            {**ROW, "order_id": f"o:{n}", "placed_at": NOON + timedelta(hours=n), "rush": n / 2}
            for n in range(7)
        ]
        ids = await storage.insert_rows(dataset.name, PROCESSED, rows)
        found: list[Any] = []
        after = None
        while True:
            page = await storage.rows(dataset.name, columns=["rush"], after=after, limit=3)
            found += page.rows
            after = page.next_after
            if after is None:
                break
        assert found == [{"row_id": i, "rush": r["rush"]} for i, r in zip(ids, rows, strict=True)]
        for condition, expected in [
            (where("order_id", "eq", "o:3"), 1),
            (where("order_id", "in", ["o:3", "o:4", 'o"]']), 2),
            (where("order_id", "contains", ":"), 7),
            (where("rush", "le", 1.0), 3),
            (where("rush", "le", "1"), 3),
            (where("rush", "in", [0.5, 1]), 2),
            (where("placed_at", "gt", NOON + timedelta(hours=4)), 2),
            (where("city", "null", True), 0),
            (where("subtotal_minor", "ne", 1990), 0),
            (where("rush", "gt", 1) + where("rush", "lt", 2), 1),
        ]:
            assert len((await storage.rows(dataset.name, where=condition)).rows) == expected
            assert len(await scanned(storage, dataset.name, where=condition)) == expected
        for bad in (where("nope", "eq", 1), where("rush", "eq", "x"), where("city", "lt", None)):
            with pytest.raises(InvalidInput) as refused:
                await storage.rows(dataset.name, where=bad)
            assert refused.value.problems[0].field == bad[0].field
        with pytest.raises(InvalidInput):
            await storage.rows(dataset.name, columns=["nope"])
        with pytest.raises(InvalidInput):
            await storage.rows(dataset.name, limit=100_000)

    async def test_updates_and_deletes(self, storage: Storage, dataset: Dataset) -> None:
        await storage.insert_rows(dataset.name, PROCESSED, [ROW, {**ROW, "order_id": "o2"}])
        second = where("order_id", "eq", "o2")
        changes = {"placed_at": NOON + timedelta(days=1), "rush": 2, "city": None}
        assert await storage.update_rows(dataset.name, PROCESSED, second, changes) == 1
        row = (await storage.rows(dataset.name, where=second)).rows[0]
        assert {name: row[name] for name in changes} == changes
        for values in ({}, {"delivery_minutes": 1e6}, {"row_id": 5}, {"nope": 1}):
            with pytest.raises(InvalidInput):
                await storage.update_rows(dataset.name, PROCESSED, second, values)
        with pytest.raises(InvalidInput, match="which rows"):
            await storage.update_rows(dataset.name, PROCESSED, [], changes)
        with pytest.raises(InvalidInput, match="which rows"):
            await storage.delete_rows(dataset.name, PROCESSED, [])
        assert await storage.delete_rows(dataset.name, PROCESSED, second) == 1
        assert await storage.delete_rows(dataset.name, PROCESSED, second) == 0
        assert (await storage.dataset(dataset.name)).rows == 1

    async def test_loads(self, storage: Storage, dataset: Dataset) -> None:
        name = dataset.name
        rows = pa.table({"row_id": [101, 102], "order_id": ["a", "b"]})
        assert await storage.staged_until(name, PROCESSED, 1) is None
        await storage.stage_rows(name, PROCESSED, 1, rows)
        await storage.stage_rows(name, PROCESSED, 2, pa.table({"row_id": [201]}))
        assert await storage.staged_until(name, PROCESSED, 1) == 102
        await storage.unstage_after(name, PROCESSED, 1, 101)
        assert await storage.staged_until(name, PROCESSED, 1) == 101
        assert (await storage.dataset(name)).rows == 0
        await storage.discard_load(name, PROCESSED, 2)
        for load_id in (1, 1, 2):
            await storage.commit_load(name, PROCESSED, load_id)
        assert [row["row_id"] for row in await scanned(storage, name)] == [101]
        with pytest.raises(InvalidInput) as refused:
            await storage.stage_rows(name, PROCESSED, 3, pa.table({"row_id": [1], "nope": [1]}))
        assert refused.value.problems[0].field == "nope"

    async def test_a_big_scan_comes_in_batches_with_exact_types(
        self, storage: Storage, dataset: Dataset
    ) -> None:
        rows = pa.table({"row_id": pa.array(range(150_000)), "rush": pa.array([0.1] * 150_000)})
        await storage.stage_rows(dataset.name, PROCESSED, 1, rows)
        await storage.commit_load(dataset.name, PROCESSED, 1)
        sizes = []
        async for batch in storage.scan(dataset.name, columns=["placed_at", "rush"]):
            sizes.append(batch.num_rows)
            assert batch.schema.types == [pa.timestamp("us", "UTC"), pa.float64()]
        assert sum(sizes) == 150_000
        assert max(sizes) < 150_000
        scan = storage.scan(dataset.name)
        await anext(aiter(scan))
        await scan.aclose()  # type: ignore[attr-defined]
        empty = storage.scan(dataset.name, where=where("rush", "gt", 1))
        batches = [batch async for batch in empty]
        assert pa.Table.from_batches(batches).column_names[:2] == ["row_id", "load_id"]

    async def test_raw_rows_are_texts_under_any_name(self, storage: Storage, name: str) -> None:
        columns = ("Time taken (min)", "o'rder`:eq:", "päivä")
        await storage.create_dataset(
            DatasetSpec(
                name=name,
                layer=RAW,
                columns=tuple(Column(name=column, kind=Kind.TEXT) for column in columns),
            )
        )
        values = dict(zip(columns, ["(24)", "x", ""], strict=True))
        await storage.insert_rows(name, RAW, [values])
        condition = where("o'rder`:eq:", "eq", "x")
        found = (await storage.rows(name, RAW, where=condition, columns=columns)).rows
        assert found == ({"row_id": 1, **values},)
        with pytest.raises(InvalidInput):
            await storage.insert_rows(name, RAW, [{columns[0]: 24}])
        await storage.delete_dataset(name, RAW)
        with pytest.raises(NotFound):
            await storage.dataset(name, RAW)

    async def test_a_deleted_data_set_comes_back_empty(
        self, storage: Storage, dataset: Dataset
    ) -> None:
        await storage.insert_rows(dataset.name, PROCESSED, [ROW])
        await storage.delete_dataset(dataset.name)
        again = await storage.create_dataset(DatasetSpec(name=dataset.name, columns=COLUMNS[:1]))
        assert (again.rows, again.columns) == (0, COLUMNS[:1])

    async def test_questions(self, storage: Storage, dataset: Dataset) -> None:
        await storage.insert_rows(dataset.name, PROCESSED, [ROW])
        result = await storage.query(
            f"SELECT city, placed_at, delivery_minutes / 0 AS x FROM processed_{dataset.name}"
        )
        assert result.rows == (("Oulu", NOON, None),)
        assert [column.kind for column in result.columns] == [Kind.TEXT, Kind.TIME, Kind.NUMBER]
        for wrong in ("DROP TABLE x", "SELECT file('/etc/passwd')", "SELECT nope", ""):
            with pytest.raises(FoodexError) as refused:
                await storage.query(wrong)
            assert refused.value.status in (404, 422)

    async def test_objects(self, storage: Storage, name: str) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(8):
                yield b"x" * (1 << 18)

        key = f"{name}/ü %20+&?#.bin"
        stored = await storage.put_object(key, pieces())
        assert (stored.key, stored.size_bytes) == (key, 1 << 21)
        assert await storage.head_object(key) == stored
        assert sum([len(piece) async for piece in storage.get_object(key)]) == 1 << 21
        await storage.put_object(f"{name}/b", b"")
        assert [piece async for piece in storage.get_object(f"{name}/b") if piece] == []
        page = await storage.list_objects(f"{name}/", limit=1)
        assert [s.key for s in page.objects] == [f"{name}/b"]
        page = await storage.list_objects(f"{name}/", after=page.next_after, limit=5)
        assert [s.key for s in page.objects] == [key]
        for gone in (key, key, f"{name}/b"):
            await storage.delete_object(gone)
        with pytest.raises(NotFound):
            await storage.head_object(key)
        with pytest.raises(NotFound):
            [piece async for piece in storage.get_object(key)]
        with pytest.raises(InvalidInput):
            await storage.put_object("a/../b", b"x")

    async def test_an_object_has_a_limit(self, storage: Storage, name: str) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"x" * (1 << 20)

        with pytest.raises(TooLarge):
            await storage.put_object(name, pieces())
        with pytest.raises(TooLarge):
            await storage.put_object(name, b"x" * (5 << 20))
        with pytest.raises(NotFound):
            await storage.head_object(name)

    async def test_the_log_of_actions(self, storage: Storage, dataset: Dataset) -> None:
        await storage.insert_rows(dataset.name, PROCESSED, [ROW])
        newest, before = await storage.actions(limit=2)
        assert (newest.what, newest.target) == ("rows.insert", f"processed/{dataset.name}")
        assert newest.details == {"rows": 1}
        assert newest.who
        assert before.what == "dataset.create"
        assert (await storage.actions(before=newest.id, limit=1)) == (before,)
