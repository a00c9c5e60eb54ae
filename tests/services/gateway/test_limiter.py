"""So many requests a minute and no more, alone and together with other processes."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.access import Principal, Role
from foodex.core.errors import Unavailable
from foodex.core.limits import OverLimit
from foodex.core.settings import LimitsSettings
from foodex.services.gateway import limiter as module
from foodex.services.gateway.limiter import GatewayLimiter

CLIENT = frozenset({Role.CLIENT})
ADA = Principal("ada", CLIENT, "ada")
KEY = Principal("ada", CLIENT, "ada", "k1", frozenset({"eta"}))
OTHER_KEY = Principal("ada", CLIENT, "ada", "k2", frozenset({"eta"}))
OWNER = Principal("owner", frozenset(Role))
HERE = "192.0.2.1"


class SetClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 6, 18, 42, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Sums:
    """Sums of several limiters of one process."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], int] = {}
        self.away = False
        self.kept: set[int] = set()
        self.told = asyncio.Event()

    async def add(
        self, window: str, counts: Mapping[str, int], *, keep_seconds: int
    ) -> Mapping[str, int]:
        await asyncio.sleep(0)
        self.told.set()
        if self.away:
            raise Unavailable("away")
        self.kept.add(keep_seconds)
        for name, count in counts.items():
            self.sums[window, name] = self.sums.get((window, name), 0) + count
        return {name: self.sums[window, name] for name in counts}

    async def close(self) -> None:
        return None


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def limiter(
    clock: SetClock, sums: Sums | None = None, *, key: int = 3, address: int = 2
) -> GatewayLimiter:
    settings = LimitsSettings(key_per_minute=key, address_per_minute=address)
    return GatewayLimiter(settings, clock=clock, shared=sums)


def let_in(by: GatewayLimiter, who: Principal | None, address: str = HERE, most: int = 50) -> int:
    for taken in range(most):
        try:
            by.take(who, address)
        except OverLimit:
            return taken
    return most


@pytest.mark.parametrize(
    ("who", "others"), [(KEY, (OTHER_KEY, ADA)), (ADA, (KEY, Principal("bob", CLIENT, "bob")))]
)
def test_each_key_and_each_person_has_its_own(
    clock: SetClock, who: Principal, others: tuple[Principal, ...]
) -> None:
    counts = limiter(clock)
    assert let_in(counts, who) == 3
    for other in others:
        assert let_in(counts, other) == 3
    clock.forward(29.9)
    assert let_in(counts, who) == 0
    clock.forward(0.1)
    assert let_in(counts, who) == 3


def test_who_is_nobody_counts_for_an_address(clock: SetClock) -> None:
    counts = limiter(clock)
    assert let_in(counts, None) == 2
    assert let_in(counts, None, "192.0.2.2") == 2
    assert let_in(counts, None, "2001:db8::1") == 2
    assert let_in(counts, None, "2001:db8::2") == 0
    assert let_in(counts, KEY) == 3, "a good key is let in from wherever guesses come"


def test_the_systems_own_key_is_not_counted(clock: SetClock) -> None:
    assert let_in(limiter(clock), OWNER) == 50


def test_zero_is_no_limit(clock: SetClock) -> None:
    counts = limiter(clock, key=0, address=0)
    assert (let_in(counts, KEY), let_in(counts, None)) == (50, 50)
    assert counts.take(KEY, HERE) == ()


def test_headers_tell_the_policy_and_what_is_left(clock: SetClock) -> None:
    counts = limiter(clock)
    clock.forward(0.4)
    assert counts.take(KEY, HERE) == (
        (b"ratelimit-policy", b'"key";q=3;w=60'),
        (b"ratelimit", b'"key";r=2;t=30'),
    )
    assert counts.take(None, HERE)[1] == (b"ratelimit", b'"address";r=1;t=30')
    let_in(counts, KEY)
    with pytest.raises(OverLimit, match="More than 3 requests") as caught:
        counts.take(KEY, HERE)
    assert caught.value.retry_after_seconds == 30
    assert caught.value.headers[1] == (b"ratelimit", b'"key";r=0;t=30')


def test_a_clock_that_is_set_back_begins_a_window_too(clock: SetClock) -> None:
    counts = limiter(clock)
    assert let_in(counts, KEY) == 3
    clock.forward(-3600)
    assert let_in(counts, KEY) == 3


def test_too_many_addresses_share_one_count(
    clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ADDRESSES", 2)
    counts = limiter(clock)
    assert [let_in(counts, None, f"192.0.2.{n}") for n in range(4)] == [2, 2, 2, 0]
    assert let_in(counts, KEY) == 3
    assert len(counts._counts) == 4


async def test_processes_count_together(clock: SetClock) -> None:
    sums = Sums()
    one, other = limiter(clock, sums, key=10), limiter(clock, sums, key=10)
    assert (let_in(one, KEY, most=4), let_in(other, KEY, most=3)) == (4, 3)
    await one.settle()
    await other.settle()
    assert let_in(other, KEY) == 3, "of 10, 7 were let in elsewhere and here"
    await other.settle()
    await one.settle()
    assert let_in(one, KEY) == 6, "one has not heard since and lets in what it knew to be left"
    await one.settle()
    assert (let_in(one, KEY), let_in(other, KEY)) == (0, 0)
    assert sums.kept == {120}


async def test_what_was_told_is_not_told_again(clock: SetClock) -> None:
    sums = Sums()
    one = limiter(clock, sums, key=10)
    let_in(one, KEY, most=4)
    await asyncio.gather(one.settle())
    await one.settle()
    assert set(sums.sums.values()) == {4}


async def test_counts_that_are_away_stop_nobody(clock: SetClock) -> None:
    sums = Sums()
    one = limiter(clock, sums)
    let_in(one, KEY, most=1)
    sums.away = True
    with pytest.raises(Unavailable):
        await one.settle()
    assert let_in(one, KEY) == 2, "each process holds the limit by itself"
    sums.away = False
    await one.settle()
    assert set(sums.sums.values()) == {3}, "what could not be told is told later"


async def test_a_window_that_ends_while_it_is_settled(clock: SetClock) -> None:
    sums = Sums()
    one = limiter(clock, sums)
    let_in(one, KEY)
    settling = asyncio.create_task(one.settle())
    await asyncio.sleep(0)
    clock.forward(60)
    assert let_in(one, KEY, most=1) == 1
    await settling
    assert let_in(one, KEY) == 2


async def test_it_settles_by_itself_and_survives_an_outage(clock: SetClock) -> None:
    sums = Sums()
    settings = LimitsSettings(key_per_minute=10, settle_seconds=0.001)
    one = GatewayLimiter(settings, clock=clock, shared=sums)
    async with asyncio.timeout(20), one.running():
        sums.away = True
        let_in(one, KEY, most=4)
        await sums.told.wait()
        sums.away = False
        for _ in range(2):
            sums.told.clear()
            let_in(one, KEY, most=1)
            await sums.told.wait()
    assert sum(sums.sums.values()) >= 5


@given(st.lists(st.integers(0, 2), max_size=40))
async def test_settled_after_each_request_only_the_first_of_a_process_is_too_much(
    turns: list[int],
) -> None:
    clock, sums, limit, total = SetClock(), Sums(), 7, 0
    several = [limiter(clock, sums, key=limit) for _ in range(3)]
    for turn in turns:
        total += let_in(several[turn], KEY, most=1)
        for one in several:
            await one.settle()
    assert min(limit, len(turns)) <= total <= limit + 2
    assert total == sum(sums.sums.values())
