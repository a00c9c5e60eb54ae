"""Signing in and out, on each database."""

import asyncio

import pytest

from foodex.core.access import Role
from foodex.core.context import set_address
from foodex.core.errors import Conflict, InvalidInput, NotAuthenticated, TooManyRequests
from foodex.domain.people import Action
from foodex.services.accounts import guessing
from tests.services.accounts.conftest import PASSWORD, Town, opened

WRONG = "wrong horse battery"


async def refused(town: Town, credentials: str) -> None:
    for access in (town.access, town.elsewhere()):
        with pytest.raises(NotAuthenticated):
            await access.authenticate({"authorization": f"Bearer {credentials}"})


async def tell(town: Town, name: str, password: str) -> tuple[type[BaseException], str]:
    with pytest.raises((NotAuthenticated, TooManyRequests)) as caught:
        await town.sessions.sign_in(name, password)
    return caught.type, str(caught.value)


async def test_who_signs_in_is_known_until_the_token_expires(town: Town) -> None:
    await town.add("ada", Role.CLIENT, Role.ANALYST)
    tokens = await town.sessions.sign_in(" ADA", PASSWORD)
    principal = await opened(town.access, tokens.access_token)
    assert principal.name == principal.account == "ada"
    assert principal.roles == {Role.CLIENT, Role.ANALYST}
    assert principal.scopes is None
    assert principal.key_id is None
    town.clock.pass_(seconds=tokens.access_seconds + 5)
    await refused(town, tokens.access_token)
    assert (await town.lines())[-1] == ("ada", "signed-in", "ada")


async def test_whatever_is_wrong_the_answer_is_the_same(town: Town) -> None:
    await town.add()
    await town.add("eve")
    await town.people.block("eve")
    told = {
        await tell(town, name, password)
        for name, password in (
            ("ada", WRONG),
            ("eve", PASSWORD),
            ("nobody-there", PASSWORD),
            ("no such name; ever", PASSWORD),
            ("\0\ud800", "\ud800"),
            ("", ""),
        )
    }
    assert told == {(NotAuthenticated, "The name or the password is wrong")}
    failures = [line for line in await town.lines() if line[1] == "sign-in-failed"]
    assert [line[2] for line in failures] == ["ada", "eve", "", "", "", ""]


@pytest.mark.parametrize("name", ["ada", "nobody-there"])
async def test_guessing_is_held_off_whether_or_not_there_is_such_a_name(
    town: Town, name: str
) -> None:
    await town.add()
    set_address("192.0.2.1")
    told = [await tell(town, name, WRONG) for _ in range(7)]
    assert [kind for kind, _ in told] == [NotAuthenticated] * 5 + [TooManyRequests] * 2
    # Even the right password tells nothing now, and once is enough for the log.
    assert (await tell(town, name, PASSWORD))[0] is TooManyRequests
    assert [line[1] for line in await town.lines()].count("sign-in-held") == 1
    # Elsewhere its owner still gets in.
    set_address("192.0.2.2")
    await town.signed_in()


async def test_an_address_is_held_off_whatever_names_it_tries(town: Town) -> None:
    few = town.with_settings(guesses_per_address=4)
    await few.add()
    set_address("2001:db8::1")
    for number in range(4):
        assert (await tell(few, f"name-{number}", WRONG))[0] is NotAuthenticated
    for number in range(4, 60):
        set_address(f"2001:db8::{number}")
        assert (await tell(few, "ada", PASSWORD))[0] is TooManyRequests
    # And what it tried in vain did not count against the name.
    set_address("192.0.2.2")
    await few.signed_in()


async def test_a_name_is_held_off_wherever_it_is_tried_from(town: Town) -> None:
    few = town.with_settings(guesses_per_name=6)
    await few.add()
    for number in range(6):
        set_address(f"192.0.2.{number}")
        assert (await tell(few, "ada", WRONG))[0] is NotAuthenticated
    set_address("192.0.2.100")
    assert (await tell(few, "ada", PASSWORD))[0] is TooManyRequests


async def test_guesses_at_once_are_no_more_than_one_by_one(town: Town) -> None:
    await town.add()
    set_address("192.0.2.1")
    told = await asyncio.gather(
        *(town.sessions.sign_in("ada", WRONG) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, NotAuthenticated) for one in told) == 5
    assert sum(isinstance(one, TooManyRequests) for one in told) == 15


async def test_the_right_password_does_not_count(town: Town) -> None:
    few = town.with_settings(guesses_per_name=3, guesses_per_address=3)
    await few.add()
    set_address("192.0.2.1")
    for _ in range(10):
        await few.signed_in()
    await tell(few, "ada", WRONG)
    await few.signed_in()


async def test_the_log_of_failures_cannot_be_flooded(town: Town) -> None:
    few = town.with_settings(audit_failures_per_minute=3)
    for number in range(10):
        await tell(few, f"name-{number}", WRONG)
    assert len(await town.lines()) == 3


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
async def test_addresses_count_by_whose_they_are(given: str, counted: str) -> None:
    set_address(given)
    assert guessing.source() == counted


async def test_refresh_tokens_follow_one_another(town: Town) -> None:
    await town.add()
    tokens = await town.signed_in()
    for _ in range(5):
        town.clock.pass_(days=20)
        before, tokens = tokens, await town.sessions.refresh(tokens.refresh_token)
        assert tokens.refresh_token != before.refresh_token
        if town.clock.now() == tokens.refresh_until:
            break
        await opened(town.access, tokens.access_token)
        if (tokens.refresh_until - town.clock.now()).days < 20:
            break
    # However often it is refreshed, a session ends.
    town.clock.at = tokens.refresh_until
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(tokens.refresh_token)
    assert await town.sessions.purge() == 0
    town.clock.pass_(days=2)
    assert await town.sessions.purge() == 1


async def test_a_session_that_is_not_refreshed_ends(town: Town) -> None:
    await town.add()
    tokens = await town.signed_in()
    town.clock.at = tokens.refresh_until
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(tokens.refresh_token)


async def test_a_refresh_token_used_twice_ends_its_session_and_no_other(town: Town) -> None:
    await town.add()
    stolen, other = await town.signed_in(), await town.signed_in()
    thiefs = await town.sessions.refresh(stolen.refresh_token)
    await opened(town.access, thiefs.access_token)
    town.clock.pass_(seconds=11)
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(stolen.refresh_token)
    await refused(town, thiefs.access_token)
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(thiefs.refresh_token)
    await opened(town.access, other.access_token)
    await town.sessions.refresh(other.refresh_token)
    assert [line[1] for line in await town.lines()].count("refresh-reused") == 1


async def test_two_windows_that_refresh_at_once_keep_their_session(town: Town) -> None:
    await town.add()
    tokens = await town.signed_in()
    told = await asyncio.gather(
        *(town.sessions.refresh(tokens.refresh_token) for _ in range(5)), return_exceptions=True
    )
    (won,) = [one for one in told if not isinstance(one, BaseException)]
    assert sum(isinstance(one, Conflict) for one in told) == 4
    await opened(town.access, won.access_token)
    await town.sessions.refresh(won.refresh_token)


@pytest.mark.parametrize("token", ["", "fdr_", "fdr_x", "\ud800", "x" * 10_000])
async def test_what_is_no_refresh_token_is_refused(town: Town, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(token)
    await town.sessions.sign_out(token)


async def test_signing_out_ends_the_one_session(town: Town) -> None:
    await town.add()
    one, other = await town.signed_in(), await town.signed_in()
    await opened(town.access, one.access_token)
    for _ in range(2):
        await town.sessions.sign_out(one.refresh_token)
    await refused(town, one.access_token)
    with pytest.raises(NotAuthenticated):
        await town.sessions.refresh(one.refresh_token)
    await opened(town.access, other.access_token)
    assert [line[1] for line in await town.lines()].count("signed-out") == 1


async def test_signing_out_everywhere_ends_all_of_ones_own(town: Town) -> None:
    await town.add()
    await town.add("bob")
    mine, other, key = await town.signed_in(), await town.signed_in("bob"), await town.key()
    mine = await town.sessions.refresh(mine.refresh_token)
    await town.signed_in()
    assert await town.sessions.sign_out_everywhere("ada") == 2
    assert await town.sessions.sign_out_everywhere("ada") == 0
    await refused(town, mine.access_token)
    for credentials in (other.access_token, key):
        await opened(town.access, credentials)


async def test_a_changed_password_ends_sessions_and_keeps_keys(town: Town) -> None:
    await town.add()
    tokens, key = await town.signed_in(), await town.key()
    with pytest.raises(NotAuthenticated):
        await town.sessions.change_password("ada", WRONG, "a brand new one")
    with pytest.raises(InvalidInput):
        await town.sessions.change_password("ada", PASSWORD, "short")
    await opened(town.access, tokens.access_token)
    await town.sessions.change_password("ada", PASSWORD, "a brand new one")
    await refused(town, tokens.access_token)
    await opened(town.access, key)
    assert (await tell(town, "ada", PASSWORD))[0] is NotAuthenticated
    await town.sessions.sign_in("ada", "a brand new one")
    told = [line[1] for line in await town.lines()]
    assert told.count("password-change-failed") == told.count("password-changed") == 1


async def test_a_dearer_hash_is_written_at_the_next_sign_in(town: Town) -> None:
    await town.add()
    dearer = town.with_settings(argon2_passes=2)
    told = await asyncio.gather(*(dearer.signed_in() for _ in range(4)))
    assert len({one.refresh_token for one in told}) == 4
    _, verdict = await dearer.sessions._guessed("ada", PASSWORD, Action.SIGN_IN_FAILED)
    assert verdict.new_hash is None
