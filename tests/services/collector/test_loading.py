"""Loads: all or nothing, once, resumed, logged."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foodex.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from foodex.core.settings import CollectorSettings
from foodex.domain.datasets import ROW_ID, ROWS_PER_LOAD, Layer
from foodex.domain.loads import Load, LoadState, Source, SourceKind
from foodex.domain.mapping_toml import read_mapping
from foodex.services.collector.fetching import Fetched
from foodex.services.collector.loading import sorted_batches
from foodex.services.collector.order_ids import SeenOrders
from foodex.services.collector.service import CollectorService
from tests.services.collector.conftest import (
    HEADER,
    MAPPING,
    Open,
    csv_of,
    ended,
    file_source,
    line,
)
from tests.support.memory_storage import MemoryStorage


async def load_file(
    collector: CollectorService, path: Path, *, dataset: str = "mine", mapping: str = MAPPING
) -> Load:
    started = await collector.start_load(file_source(path), mapping=mapping, dataset=dataset)
    return await ended(collector, started)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def adds_up(load: Load) -> bool:
    return (
        load.rows_read == load.rows_kept + load.rows_rejected
        and sum(load.rejected_by_rule.values()) == load.rows_rejected
    )


async def test_rows_arrive_raw_and_processed(
    collector: CollectorService, storage: MemoryStorage, tmp_path: Path
) -> None:
    path = written(
        tmp_path / "a.csv",
        csv_of(line(0), line(1, took=-3), "A-2,soon", line(3, note='"two\nlines"'), line(0)),
    )
    load = await load_file(collector, path)
    assert (load.state, load.rows_read, load.rows_kept, load.progress) == ("done", 5, 2, 1.0)
    assert load.rejected_by_rule == {"broken_line": 1, "duplicate_order": 1, "negative_duration": 1}
    assert adds_up(load)
    processed = storage.frame("mine")
    assert processed[ROW_ID].to_list() == [load.id * ROWS_PER_LOAD + row for row in (1, 4)]
    assert processed["spice"].to_list() == [0.0, 3.0]
    assert processed.schema["placed_at"].time_zone == "UTC"  # type: ignore[attr-defined]
    raw = storage.frame("mine", Layer.RAW)
    assert raw.columns == [ROW_ID, "id", "placed", "took", "spice_level", "note"]
    assert raw["note"].to_list() == ["", "", "two\nlines", ""]
    assert storage.made["mine", Layer.PROCESSED].time_zone == "Europe/Helsinki"
    rejections = await collector.rejections(load.id)
    assert [(item.row, item.rule, item.field) for item in rejections] == [
        (2, "negative_duration", "delivery_minutes"),
        (3, "broken_line", ""),
        (5, "duplicate_order", "order_id"),
    ]
    assert rejections[0].values["took"] == "-3"
    assert rejections[1].values == {"(line)": "A-2,soon"}
    text = b"".join([piece async for piece in collector.rejections_csv(load.id)]).decode()
    assert text.splitlines()[0] == f"row,rule,field,reason,{HEADER},(line)"
    assert len(text.splitlines()) == 4


async def test_rejected_rows_do_no_harm_in_a_spreadsheet(
    collector: CollectorService, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.csv", csv_of(line(1, took="=1+1", note='"@x, ""y"""')))
    load = await load_file(collector, path)
    text = b"".join([piece async for piece in collector.rejections_csv(load.id)]).decode()
    (row,) = csv.DictReader(text.splitlines())
    assert (row["took"], row["note"], row["rule"]) == ("'=1+1", '\'@x, "y"', "bad_number")
    assert row["reason"] == "'=1+1' is no number"


async def test_the_same_content_again_adds_nothing(
    collector: CollectorService, storage: MemoryStorage, tmp_path: Path
) -> None:
    mapping = MAPPING.replace('order_id = { column = "id" }\n', "")
    path = written(tmp_path / "a.csv", csv_of(line(0), line(1)))
    assert (await load_file(collector, path, mapping=mapping)).state is LoadState.DONE
    commented = mapping + "\n# by hand"
    renamed = path.rename(tmp_path / "b.csv")
    again = await load_file(collector, renamed, mapping=commented)
    assert (again.state, again.rows_kept) == (LoadState.DUPLICATE, 0)
    assert len(storage.frame("mine")) == 2
    await storage.delete_dataset("mine")
    assert (await load_file(collector, renamed, mapping=mapping)).state is LoadState.DONE


async def test_an_order_already_in_the_data_set_is_refused(
    collector: CollectorService, tmp_path: Path
) -> None:
    await load_file(collector, written(tmp_path / "a.csv", csv_of(line(0), line(1))))
    load = await load_file(collector, written(tmp_path / "b.csv", csv_of(line(1), line(2))))
    assert (load.rows_kept, load.rejected_by_rule) == (1, {"duplicate_order": 1})


async def logged(path: Path, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        while len(lines := (await asyncio.to_thread(path.read_text)).splitlines()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [json.loads(text) for text in lines]


async def test_every_load_is_one_line_of_the_log(
    collector: CollectorService, settings: CollectorSettings, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.csv", csv_of(line(0), line(1, took="x")))
    done = await load_file(collector, path)
    await load_file(collector, path)
    with pytest.raises(InvalidInput):
        await load_file(collector, path, mapping=MAPPING.replace('"took"', '"tok"'))
    lines = await logged(Path(settings.log_file), 2)
    assert [item["state"] for item in lines] == ["done", "duplicate"]
    assert lines[0]["id"] == done.id
    assert lines[0]["rejected_by_rule"] == {"bad_number": 1}
    assert lines[0]["content_hash"] == done.content_hash
    assert lines[0]["duration_seconds"] >= 0


async def test_the_log_of_loads_goes_newest_first(
    collector: CollectorService, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.csv", csv_of(line(0)))
    ids = [(await load_file(collector, path, dataset=name)).id for name in ("one", "two", "one")]
    assert [load.id for load in await collector.loads()] == ids[::-1]
    assert [load.id for load in await collector.loads(dataset="one")] == [ids[2], ids[0]]
    assert [load.id for load in await collector.loads(before=ids[2], limit=1)] == [ids[1]]
    with pytest.raises(NotFound):
        await collector.load(999)


MANY = csv_of(*(line(n, took=n % 7 - 1) if n % 11 else "broken" for n in range(230)), line(5))


@pytest.mark.parametrize("step", ["stage_rows", "put_object", "commit_load", "create_dataset"])
@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("count", [1, 2, 5])
async def test_a_load_killed_anywhere_resumes_to_the_same_end(
    open_collector: Open,
    storage: MemoryStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
    count: int,
) -> None:
    path = written(tmp_path / "a.csv", MANY)
    async with open_collector() as collector:
        whole = await load_file(collector, path, dataset="whole")
    calls = 0
    reached = asyncio.Event()
    real = getattr(storage, step)

    async def hangs(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        result = await real(*args, **named) if after or calls != count else None
        if calls == count:
            reached.set()
            await asyncio.Event().wait()
        return result

    monkeypatch.setattr(storage, step, hangs)
    async with open_collector() as collector:
        started = await collector.start_load(file_source(path), mapping=MAPPING, dataset="torn")
        stopped = asyncio.create_task(reached.wait())
        finished = asyncio.create_task(ended(collector, started))
        await asyncio.wait([stopped, finished], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, finished):
            task.cancel()
        if reached.is_set() and step != "commit_load":
            assert not storage.seen.get(("torn", Layer.PROCESSED))
    monkeypatch.setattr(storage, step, real)
    async with open_collector() as collector:
        torn = await ended(collector, await collector.load(started.id))
        assert torn.state is LoadState.DONE
        same = ("rows_read", "rows_kept", "rejected_by_rule", "content_hash")
        assert [getattr(torn, name) for name in same] == [getattr(whole, name) for name in same]
        for layer in Layer:
            left, right = storage.frame("torn", layer), storage.frame("whole", layer)
            shift = (torn.id - whole.id) * ROWS_PER_LOAD
            assert left.with_columns(left[ROW_ID] - shift).equals(right)
        assert await collector.rejections(torn.id) == await collector.rejections(whole.id)


async def test_storage_that_cannot_answer_makes_a_load_wait(
    open_collector: Open,
    storage: MemoryStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = storage.stage_rows
    failures = iter([Unavailable("The warehouse sleeps")])

    async def sleepy(*args: Any) -> None:
        for error in failures:
            raise error
        await real(*args)

    monkeypatch.setattr(storage, "stage_rows", sleepy)
    monkeypatch.setattr("foodex.services.collector.worker._TRY_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr("foodex.services.collector.worker._LOOK_AGAIN_SECONDS", 0.1)
    async with open_collector() as collector:
        load = await load_file(collector, written(tmp_path / "a.csv", csv_of(line(0))))
    assert (load.state, load.rows_kept, load.error) == ("done", 1, None)


async def test_a_fault_of_ours_fails_the_load_and_leaves_nothing(
    collector: CollectorService,
    storage: MemoryStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def faulty(*_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(storage, "stage_rows", faulty)
    load = await load_file(collector, written(tmp_path / "a.csv", csv_of(line(0))))
    assert load.state is LoadState.FAILED
    assert "boom" not in str(load.error)
    assert not storage.made


async def test_a_file_that_ends_too_early_fails_and_leaves_nothing(
    collector: CollectorService, storage: MemoryStorage, tmp_path: Path
) -> None:
    text = csv_of(*(line(n) for n in range(1_500)), 'B,2026-03-01 10:00,5,1,"' + "x" * 30_000)
    load = await load_file(collector, written(tmp_path / "a.csv", text))
    assert load.state is LoadState.FAILED
    assert "a.csv, after row 1500" in str(load.error)
    assert not storage.made
    assert not storage.staged
    assert not storage.objects
    assert adds_up(load)


async def test_a_failed_load_harms_no_rows_that_were_there(
    collector: CollectorService, storage: MemoryStorage, tmp_path: Path
) -> None:
    await load_file(collector, written(tmp_path / "a.csv", csv_of(line(0))))
    bad = written(tmp_path / "b.csv", csv_of(*(line(n) for n in range(1_500)), "x" * 20_000))
    assert (await load_file(collector, bad)).state is LoadState.FAILED
    assert len(storage.frame("mine")) == 1


async def test_a_file_changed_during_its_load_is_noticed(
    open_collector: Open, storage: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.csv", MANY)
    reached = asyncio.Event()

    async def hangs(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(storage, "stage_rows", hangs)
        async with open_collector() as collector:
            started = await collector.start_load(file_source(path), mapping=MAPPING, dataset="mine")
            await reached.wait()
    path.write_text(csv_of(line(1)))
    async with open_collector() as collector:
        load = await ended(collector, started)
    assert load.state is LoadState.FAILED
    assert "has changed" in str(load.error)


async def test_a_cancelled_load_leaves_nothing(
    collector: CollectorService,
    storage: MemoryStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = asyncio.Event()

    async def hangs(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(storage, "stage_rows", hangs)
    path = written(tmp_path / "a.csv", MANY)
    first = await collector.start_load(file_source(path), mapping=MAPPING, dataset="mine")
    waiting = await collector.start_load(file_source(path), mapping=MAPPING, dataset="mine")
    assert (await collector.cancel_load(waiting.id)).state is LoadState.CANCELLED
    await reached.wait()
    assert (await collector.cancel_load(first.id)).state is LoadState.CANCELLED
    assert not storage.made
    with pytest.raises(Conflict):
        await collector.cancel_load(first.id)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dataset": "My Data"}, "small letters"),
        ({"mapping": MAPPING.replace('"took"', '"toook"')}, "did you mean 'took'"),
        ({"mapping": "nothing_here"}, "no mapping 'nothing_here'"),
        ({"mapping": MAPPING.replace("column", "colunm", 1)}, "did you mean column"),
        ({"source": "nothing_here"}, "no source 'nothing_here'"),
        ({"source": Source(name="x", kind=SourceKind.FILE, location="/nowhere.csv")}, "no file"),
        ({"source": Source(name="x", kind=SourceKind.FOLDER, location="/nowhere")}, "no folder"),
        ({"source": Source(name="x", kind=SourceKind.UPLOAD, location="models/m")}, "upload"),
    ],
)
async def test_what_cannot_be_loaded_is_refused_at_once(
    collector: CollectorService, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    path = written(tmp_path / "a.csv", csv_of(line(0)))
    wanted: dict[str, Any] = {"source": file_source(path), "mapping": MAPPING, "dataset": "mine"}
    wanted |= change
    with pytest.raises((InvalidInput, NotFound)) as caught:
        await collector.start_load(
            wanted["source"], mapping=wanted["mapping"], dataset=wanted["dataset"]
        )
    assert told in str(caught.value)
    assert not await collector.loads()


async def test_a_folder_is_one_load_and_rejections_name_their_file(
    collector: CollectorService, storage: MemoryStorage, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    written(folder / "02.csv", csv_of(line(3), line(4, took="?!")))
    written(folder / "01.csv", csv_of(*(line(n) for n in range(3))))
    written(folder / ".hidden", "no table")
    source = Source(name="till", kind=SourceKind.FOLDER, location=str(folder))
    load = await ended(
        collector, await collector.start_load(source, mapping=MAPPING, dataset="mine")
    )
    assert (load.rows_read, load.rows_kept) == (5, 4)
    assert storage.frame("mine")["order_id"].to_list() == ["A-0", "A-1", "A-2", "A-3"]
    (rejection,) = await collector.rejections(load.id)
    assert rejection.row == 5
    assert rejection.reason.startswith("02.csv: ")


async def test_rejections_are_paged_over_many_batches(
    collector: CollectorService, tmp_path: Path
) -> None:
    text = csv_of(*(line(n, took="x" if n % 3 else 20) for n in range(400)))
    load = await load_file(collector, written(tmp_path / "a.csv", text))
    found: list[int] = []
    while page := await collector.rejections(load.id, after=found[-1] if found else 0, limit=37):
        found += [item.row for item in page]
    assert found == [n + 1 for n in range(400) if n % 3]
    assert len(found) == load.rows_rejected


rows = st.lists(
    st.one_of(
        st.builds(line, st.integers(0, 30), took=st.sampled_from([10, -1, "x", ""])),
        st.sampled_from(["too,few", "1,2,3,4,5,6,7", '"a\n\nb",2026-03-01 10:00,5,1,"n"']),
    ),
    max_size=40,
)


def outcome_of(path: Path, settings: CollectorSettings) -> dict[int, tuple[str, ...]]:
    """What becomes of each row of a file, by row."""
    found: dict[int, tuple[str, ...]] = {}
    before = 0
    fetched = Fetched((path,))
    for batch in sorted_batches(fetched, read_mapping(MAPPING), settings, SeenOrders()):
        here = {row[0]: ("kept", *map(str, row)) for row in batch.kept.iter_rows()}
        here |= {row[0]: tuple(map(str, row)) for row in batch.refused.iter_rows()}
        assert len(here) == len(batch.kept) + len(batch.refused)
        assert sorted(here) == list(range(before + 1, batch.raw.last_row + 1))
        before = batch.raw.last_row
        found |= here
    return found


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=rows, size=st.integers(1, 9))
def test_batches_do_not_show_in_the_result(
    settings: CollectorSettings, tmp_path: Path, lines: list[str], size: int
) -> None:
    path = written(tmp_path / "a.csv", csv_of(*lines))
    whole = outcome_of(path, settings.model_copy(update={"batch_rows": 1_000}))
    assert outcome_of(path, settings.model_copy(update={"batch_rows": size})) == whole
    assert len(whole) == len(lines)
