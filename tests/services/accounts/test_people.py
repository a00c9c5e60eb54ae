"""People, on each database."""

import asyncio

import pytest
import sqlalchemy as sa

from foodex.core.access import Principal, Role, acting_as
from foodex.core.context import set_address, set_request_id
from foodex.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TooManyRequests,
)
from foodex.domain.people import Action, AuditFilter
from tests.services.accounts.conftest import PASSWORD, Town, opened

ADMIN = Principal("root", frozenset({Role.ADMIN}))


async def test_who_registers_is_a_client_with_an_account(town: Town) -> None:
    person = await town.people.register("Ada@Example.com", PASSWORD)
    assert (person.name, person.roles) == ("ada@example.com", (Role.CLIENT,))
    assert await town.people.person("ada@example.com") == person
    async with town.database.connect() as connection:
        found = await connection.execute(sa.text("SELECT account_id FROM accounts_balances"))
    assert found.scalar_one() == person.account
    with pytest.raises(Conflict, match="taken"):
        await town.people.register("ADA@example.com", "another good password")
    await town.sessions.sign_in("ada@EXAMPLE.com", PASSWORD)


async def test_of_many_who_want_a_name_one_gets_it(town: Town) -> None:
    made = await asyncio.gather(
        *(town.people.register("ada", PASSWORD) for _ in range(5)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in made) == ["Conflict"] * 4 + ["Person"]


async def test_nobody_gets_an_account_that_is_there_already(town: Town) -> None:
    async with town.database.transaction() as connection:
        await connection.execute(
            sa.text("INSERT INTO accounts_balances VALUES ('ada', 'EUR', 900, 1, :at)").bindparams(
                sa.bindparam("at", town.clock.now(), type_=sa.DateTime(timezone=True))
            )
        )
    with pytest.raises(Conflict, match="taken"):
        await town.people.register("ada", PASSWORD)
    with pytest.raises(NotFound):
        await town.people.person("ada")


async def test_registration_can_be_closed_and_is_bounded(town: Town) -> None:
    with pytest.raises(Forbidden, match="closed"):
        await town.with_settings(registration=False).people.register("ada", PASSWORD)
    few = town.with_settings(registrations_per_address=2)
    set_address("192.0.2.1")
    await few.people.register("ada", PASSWORD)
    with pytest.raises(InvalidInput):
        await few.people.register("bob", "short")
    with pytest.raises(TooManyRequests):
        await few.people.register("bob", PASSWORD)
    set_address("192.0.2.2")
    await few.people.register("bob", PASSWORD)


async def test_an_admin_makes_people_and_their_passwords(town: Town) -> None:
    with acting_as(ADMIN):
        made = await town.people.create_person("oda", (Role.ANALYST, Role.OPERATOR))
    assert made.person.roles == (Role.OPERATOR, Role.ANALYST)
    assert made.password is not None
    await town.sessions.sign_in("oda", made.password)
    given = await town.people.create_person("bob", (Role.CLIENT,), PASSWORD)
    assert given.password is None
    with pytest.raises(InvalidInput, match="roles"):
        await town.people.create_person("eve", ())
    with pytest.raises(InvalidInput, match="password"):
        await town.people.create_person("eve", (Role.CLIENT,), "")
    assert (await town.lines())[0] == ("root", "created", "oda")


async def test_people_are_listed_by_page(town: Town) -> None:
    for name in ("cid", "ada", "bob"):
        await town.add(name)
    first = await town.people.people(limit=2)
    assert [one.name for one in first.people] == ["ada", "bob"]
    second = await town.people.people(after=first.next_after, limit=2)
    assert [one.name for one in second.people] == ["cid"]
    assert second.next_after is None
    with pytest.raises(InvalidInput):
        await town.people.people(limit=0)


async def test_roles_change_at_once_in_open_sessions(town: Town) -> None:
    await town.add("ada", Role.CLIENT)
    token = (await town.signed_in()).access_token
    assert (await opened(town.access, token)).roles == {Role.CLIENT}
    await town.people.change_roles("ada", (Role.ANALYST,))
    assert (await opened(town.access, token)).roles == {Role.ANALYST}
    lines = len(await town.lines())
    await town.people.change_roles("ada", (Role.ANALYST,))
    assert len(await town.lines()) == lines
    with pytest.raises(NotFound):
        await town.people.change_roles("nobody-there", (Role.CLIENT,))


async def test_the_last_admin_stays(town: Town) -> None:
    await town.add("root", Role.ADMIN)
    for _ in range(2):
        with pytest.raises(Conflict, match="last admin"):
            await town.people.change_roles("root", (Role.CLIENT,))
        with pytest.raises(Conflict, match="last admin"):
            await town.people.block("root")
        # An admin who is blocked is no help.
        if await _missing(town, "other"):
            await town.add("other", Role.ADMIN)
            await town.people.block("other")
    await town.people.unblock("other")
    await town.people.block("root")


async def _missing(town: Town, name: str) -> bool:
    try:
        await town.people.person(name)
    except NotFound:
        return True
    return False


async def test_two_admins_who_demote_each_other_leave_one(town: Town) -> None:
    for name in ("ada", "bob", "cid"):
        await town.add(name, Role.ADMIN)
    await asyncio.gather(
        town.people.change_roles("ada", (Role.CLIENT,)),
        town.people.block("bob"),
        town.people.change_roles("cid", (Role.CLIENT,)),
        return_exceptions=True,
    )
    people = (await town.people.people()).people
    admins = [one for one in people if Role.ADMIN in one.roles and one.blocked_at is None]
    assert len(admins) == 1


async def test_who_is_blocked_is_out_everywhere_at_once(town: Town) -> None:
    await town.add()
    tokens, key = await town.signed_in(), await town.key()
    for credentials in (tokens.access_token, key):
        assert (await opened(town.access, credentials)).name == "ada"
    await town.people.block("ada")
    for credentials in (tokens.access_token, key):
        with pytest.raises(NotAuthenticated):
            await town.access.authenticate({"x-api-key": credentials})
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(tokens.refresh_token)
    with pytest.raises(NotAuthenticated):
        await town.signed_in()
    await town.people.unblock("ada")
    assert (await opened(town.access, key)).name == "ada"
    with pytest.raises(NotAuthenticated):
        await town.access.authenticate({"x-api-key": tokens.access_token})
    await town.signed_in()
    for _ in range(2):
        assert (await town.people.unblock("ada")).blocked_at is None


async def test_a_password_that_is_set_ends_sessions(town: Town) -> None:
    await town.add()
    tokens = await town.signed_in()
    made = await town.people.set_password("ada")
    with pytest.raises(NotAuthenticated):
        await town.access.authenticate({"x-api-key": tokens.access_token})
    with pytest.raises(NotAuthenticated):
        await town.signed_in()
    assert made.password is not None
    await town.sessions.sign_in("ada", made.password)
    with pytest.raises(NotFound):
        await town.people.set_password("nobody-there")


async def test_the_audit_log_says_who_what_whom_when_and_whence(town: Town) -> None:
    set_request_id("request-1")
    set_address("192.0.2.7")
    with acting_as(ADMIN):
        await town.add("ada")
        await town.people.block("ada")
    entry = (await town.people.audit(limit=1)).entries[0]
    assert (entry.who, entry.action, entry.target) == ("root", Action.BLOCKED, "ada")
    assert (entry.request_id, entry.address, entry.at) == (
        "request-1",
        "192.0.2.7",
        town.clock.now(),
    )
    with acting_as(ADMIN):
        await town.people.change_roles("ada", (Role.OPERATOR,))
    newest = await town.people.audit(limit=1)
    assert newest.entries[0].detail == "client -> operator"
    rest = await town.people.audit(before=newest.next_before)
    assert [one.action for one in rest.entries] == [Action.BLOCKED, Action.CREATED]
    for filter_, count in (
        (AuditFilter(who="root"), 3),
        (AuditFilter(who="ada"), 0),
        (AuditFilter(target="ada", actions=(Action.BLOCKED,)), 1),
        (AuditFilter(since=town.clock.now()), 3),
        (AuditFilter(until=town.clock.now()), 0),
    ):
        assert len((await town.people.audit(filter_)).entries) == count


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_audit SET who = 'x'", "DELETE FROM accounts_audit"]
)
async def test_the_audit_log_is_only_ever_added_to(town: Town, statement: str) -> None:
    await town.add()
    with pytest.raises(sa.exc.DBAPIError, match="only ever added"):
        async with town.database.transaction() as connection:
            await connection.execute(sa.text(statement))
    assert await town.lines() == [("system", "created", "ada")]


async def test_what_is_not_done_is_not_told(town: Town) -> None:
    await town.add("root", Role.ADMIN)
    before = await town.lines()
    with pytest.raises(Conflict):
        await town.people.block("root")
    with pytest.raises(Conflict):
        await town.add("root")
    assert await town.lines() == before
