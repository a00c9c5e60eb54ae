"""The access of gateways: what is remembered, and for how long."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from foodex.core.access import KeyAccess, Principal, Role
from foodex.core.errors import NotAuthenticated, Unavailable
from foodex.domain.people import Caller, Changes, KeyUse, Scope, TokenKey
from foodex.services.accounts import access as module
from foodex.services.accounts import people_rows
from foodex.services.accounts.access import AccountsAccess
from foodex.services.accounts.callers import Callers
from foodex.services.accounts.keys import new_secret
from foodex.services.accounts.tokens import load_or_create_signing_keys, rotate_signing_keys
from tests.services.accounts.conftest import PASSWORD, SETTINGS, SetClock, Town, opened


class FakeCallers:
    """Accounts that know every key, count the questions, and can be away."""

    def __init__(self) -> None:
        self.asked = self.looked_up = self.refused = 0
        self.away = False
        self.told = Changes(revision=1)
        self.uses: list[KeyUse] = []
        self.answer = asyncio.Event()
        self.answer.set()
        self.happened = asyncio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                self.happened.clear()
                await self.happened.wait()

    def _here(self) -> None:
        self.happened.set()
        if self.away:
            self.refused += 1
            raise Unavailable

    async def caller_by_key(self, digest: str) -> Caller | None:
        self._here()
        self.looked_up += 1
        await self.answer.wait()
        return Caller(
            person="ada",
            roles=(Role.CLIENT,),
            account="ada",
            key_id=digest[:10],
            scopes=(Scope.ETA,),
        )

    async def caller_by_session(self, session: str) -> Caller | None:
        self._here()
        return None

    async def changes(self, after: int) -> Changes:
        self._here()
        self.asked += 1
        return self.told

    async def keys_used(self, uses: tuple[KeyUse, ...]) -> None:
        self._here()
        self.uses += uses

    async def token_keys(self) -> tuple[TokenKey, ...]:
        self._here()
        return ()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def callers() -> FakeCallers:
    return FakeCallers()


@pytest.fixture
def access(callers: FakeCallers, clock: SetClock) -> AccountsAccess:
    return AccountsAccess(callers, settings=SETTINGS, clock=clock)


@pytest.fixture
def key() -> str:
    return new_secret()[1]


async def test_who_sends_nothing_is_nobody(access: AccountsAccess) -> None:
    assert await access.authenticate({}) is None
    assert await access.authenticate({"authorization": "Basic YTpi"}) is None


async def test_a_key_is_looked_up_once(
    access: AccountsAccess, callers: FakeCallers, clock: SetClock, key: str
) -> None:
    for _ in range(100):
        await opened(access, key)
    assert (callers.looked_up, callers.asked) == (1, 1)
    clock.pass_(milliseconds=999)
    await opened(access, key)
    assert callers.asked == 1
    clock.pass_(milliseconds=1)
    await asyncio.gather(*(opened(access, key) for _ in range(20)))
    assert (callers.looked_up, callers.asked) == (1, 2)


async def test_a_clock_set_back_has_changes_asked_after(
    access: AccountsAccess, callers: FakeCallers, clock: SetClock, key: str
) -> None:
    await opened(access, key)
    clock.pass_(hours=-1)
    await opened(access, key)
    assert callers.asked == 2


@pytest.mark.parametrize(
    ("told", "looked_up"),
    [
        (Changes(revision=2), 1),
        (Changes(revision=2, people=("bob",)), 1),
        (Changes(revision=2, people=("bob", "ada")), 2),
        (Changes(revision=2, all=True), 2),
    ],
)
async def test_who_changed_is_looked_up_again_and_nobody_else(
    access: AccountsAccess,
    callers: FakeCallers,
    clock: SetClock,
    key: str,
    told: Changes,
    looked_up: int,
) -> None:
    await opened(access, key)
    callers.told = told
    clock.pass_(seconds=1)
    await opened(access, key)
    assert callers.looked_up == looked_up


async def test_what_was_looked_up_during_a_change_is_not_remembered(
    access: AccountsAccess, callers: FakeCallers, key: str
) -> None:
    await access.ask()
    callers.answer.clear()
    slow = asyncio.create_task(opened(access, key))
    await callers.until(lambda: callers.looked_up > 0)
    access.forget("ada")
    callers.answer.set()
    await slow
    await opened(access, key)
    await opened(access, key)
    assert callers.looked_up == 2


async def test_while_accounts_are_away_nobody_is_let_in_for_longer_than_a_second(
    access: AccountsAccess, callers: FakeCallers, clock: SetClock, key: str
) -> None:
    await opened(access, key)
    callers.away = True
    await opened(access, key)
    clock.pass_(seconds=1)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await opened(access, key)
    callers.away = False
    await opened(access, key)


async def test_uses_that_cannot_be_written_are_written_later(
    access: AccountsAccess, callers: FakeCallers, clock: SetClock, key: str
) -> None:
    await opened(access, key)
    callers.away = True
    with pytest.raises(Unavailable):
        await access.write_uses()
    callers.away = False
    await access.write_uses()
    await access.write_uses()
    assert [use.at for use in callers.uses] == [clock.now()]


async def test_only_so_many_are_remembered(
    access: AccountsAccess, callers: FakeCallers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 3)
    keys = [new_secret()[1] for _ in range(5)]
    for key in keys:
        await opened(access, key)
    await opened(access, keys[-1])
    assert callers.looked_up == 5
    await opened(access, keys[0])
    assert callers.looked_up == 6
    assert len(access._known) == len(access._of_person["ada"]) == 3


async def test_it_asks_by_itself_and_writes_uses_at_the_end(
    callers: FakeCallers, clock: SetClock, key: str
) -> None:
    quick = SETTINGS.model_copy(update={"revoked_within_seconds": 0.01})
    access = AccountsAccess(callers, settings=quick, clock=clock)
    async with access.running():
        await opened(access, key)
        await callers.until(lambda: callers.asked >= 3)
        callers.away = True
        await callers.until(lambda: callers.refused >= 3)
        callers.away = False
        asked = callers.asked
        await callers.until(lambda: callers.asked > asked)
    assert len(callers.uses) == 1


async def test_other_credentials_are_for_others(callers: FakeCallers, clock: SetClock) -> None:
    access = AccountsAccess(callers, settings=SETTINGS, clock=clock, others=KeyAccess("right"))
    assert (await opened(access, "right")).name == "owner"
    header = {"authorization": "Bearer right", "foodex-principal": "ann;analyst"}
    assert await access.authenticate(header) == Principal("ann", frozenset({Role.ANALYST}))
    for wrong in ("wrong", "fdx_wrong", "eyJ.wrong.wrong"):
        with pytest.raises(NotAuthenticated):
            await opened(access, wrong)
    # What a principal claims beside a key of its own is not believed.
    mine: Mapping[str, str] = {"x-api-key": new_secret()[1], "foodex-principal": "root;admin"}
    principal = await access.authenticate(mine)
    assert principal is not None
    assert principal.name == "ada"


async def test_all_that_opens_nothing_is_told_the_same(town: Town) -> None:
    await town.add()
    made = await town.keys.create_key("ada", "shop", (Scope.ETA,))
    await town.keys.revoke_key("ada", made.key.id)
    tokens = await town.signed_in()
    await town.sessions.sign_out(tokens.refresh_token)
    told = set()
    for wrong in (
        made.secret,
        new_secret()[1],
        new_secret()[1][:-1],
        tokens.access_token,
        tokens.access_token[:-1],
        tokens.refresh_token,
        "eyJhbGciOiJub25lIn0.e30.",
        "owner",
        "\x00",
        "ÿ" * 5_000,
    ):
        with pytest.raises(NotAuthenticated) as caught:
            await opened(town.access, wrong)
        told.add(str(caught.value))
    assert told == {"These credentials are not valid"}


async def test_another_process_learns_of_a_revocation_within_a_second(town: Town) -> None:
    await town.add()
    await town.add("bob")
    other = town.elsewhere()
    made, bobs = await town.keys.create_key("ada", "shop", (Scope.ETA,)), await town.key("bob")
    tokens = await town.signed_in()
    for credentials in (made.secret, bobs, tokens.access_token):
        await opened(other, credentials)
    await town.keys.revoke_key("ada", made.key.id)
    town.clock.pass_(seconds=1)
    with pytest.raises(NotAuthenticated):
        await opened(other, made.secret)
    await opened(other, bobs)
    await opened(other, tokens.access_token)
    await town.sessions.sign_out_everywhere("ada")
    town.clock.pass_(seconds=1)
    with pytest.raises(NotAuthenticated):
        await opened(other, tokens.access_token)


async def test_changes_are_told_since_a_revision(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada", "bob", "cid"):
        await town.add(name)
    assert await town.callers.changes(0) == Changes(revision=0)
    await town.people.block("ada")
    await town.people.block("bob")
    assert await town.callers.changes(1) == Changes(revision=2, people=("bob",))
    assert await town.callers.changes(2) == Changes(revision=2)
    # A database put back from a copy is behind what was seen.
    assert await town.callers.changes(9) == Changes(revision=2, all=True)
    monkeypatch.setattr(people_rows, "MOST_CHANGES", 1)
    assert await town.callers.changes(0) == Changes(revision=2, all=True)


async def test_changes_at_once_are_all_told(town: Town) -> None:
    names = [f"person-{number}" for number in range(12)]
    for name in names:
        await town.add(name)
    seen, revision = set(), 0

    async def follow() -> None:
        nonlocal revision
        while len(seen) < len(names):
            changes = await town.callers.changes(revision)
            seen.update(changes.people)
            revision = changes.revision

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), *(town.people.block(name) for name in names))
    assert seen == set(names)


async def test_a_gateway_learns_new_signing_keys(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "signing.json"
    await town.add()
    old = Town(town.database, town.clock, load_or_create_signing_keys(path))
    gateway = AccountsAccess(old.callers, settings=SETTINGS, clock=town.clock)
    await opened(gateway, (await old.signed_in()).access_token)
    new = Town(town.database, town.clock, rotate_signing_keys(path))
    tokens = await new.sessions.sign_in("ada", PASSWORD)
    gateway._callers = Callers(database=town.database, signing=new.signing, clock=town.clock)
    with pytest.raises(NotAuthenticated):
        await opened(gateway, tokens.access_token)
    town.clock.pass_(seconds=1)
    await opened(gateway, tokens.access_token)


async def test_the_systems_own_key_opens_though_nothing_can_be_asked(town: Town) -> None:
    class Gone:
        def __getattr__(self, name: str) -> object:
            raise Unavailable

    gone: Any = Gone()
    access = AccountsAccess(
        gone, settings=town.settings, clock=town.clock, others=KeyAccess("the key")
    )
    assert (await opened(access, "the key")).name == "owner"
    with pytest.raises(NotAuthenticated):
        await opened(access, "another key")
    with pytest.raises(Unavailable):
        await opened(access, (await town.signed_in(await town.add())).access_token)


async def test_who_waits_for_silent_accounts_waits_with_the_others(
    callers: FakeCallers, clock: SetClock, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = asyncio.Event()
    asked = 0

    async def no_answer(after: int) -> Changes:
        nonlocal asked
        asked += 1
        await silent.wait()
        raise AssertionError

    monkeypatch.setattr(callers, "changes", no_answer)
    settings = SETTINGS.model_copy(update={"commit_seconds": 0.1})
    access = AccountsAccess(callers, settings=settings, clock=clock)
    async with asyncio.timeout(5):
        told = await asyncio.gather(
            *(opened(access, key) for _ in range(200)), return_exceptions=True
        )
    assert {type(one) for one in told} == {Unavailable}
    assert asked == 1
    monkeypatch.undo()
    assert await opened(access, key)


async def test_who_joins_an_old_question_asks_again(
    access: AccountsAccess, callers: FakeCallers, clock: SetClock, key: str
) -> None:
    let = asyncio.Event()
    began, asked = asyncio.Event(), 0
    changes = callers.changes

    async def slow(after: int) -> Changes:
        nonlocal asked
        asked += 1
        began.set()
        await let.wait()
        return await changes(after)

    callers.changes = slow  # type: ignore[method-assign]
    first = asyncio.create_task(opened(access, key))
    await began.wait()
    clock.pass_(seconds=2)
    second = asyncio.create_task(opened(access, key))
    await asyncio.sleep(0)
    let.set()
    await asyncio.gather(first, second)
    assert asked == 2
