"""HTTP sources: paging of every kind, patience, limits, and no way inside."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from foodex.core.errors import InvalidInput, TooLarge, Unavailable
from foodex.domain.loads import LoadState, Source, SourceKind
from tests.services.collector.conftest import MAPPING, Open, csv_of, ended, line
from tests.support.memory_storage import MemoryStorage

ROWS = [
    {"id": f"A-{n}", "placed": f"2026-03-01 10:{n:02}", "took": n, "Spice level": None}
    for n in range(11)
]
Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def stranger(handler: Handler) -> AsyncIterator[str]:
    """A server of somebody else's on loopback."""

    async def answer(request: web.Request) -> web.StreamResponse:
        made = handler(request)
        if isinstance(made, web.StreamResponse):
            return made
        return web.json_response(made)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def source_at(url: str, **paging: Any) -> Source:
    headers = {"x-key": "hush"}
    return Source(
        name="shop", kind=SourceKind.HTTP, location=f"{url}/orders", paging=paging, headers=headers
    )


def by_page(request: web.Request) -> Any:
    start = (int(request.query["page"]) - 1) * 3
    return {"data": {"items": ROWS[start : start + 3]}}


def by_offset(request: web.Request) -> Any:
    start, size = int(request.query["from"]), int(request.query["size"])
    return ROWS[start : start + size]


def by_cursor(request: web.Request) -> Any:
    start = int(request.query.get("after", 0))
    return {"rows": ROWS[start : start + 4], "meta": {"next": str(start + 4) if start < 8 else ""}}


def by_link(request: web.Request) -> Any:
    start = int(request.query.get("s", 0))
    headers = {"link": f'</orders?s={start + 5}>; rel="next"'} if start < 10 else {}
    return web.json_response(ROWS[start : start + 5], headers=headers)


PAGINGS: dict[str, tuple[Handler, dict[str, Any]]] = {
    "page": (by_page, {"kind": "page", "rows": "data.items"}),
    "offset": (
        by_offset,
        {"kind": "offset", "parameter": "from", "size_parameter": "size", "size": 4},
    ),
    "cursor": (
        by_cursor,
        {"kind": "cursor", "parameter": "after", "rows": "rows", "next": "meta.next"},
    ),
    "link": (by_link, {"kind": "link"}),
    "none": (lambda _: ROWS, {}),
}


@pytest.mark.parametrize("kind", PAGINGS)
async def test_a_load_and_its_batches_over_every_paging(
    open_collector: Open, storage: MemoryStorage, kind: str
) -> None:
    handler, paging = PAGINGS[kind]
    async with stranger(handler) as url, open_collector() as collector:
        await collector.put_source(source_at(url, **paging))
        load = await ended(
            collector, await collector.start_load("shop", mapping=MAPPING, dataset="mine")
        )
        assert (load.state, load.rows_kept, load.error) == (LoadState.DONE, 11, None)
        assert storage.frame("mine")["delivery_minutes"].to_list() == list(range(11))
        # Nothing fetched stays behind.
        assert not [key for key in storage.objects if "fetched" in key]
        if kind == "none":
            return
        for size in (1, 2, 5, 50):
            found: list[Any] = []
            cursor = None
            while True:
                batch = await collector.next_batch("shop", cursor=cursor, size=size)
                found += batch.rows
                cursor = batch.next_cursor
                if cursor is None:
                    break
            assert found == ROWS


async def test_a_file_over_http(open_collector: Open) -> None:
    body = csv_of(line(1), line(2)).encode()
    async with stranger(lambda _: web.Response(body=body)) as url, open_collector() as collector:
        load = await ended(
            collector,
            await collector.start_load(source_at(url), mapping=MAPPING, dataset="mine"),
        )
    assert (load.state, load.rows_kept) == (LoadState.DONE, 2)


async def test_headers_are_sent_and_not_told_to_another_host(open_collector: Open) -> None:
    seen: list[tuple[str, str | None]] = []

    def elsewhere(request: web.Request) -> Any:
        seen.append(("elsewhere", request.headers.get("x-key")))
        return ROWS

    async with stranger(elsewhere) as other, open_collector() as collector:
        target = other.replace("127.0.0.1", "localhost")

        def redirecting(request: web.Request) -> Any:
            seen.append(("here", request.headers.get("x-key")))
            return web.Response(status=302, headers={"location": f"{target}/x"})

        async with stranger(redirecting) as url:
            await collector.put_source(source_at(url, kind="page"))
            await collector.next_batch("shop", size=1)
    assert seen == [("here", "hush"), ("elsewhere", None)]


async def test_it_comes_back_when_asked_to(
    open_collector: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        web.Response(status=429, headers={"retry-after": "0"}),
        web.Response(status=503, headers={"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT"}),
    ]

    def busy(_: web.Request) -> Any:
        return answers.pop(0) if answers else ROWS

    async with stranger(busy) as url, open_collector(http_tries=3) as collector:
        await collector.put_source(source_at(url, kind="link"))
        assert len((await collector.next_batch("shop")).rows) == 11
    assert not answers


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (lambda _: web.Response(status=404), InvalidInput, "answers 404"),
        (lambda _: web.Response(status=500), Unavailable, "answers 500"),
        (
            lambda _: web.Response(status=429, headers={"retry-after": "9999"}),
            Unavailable,
            "answers 429",
        ),
        (lambda _: web.Response(text="<p>"), InvalidInput, "no JSON"),
        (lambda _: {"data": [], "total": 0}, InvalidInput, "is it data"),
        (lambda _: [1, 2], InvalidInput, "list of objects"),
        (lambda _: web.Response(body=b"x" * 300_000), TooLarge, "more than 200000 bytes"),
        (
            lambda _: web.Response(status=302, headers={"location": "/orders"}),
            InvalidInput,
            "redirects more than",
        ),
        (
            lambda _: web.Response(status=302, headers={"location": "file:///etc/passwd"}),
            InvalidInput,
            "no http",
        ),
    ],
)
async def test_answers_that_cannot_be_used(
    open_collector: Open, answer: Handler, error: type[Exception], told: str
) -> None:
    async with stranger(answer) as url, open_collector(http_max_bytes=200_000) as collector:
        await collector.put_source(source_at(url, kind="link"))
        with pytest.raises(error, match=told):
            await collector.next_batch("shop")


async def test_a_server_that_ignores_paging_is_noticed(open_collector: Open) -> None:
    async with stranger(lambda _: ROWS) as url, open_collector() as collector:
        source = source_at(url, kind="page")
        load = await ended(
            collector, await collector.start_load(source, mapping=MAPPING, dataset="mine")
        )
    assert load.state is LoadState.FAILED
    assert "same page again" in str(load.error)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://0.0.0.0:1/",
    ],
)
async def test_the_inside_is_out_of_reach(open_collector: Open, url: str) -> None:
    async with open_collector(http_allow_private=False) as collector:
        await collector.put_source(
            Source(name="shop", kind=SourceKind.HTTP, location=url, paging={"kind": "link"})
        )
        with pytest.raises(InvalidInput, match="private network"):
            await collector.next_batch("shop")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://shop.example/", "shop.example", ""])
async def test_only_http_is_written_down(open_collector: Open, url: str) -> None:
    async with open_collector() as collector:
        with pytest.raises(InvalidInput, match="location: begins with http"):
            await collector.put_source(
                Source(name="shop", kind=SourceKind.HTTP, location=url, paging={"kind": "link"})
            )


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://shop.example/"])
async def test_only_http_is_followed(open_collector: Open, url: str) -> None:
    def leads_astray(_: web.Request) -> Any:
        return {"rows": ROWS[:2], "next": url}

    async with stranger(leads_astray) as shop, open_collector() as collector:
        await collector.put_source(source_at(shop, kind="link", rows="rows", next="next"))
        first = await collector.next_batch("shop", size=2)
        with pytest.raises(InvalidInput, match="no http"):
            await collector.next_batch("shop", cursor=first.next_cursor, size=2)


async def test_nobody_there_is_unavailable(open_collector: Open) -> None:
    async with open_collector() as collector:
        await collector.put_source(source_at("http://127.0.0.1:9", kind="link"))
        with pytest.raises(Unavailable, match="cannot be reached"):
            await collector.next_batch("shop")


async def test_a_load_resumes_on_what_it_had_fetched(
    open_collector: Open, storage: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def once(_: web.Request) -> Any:
        nonlocal calls
        calls += 1
        return json.loads(json.dumps(ROWS[:calls]))

    async def fails(*_: Any) -> None:
        raise Unavailable("asleep")

    async with stranger(once) as url:
        with monkeypatch.context() as patched:
            patched.setattr(storage, "stage_rows", fails)
            async with open_collector() as collector:
                load = await collector.start_load(source_at(url), mapping=MAPPING, dataset="mine")
                load = await collector.wait_for_load(load.id, seen=0, timeout_seconds=0.5)
        fetched = calls
        assert fetched
        async with open_collector() as collector:
            load = await ended(collector, load)
        assert calls == fetched
    assert (load.state, load.rows_kept) == (LoadState.DONE, fetched)
