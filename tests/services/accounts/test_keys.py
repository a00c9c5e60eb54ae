"""API keys, on each database."""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.access import Role
from foodex.core.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from foodex.domain.people import KeyUse, Scope
from foodex.services.accounts.keys import digest, new_secret, well_formed
from tests.services.accounts.conftest import Town, opened


async def test_a_key_opens_what_its_scopes_name_and_is_shown_once(town: Town) -> None:
    await town.add("ada", Role.CLIENT)
    made = await town.keys.create_key("ada", " shop ", (Scope.BALANCE_READ, Scope.ETA))
    assert re.fullmatch(r"fdx_\w{10}_\w{49}", made.secret)
    assert made.key.name == "shop"
    for header in ({"x-api-key": made.secret}, {"authorization": f"bearer {made.secret}"}):
        principal = await town.access.authenticate(header)
        assert principal is not None
        assert (principal.name, principal.account, principal.key_id) == (
            "ada",
            "ada",
            made.key.id,
        )
        assert principal.roles == {Role.CLIENT}
        assert principal.scopes == {"eta", "balance:read"}
    assert await town.keys.keys("ada") == (made.key,)
    async with town.database.connect() as connection:
        for table in ("accounts_keys", "accounts_audit"):
            rows = (await connection.execute(sa.text(f"SELECT * FROM {table}"))).all()
            assert rows
            assert made.secret not in repr(rows)
            assert made.secret[15:] not in repr(rows)


async def test_keys_are_named_apart_and_bounded(town: Town) -> None:
    few = town.with_settings(keys_per_person=2)
    await few.add()
    await few.add("bob")
    first = await few.keys.create_key("ada", "shop", (Scope.ETA,))
    with pytest.raises(Conflict, match="shop"):
        await few.key("ada", "shop")
    await few.key("bob", "shop")
    await few.key("ada", "app")
    with pytest.raises(Conflict, match="2 keys"):
        await few.key("ada", "more")
    await few.keys.revoke_key("ada", first.key.id)
    await few.key("ada", "shop")
    names = Counter(one.name for one in await few.keys.keys("ada"))
    assert names == {"shop": 2, "app": 1}


async def test_keys_made_at_once_are_bounded_too(town: Town) -> None:
    few = town.with_settings(keys_per_person=3)
    await few.add()
    made = await asyncio.gather(
        *(few.key("ada", f"key {number % 5}") for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(one, str) for one in made) == 3
    assert sum(isinstance(one, Conflict) for one in made) == 7


async def test_wrong_keys_cannot_be_asked_for(town: Town) -> None:
    await town.add()
    for past in (town.clock.now(), datetime(2030, 1, 1)):  # noqa: DTZ001
        with pytest.raises(InvalidInput, match="expires_at"):
            await town.keys.create_key("ada", "shop", (Scope.ETA,), expires_at=past)
    with pytest.raises(InvalidInput, match="scopes"):
        await town.keys.create_key("ada", "shop", ())
    with pytest.raises(NotFound):
        await town.key("nobody-there")
    with pytest.raises(NotFound):
        await town.keys.keys("nobody-there")


async def test_a_revoked_key_opens_nothing_at_once(town: Town) -> None:
    await town.add()
    await town.add("bob")
    kept = await town.key("ada", "kept")
    made = await town.keys.create_key("ada", "shop", (Scope.ETA,))
    await opened(town.access, made.secret)
    for person, key_id in (("bob", made.key.id), ("ada", "no-such-key")):
        with pytest.raises(NotFound):
            await town.keys.revoke_key(person, key_id)
    await opened(town.access, made.secret)
    revoked = await town.keys.revoke_key("ada", made.key.id)
    assert revoked == replace(made.key, revoked_at=town.clock.now())
    with pytest.raises(NotAuthenticated, match="not valid"):
        await opened(town.access, made.secret)
    town.clock.pass_(days=1)
    assert await town.keys.revoke_key("ada", made.key.id) == revoked
    await opened(town.access, kept)
    assert [line[1:] for line in await town.lines()].count(("key-revoked", "ada")) == 1


async def test_a_key_expires_though_it_is_remembered(town: Town) -> None:
    await town.add()
    at = town.clock.now() + timedelta(milliseconds=500)
    made = await town.keys.create_key("ada", "shop", (Scope.ETA,), expires_at=at)
    await opened(town.access, made.secret)
    town.clock.at = at
    for access in (town.access, town.elsewhere()):
        with pytest.raises(NotAuthenticated):
            await opened(access, made.secret)


async def test_a_key_may_what_its_person_may_now(town: Town) -> None:
    await town.add()
    key = await town.key()
    await opened(town.access, key)
    await town.people.change_roles("ada", (Role.ANALYST,))
    assert (await opened(town.access, key)).roles == {Role.ANALYST}


async def test_the_last_use_is_written_in_batches(town: Town) -> None:
    await town.add()
    key = await town.key()
    await opened(town.access, key)
    town.clock.pass_(milliseconds=300)
    used_at = town.clock.now()
    await opened(town.access, key)
    assert (await town.keys.keys("ada"))[0].last_used_at is None
    await town.access.write_uses()
    assert (await town.keys.keys("ada"))[0].last_used_at == used_at
    # What another process tells late does not set it back.
    (held,) = await town.keys.keys("ada")
    await town.callers.keys_used((KeyUse(key_id=held.id, at=used_at - timedelta(days=1)),))
    assert (await town.keys.keys("ada"))[0].last_used_at == used_at
    await town.callers.keys_used(())


@given(st.data())
def test_a_mistyped_key_is_told_without_a_look(data: st.DataObject) -> None:
    _, secret = new_secret()
    assert well_formed(secret)
    place = data.draw(st.integers(0, len(secret) - 1))
    sign = data.draw(st.characters().filter(lambda sign: sign != secret[place]))
    assert not well_formed(secret[:place] + sign + secret[place + 1 :])
    assert not well_formed(secret[:-1])
    assert not well_formed(secret + "0")
    assert not well_formed(secret + "\n")


def test_keys_do_not_repeat() -> None:
    made = [new_secret() for _ in range(1_000)]
    assert len({id_ for id_, _ in made}) == len({digest(secret) for _, secret in made}) == 1_000
