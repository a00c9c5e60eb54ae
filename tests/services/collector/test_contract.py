"""The collector's port, on the service itself and over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foodex.core.access import KeyAccess, Principal, Role, acting_as
from foodex.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TooLarge,
)
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings
from foodex.domain.loads import LoadState, Source, SourceKind
from foodex.ports.collector import Collector
from foodex.services.collector.app import create_app
from foodex.services.collector.client import CollectorClient
from foodex.services.collector.service import MASK
from tests.services.collector.conftest import MAPPING, Open, csv_of, ended, file_source, line
from tests.support.memory_storage import MemoryStorage
from tests.support.serving import serve

ANALYST = Principal("ann", frozenset({Role.ANALYST}))
OPERATOR = Principal("oda", frozenset({Role.OPERATOR}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "exports"
    made.mkdir()
    (made / "a.csv").write_text(csv_of(*(line(n) for n in range(5)), "A-9,soon"))
    return made


@pytest.fixture(params=["service", "client"])
async def port(
    request: pytest.FixtureRequest, open_collector: Open, folder: Path
) -> AsyncIterator[Collector]:
    configured = {"till": {"kind": "folder", "location": str(folder)}}
    changes = {
        "allowed_folders": (str(folder),),
        "sources": configured,
        "max_file_bytes": 100_000,
    }
    if request.param == "service":
        async with open_collector(**changes) as service:
            with acting_as(ANALYST):
                yield service
        return
    async with open_collector(**changes) as service:
        app = create_app(service, access=KeyAccess("key"), settings=HttpSettings())
        async with serve(app) as url, Peer(url, "key") as peer:
            with acting_as(ANALYST):
                yield CollectorClient(peer)


async def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_sources_are_kept_and_their_secrets_masked(port: Collector) -> None:
    source = Source(
        name="shop", kind=SourceKind.HTTP, location="https://shop.example/orders",
        paging={"kind": "page", "rows": "data"}, headers={"authorization": "Bearer hush"},
    )  # fmt: skip
    kept = await port.put_source(source)
    assert kept.headers == {"authorization": MASK}
    assert kept.created_at is not None
    assert [item.name for item in await port.sources()] == ["shop", "till"]
    assert "hush" not in repr(await port.sources())
    # A masked secret stays, but does not follow the source to another host.
    again = await port.put_source(kept)
    assert again == kept
    moved = Source(name="shop", kind=SourceKind.HTTP, location="https://evil.example/",
                   headers={"authorization": MASK})  # fmt: skip
    with pytest.raises(InvalidInput, match=r"headers\.authorization"):
        await port.put_source(moved)
    await port.delete_source("shop")
    with pytest.raises(NotFound):
        await port.delete_source("shop")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "My Shop"}, "small letters"),
        ({"paging": {"kind": "pages"}}, "paging.kind"),
        ({"paging": {"knd": "page"}}, "knd"),
        ({"paging": {"kind": "cursor"}}, "paging.next"),
    ],
)
async def test_a_wrong_source_is_refused(
    port: Collector, changes: dict[str, object], told: str
) -> None:
    fields = {"name": "shop", "kind": SourceKind.HTTP, "location": "https://shop.example"}
    with pytest.raises(InvalidInput, match=told):
        await port.put_source(Source(**{**fields, **changes}))  # type: ignore[arg-type]


async def test_a_configured_source_stays_as_it_is(port: Collector, folder: Path) -> None:
    with pytest.raises(Conflict):
        await port.delete_source("till")
    with pytest.raises(Conflict):
        await port.put_source(Source(name="till", kind=SourceKind.FOLDER, location=str(folder)))


async def test_the_next_batch_on_request(port: Collector) -> None:
    first = await port.next_batch("till", size=2)
    assert [row["id"] for row in first.rows] == ["A-0", "A-1"]
    second = await port.next_batch("till", cursor=first.next_cursor, size=50)
    assert len(second.rows) == 4
    assert second.next_cursor is None
    with pytest.raises(InvalidInput, match="cursor"):
        await port.next_batch("till", cursor="???")
    with pytest.raises(NotFound, match="there are: till"):
        await port.next_batch("tills")


async def test_mappings_are_checked_and_kept(port: Collector) -> None:
    await port.put_mapping("mine", MAPPING)
    assert await port.mappings() == ("mine",)
    assert await port.mapping("mine") == MAPPING
    with pytest.raises(InvalidInput, match=r"fields\.placed_at\.colum") as caught:
        await port.put_mapping("mine", MAPPING.replace('column = "placed"', 'colum = "placed"'))
    assert caught.value.problems[0].field == "fields.placed_at.colum"
    assert await port.mapping("mine") == MAPPING
    await port.delete_mapping("mine")
    for gone in (port.mapping("mine"), port.delete_mapping("mine")):
        with pytest.raises(NotFound):
            await gone


async def test_a_mapping_is_tried_on_the_first_rows_and_nothing_is_kept(port: Collector) -> None:
    body = csv_of(line(0), "A-1,soon,30,1,", line(2, took="x"), "A-3,broken").encode()
    source = await port.upload("orders.csv", sent(body))
    trial = await port.try_mapping(source, MAPPING)
    assert (trial.rows_read, trial.rows_kept) == (4, 1)
    assert trial.rejected_by_rule == {"bad_time": 1, "bad_number": 1, "broken_line": 1}
    assert [(one.row, one.values.get("took")) for one in trial.rejections] == [
        (2, "30"), (3, "x"), (4, None)
    ]  # fmt: skip
    assert trial.rows[0]["placed_at"] == "2026-02-28T22:00:00Z"
    assert trial.rows[0]["delivery_minutes"] == 30.0
    assert await port.loads() == ()
    with pytest.raises(InvalidInput, match="no column 'when'"):
        await port.try_mapping(source, MAPPING.replace('"placed"', '"when"'))
    with pytest.raises(InvalidInput, match=r"delivery_minutes.*required"):
        await port.try_mapping(source, MAPPING.replace("delivery_minutes", "own_estimate_minutes"))


async def test_from_upload_to_rows(port: Collector, storage: MemoryStorage) -> None:
    body = csv_of(*(line(n) for n in range(40)), "A-99,soon").encode()
    source = await port.upload("../../My export.csv", sent(body[:100], body[100:]))
    assert source.kind is SourceKind.UPLOAD
    suggestion = await port.suggest_mapping(source)
    assert 'placed_at = { column = "placed"' in suggestion.toml
    assert {guess.column for guess in suggestion.guesses} >= {"id", "placed", "took"}
    assert suggestion.sample[0]["id"] == "A-0"
    await port.put_mapping("mine", MAPPING)
    load = await ended(port, await port.start_load(source, mapping="mine", dataset="mine"))
    assert (load.state, load.rows_kept, load.rows_rejected) == (LoadState.DONE, 40, 1)
    assert load.who == "ann"
    assert await port.load(load.id) == load
    assert await port.loads(dataset="mine") == (load,)
    (rejection,) = await port.rejections(load.id)
    assert (rejection.row, rejection.rule) == (41, "broken_line")
    text = b"".join([piece async for piece in port.rejections_csv(load.id)])
    assert text.count(b"\n") == 2
    assert len(storage.frame("mine")) == 40
    with pytest.raises(Conflict):
        await port.cancel_load(load.id)
    with pytest.raises(NotFound):
        await port.rejections(load.id + 1)


async def test_uploads_are_bounded(port: Collector, storage: MemoryStorage) -> None:
    with pytest.raises(TooLarge):
        await port.upload("big.csv", sent(b"x" * 60_000, b"x" * 60_000))
    with pytest.raises(InvalidInput, match="empty"):
        await port.upload("none.csv", sent())
    assert not storage.objects


async def test_files_are_confined_to_the_allowed_folders(
    port: Collector, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text(csv_of(line(1)))
    (folder / "link.csv").symlink_to(outside)
    places = [outside, folder / ".." / "secret.csv", folder / "link.csv", Path("/etc/passwd")]
    for place in places:
        for attempt in (
            port.start_load(file_source(place), mapping=MAPPING, dataset="mine"),
            port.suggest_mapping(file_source(place)),
            port.put_source(file_source(place)),
        ):
            with pytest.raises(Forbidden, match="allowed_folders"):
                await attempt
    with pytest.raises(Forbidden):
        await port.put_source(Source(name="all", kind=SourceKind.FOLDER, location=str(folder)))
    (folder / "link.csv").unlink()
    load = await port.start_load(file_source(folder / "a.csv"), mapping=MAPPING, dataset="mine")
    assert (await ended(port, load)).rows_kept == 5


async def test_only_some_may_write(open_collector: Open, folder: Path) -> None:
    async with open_collector() as service:
        app = create_app(service, access=KeyAccess("key"), settings=HttpSettings())
        async with serve(app) as url:
            async with Peer(url, "key") as peer:
                client = CollectorClient(peer)
                with acting_as(OPERATOR):
                    assert await client.loads() == ()
                    with pytest.raises(Forbidden):
                        await client.put_mapping("mine", MAPPING)
                with (
                    acting_as(Principal("shop", frozenset({Role.CLIENT}))),
                    pytest.raises(Forbidden),
                ):
                    await client.loads()
            async with Peer(url, "wrong") as peer:
                with pytest.raises(NotAuthenticated):
                    await CollectorClient(peer).loads()
