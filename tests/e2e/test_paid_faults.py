"""Forecasts that are paid for while processes are killed and everything else goes wrong, over HTTP.

`FOODEX_TEST_KILLS` sets how often FoodEx is killed, `FOODEX_TEST_CHARGES` how many are asked for at
once, `FOODEX_TEST_AWAY_SECONDS` for how long the database is away; the defaults are short.
"""

import asyncio
import os
import random
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.lives import Nursery
from tests.support.paid import ETA, PRICE_MINOR, Buyer, Shop, all_is_kept
from tests.support.proxy import proxy_to
from tests.support.raw_http import Told, Wire, written

AWAY_SECONDS = float(os.environ.get("FOODEX_TEST_AWAY_SECONDS", "3"))
COMMIT_SECONDS = 0.5
KILLS = int(os.environ.get("FOODEX_TEST_KILLS", "4"))
CHARGES = os.environ.get("FOODEX_TEST_CHARGES")
PLENTY_MINOR = 10_000_000

pytestmark = [pytest.mark.xdist_group("paid"), pytest.mark.timeout(120 + 5 * KILLS)]


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, lives: Nursery, tmp_path: Path) -> Iterator[Shop]:
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_database_url")
    found = Shop(lives, tmp_path / "state", url)
    yield found
    if found.life is not None:
        found.life.kill()


async def test_killed_again_and_again_nothing_is_lost_or_charged_twice(shop: Shop) -> None:
    rng = random.Random(3)
    await shop.start()
    key = await shop.client("ada", PLENTY_MINOR)
    buyers = [Buyer(f"buyer-{number}", key) for number in range(8)]
    began, unborn = time.monotonic(), 0
    for number in range(KILLS):
        if number:
            life = shop.begin()
            if rng.random() < 0.2:
                # Before it answers, in the middle of its start.
                await asyncio.sleep(rng.random())
                life.kill()
                unborn += 1
                continue
            await asyncio.to_thread(life.wait)
        enough = sum(len(one.told) for one in buyers) + rng.randrange(1, 200)
        buying = [asyncio.create_task(one.until_lost(shop.port)) for one in buyers]
        while sum(len(one.told) for one in buyers) < enough:
            await asyncio.sleep(0.002)
            assert not any(task.done() for task in buying), [task for task in buying if task.done()]
        await asyncio.sleep(rng.random() / 100)
        assert shop.life is not None
        # In a thread: buyers go on buying until it is over.
        await asyncio.to_thread(shop.life.kill)
        await asyncio.gather(*buying)
    await shop.start()
    for one in buyers:
        wire = Wire(shop.port)
        await one.buy(wire)
        wire.close()
    await all_is_kept(shop, "ada", buyers, PLENTY_MINOR)
    assert shop.nursery.run("ledger", "verify", state=shop.state, env=shop.env) == 0
    bought, lost, charged = (
        sum(counts)
        for counts in zip(*((len(b.told), b.lost, b.replayed) for b in buyers), strict=True)
    )
    print(  # noqa: T201
        f"\n{shop.dialect}: {KILLS} kills, {unborn} of them while starting; {bought} "
        f"forecasts bought, {lost} answers lost, {charged} of which had been charged; "
        f"{time.monotonic() - began:.0f} s"
    )


async def test_a_balance_for_half_of_them_answers_half_of_them(shop: Shop) -> None:
    charges = int(CHARGES or {"sqlite": 10_000}.get(shop.dialect, 3_000))
    await shop.start()
    key = await shop.client("ada", charges // 2 * PRICE_MINOR)
    request = written("POST", ETA, b'{"items":2}', key=key)
    statuses: Counter[int] = Counter()
    asked = iter(range(charges))

    async def caller() -> None:
        wire = Wire(shop.port)
        for _ in asked:
            told = await wire.ask(request)
            statuses[told.status] += 1
            if told.status == 402:
                assert told.headers["content-type"] == "application/problem+json"
                assert (told.json["balance_minor"], told.json["price_minor"]) == (0, PRICE_MINOR)
                assert b"minutes" not in told.body
        wire.close()

    began = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(128)))
    print(f"\n{shop.dialect}: {charges} in {time.monotonic() - began:.1f} s")  # noqa: T201
    assert statuses == {200: charges // 2, 402: charges // 2}
    assert await shop.left("ada") == 0
    assert len(await shop.recorded("ada")) == charges // 2
    await shop.holds()


async def test_two_gateways_on_one_database(
    lives: Nursery, tmp_path: Path, postgresql_database_url: str
) -> None:
    one, two = (Shop(lives, tmp_path / name, postgresql_database_url) for name in ("one", "two"))
    begun = [one.begin(), two.begin()]
    try:
        for life in begun:
            await asyncio.to_thread(life.wait)
        await _sells_as_one(one, two)
        await _is_charged_once(one, two)
        await _is_revoked_everywhere(one, two)
    finally:
        for life in begun:
            life.kill()


async def _sells_as_one(one: Shop, two: Shop) -> None:
    key = await one.client("ada", 300 * PRICE_MINOR)
    request = written("POST", ETA, b'{"items":2}', key=key)
    told: list[tuple[int, str]] = []

    async def caller(port: int) -> None:
        wire = Wire(port)
        for _ in range(25):
            answer = await wire.ask(request)
            told.append((answer.status, answer.headers.get("foodex-balance-minor", "")))
        wire.close()

    await asyncio.gather(*(caller(shop.port) for shop in (one, two) for _ in range(10)))
    assert Counter(status for status, _ in told) == {200: 300, 402: 200}
    # Each charge left a balance of its own, the last of them nothing.
    left = sorted(int(balance) for status, balance in told if status == 200)
    assert left == list(range(0, 300 * PRICE_MINOR, PRICE_MINOR))
    for shop in (one, two):
        assert await shop.left("ada") == 0
    assert len(await one.recorded("ada")) == 300
    await two.holds()


async def _is_charged_once(one: Shop, two: Shop) -> None:
    buyer = Buyer("same", await one.client("bob", 1_000))
    wires = [Wire(shop.port) for shop in (one, two, one, two)]
    replayed = 0
    for number in range(50):
        request = buyer.request(f"same-{number}")
        told = await asyncio.gather(*(wire.ask(request) for wire in wires))
        assert {answer.status for answer in told} == {200}
        assert len({(answer.headers["foodex-prediction-id"], answer.body) for answer in told}) == 1
        replayed += sum("idempotency-replayed" in answer.headers for answer in told)
    for wire in wires:
        wire.close()
    assert replayed == 150
    assert await two.left("bob") == 1_000 - 50 * PRICE_MINOR
    await one.holds()


async def _is_revoked_everywhere(one: Shop, two: Shop) -> None:
    await one.client("cleo", PLENTY_MINOR)
    made = await one.key_of("cleo", called="second")
    request = written("POST", ETA, b'{"items":2}', key=made["secret"])
    sent: list[tuple[float, int]] = []
    wires = [Wire(shop.port) for shop in (one, two)]

    async def ask() -> None:
        for wire in wires:
            began = time.monotonic()
            sent.append((began, (await wire.ask(request)).status))

    await ask()
    assert [status for _, status in sent] == [200, 200]
    await one.ok("DELETE", f"/people/cleo/keys/{made['key']['id']}")
    revoked = time.monotonic()
    while time.monotonic() < revoked + 1.5:
        await ask()
    for wire in wires:
        wire.close()
    assert {status for began, status in sent if began > revoked + 1} == {401}
    assert await one.left("cleo") == PLENTY_MINOR - PRICE_MINOR * sum(s == 200 for _, s in sent)


@pytest.mark.parametrize("how", ["silent", "refusing"])
async def test_a_database_that_is_away_is_told_and_comes_back(
    lives: Nursery, tmp_path: Path, postgresql_database_url: str, how: str
) -> None:
    url = sa.make_url(postgresql_database_url)
    async with proxy_to(url.host or "127.0.0.1", url.port or 5432) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        seconds = {"FOODEX_ACCOUNTS__COMMIT_SECONDS": str(COMMIT_SECONDS)}
        shop = Shop(lives, tmp_path / "state", through, seconds)
        life = await shop.start()
        try:
            key = await shop.client("ada", PLENTY_MINOR)
            buyers = [PatientBuyer(f"buyer-{number}", key) for number in range(8)]
            stop = asyncio.Event()
            buying = [asyncio.create_task(one.until(stop, shop.port)) for one in buyers]
            await _all_bought(buyers, 20)
            proxy.hold() if how == "silent" else await proxy.down()
            began = time.monotonic()
            await asyncio.sleep(AWAY_SECONDS)
            refused = [one for buyer in buyers for one in buyer.refused]
            proxy.flow() if how == "silent" else await proxy.up()
            await _all_bought(buyers, 20)
            stop.set()
            await asyncio.gather(*buying)
            slowest = max(buyer.slowest_seconds for buyer in buyers)
            print(f"\n{how}: {len(refused)} refused, the slowest answer after {slowest:.2f} s")  # noqa: T201
            assert len(refused) >= len(buyers)
            # Nobody waited for it to come back.
            assert slowest < AWAY_SECONDS - 0.5
            for told in refused:
                assert told.headers["content-type"] == "application/problem+json"
                assert int(told.headers["retry-after"]) >= 1
                assert told.json["type"] == "urn:foodex:problem:unavailable"
                assert b"minutes" not in told.body
            assert time.monotonic() < began + AWAY_SECONDS + 10
            await all_is_kept(shop, "ada", buyers, PLENTY_MINOR)
        finally:
            life.kill()


class PatientBuyer(Buyer):
    """Asks again when told so, with the same key."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refused: list[Told] = []
        self.slowest_seconds = 0.0

    async def until(self, stop: asyncio.Event, port: int) -> None:
        """Buy, and ask again until there is an answer, even after `stop`."""
        wire = Wire(port)
        while not stop.is_set() or self.waiting:
            began = time.monotonic()
            told = await self.try_(wire)
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            if told is not None:
                self.refused.append(told)
                await asyncio.sleep(0.1)
        wire.close()

    async def try_(self, wire: Wire) -> Told | None:
        """Buy one; a 503, where there is no answer."""
        name = self.next()
        told = await wire.ask(self.request(name))
        if told.status == 503:
            return told
        self.take(name, told)
        return None


async def _all_bought(buyers: list[PatientBuyer], more: int) -> None:
    """Return when each has bought so many more."""
    wanted = [len(one.told) + more for one in buyers]
    for _ in range(3_000):
        if all(len(one.told) >= least for one, least in zip(buyers, wanted, strict=True)):
            return
        await asyncio.sleep(0.01)
    raise AssertionError([len(one.told) for one in buyers], wanted)


@dataclass
class Disk:
    """Where the database lies, and how its space runs out and comes back."""

    url: str
    fill: Callable[[Shop], None]
    clear: Callable[[Shop], None]


@pytest.fixture(params=["a full disk", "a limit of files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    url = f"sqlite+aiosqlite:///{folder}/foodex.db"
    if request.param == "a limit of files":
        if not hasattr(resource, "prlimit"):
            pytest.skip("this system sets no limits of other processes")
        yield Disk(url, lambda shop: _limit(shop, folder), lambda shop: _limit(shop, None))
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    ballast = folder / "ballast"
    try:
        yield Disk(url, lambda _: _fill(ballast), lambda _: ballast.unlink())
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _limit(shop: Shop, folder: Path | None) -> None:
    largest = folder and max(file.stat().st_size for file in folder.iterdir())
    assert shop.life is not None
    shop.life.file_limit(largest)


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


async def test_a_full_disk_is_told_and_readers_go_on(
    lives: Nursery, tmp_path: Path, disk: Disk
) -> None:
    shop = Shop(lives, tmp_path / "state", disk.url)
    life = await shop.start()
    try:
        buyer = PatientBuyer("buyer", await shop.client("ada", PLENTY_MINOR))
        wire = Wire(shop.port)
        for _ in range(20):
            assert await buyer.try_(wire) is None
        disk.fill(shop)
        # What is left of the last page may hold a few.
        for _ in range(2_000):
            if (told := await buyer.try_(wire)) is not None:
                break
        for _ in range(5):
            assert told is not None
            assert told.headers["content-type"] == "application/problem+json"
            assert told.json["type"] == "urn:foodex:problem:unavailable"
            assert int(told.headers["retry-after"]) >= 1
            assert b"minutes" not in told.body
            told = await buyer.try_(wire)
        bought = len(buyer.told)
        me = await shop.ok("GET", "/me", key=buyer.key)
        assert me["balance_minor"] == PLENTY_MINOR - bought * PRICE_MINOR
        page = await shop.ok("GET", "/predictions?limit=1000", key=buyer.key)
        assert len(page["predictions"]) == min(bought, 1000)
        assert (await shop.ask("GET", "/health/live")).status == 200
        await shop.holds()
        disk.clear(shop)
        waits = buyer.waiting
        assert await buyer.try_(wire) is None
        assert waits in buyer.told
        assert not buyer.replayed
        await buyer.buy(wire)
        wire.close()
        await all_is_kept(shop, "ada", [buyer], PLENTY_MINOR)
    finally:
        life.kill()


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
async def test_callers_who_leave_in_the_middle_take_nobody_along(shop: Shop) -> None:
    await shop.start()
    await _half_an_order_is_not_sold(shop)
    rude = await shop.client("rude", PLENTY_MINOR)
    buyers = [
        Buyer(f"buyer-{number}", await shop.client(f"ada-{number}", 1_000)) for number in (1, 2)
    ]
    whole = written("POST", ETA, b'{"items":2}', key=rude)
    # The part of the order that comes would itself be an order.
    part = written("POST", ETA, b'{"items":2}' + b" " * 50, key=rude)[:-50]
    rng = random.Random(1)

    async def leave(abort: bool, sent: bytes, after_seconds: float) -> None:
        wire = Wire(shop.port)
        await wire.send(sent)
        await asyncio.sleep(after_seconds)
        wire.close(abort=abort)

    async def never_read() -> Wire:
        wire = Wire(shop.port)
        _, writer = await wire.open()
        # More than the buffers in between hold.
        writer.write(whole * 3_000)
        return wire

    async def buy(buyer: Buyer) -> None:
        wire = Wire(shop.port)
        for _ in range(100):
            async with asyncio.timeout(10):
                await buyer.buy(wire)
        wire.close()

    stuck = [await never_read() for _ in range(2)]
    halves = [Wire(shop.port) for _ in range(20)]
    for number, wire in enumerate(halves):
        await wire.send(part[: 30 + number * len(part) // 21])
    leaving = [
        leave(abort, sent, rng.random() / 20)
        for abort in (True, False)
        for sent in (whole, whole * 5, part, part[:-5], whole[:40])
        for _ in range(10)
    ]
    await asyncio.gather(*leaving, *(buy(buyer) for buyer in buyers))
    for wire in (*stuck, *halves):
        wire.close(abort=True)
    late = Buyer("late", buyers[0].key)
    await buy(late)
    assert await shop.left("ada-1") == 1_000 - 200 * PRICE_MINOR
    assert await shop.left("ada-2") == 1_000 - 100 * PRICE_MINOR
    sold = await shop.recorded("rude")
    assert await shop.left("rude") == PLENTY_MINOR - PRICE_MINOR * len(sold)
    await shop.holds()


async def _half_an_order_is_not_sold(shop: Shop) -> None:
    key = await shop.client("cleo", 100)
    for abort in (True, False):
        for missing in (1, 50):
            order = b'{"items":2}' + b" " * missing
            wire = Wire(shop.port)
            await wire.send(written("POST", ETA, order, key=key)[:-missing])
            # It is there when another is answered that was sent later.
            await shop.ask("POST", ETA, {})
            wire.close(abort=abort)
    for _ in range(20):
        await shop.ask("POST", ETA, {})
    assert await shop.left("cleo") == 100
