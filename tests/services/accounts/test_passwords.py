"""Passwords are hashed, and told from wrong ones."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput, Overloaded
from foodex.core.settings import AccountsSettings
from foodex.domain.people import (
    PASSWORD_LIMIT,
    Scope,
    checked_key_name,
    checked_password,
    checked_person_name,
    checked_roles,
    checked_scopes,
    normal_password,
    person_name,
)
from foodex.services.accounts.passwords import Passwords

CHEAP = AccountsSettings(argon2_memory_kib=8, argon2_passes=1)


async def test_the_right_password_is_right_and_no_other() -> None:
    passwords = Passwords(CHEAP)
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert (await passwords.verify("correct horse", hashed)).right
    for wrong in ("", "correct hors", "correct horse ", "\ud800", "\0", "x" * 100_000):
        assert not (await passwords.verify(wrong, hashed)).right
        assert not (await passwords.verify(wrong, None)).right


async def test_what_is_longer_than_any_password_is_wrong() -> None:
    passwords = Passwords(CHEAP)
    longest = "\N{DUCK}" * PASSWORD_LIMIT
    hashed = await passwords.hash(longest)
    assert (await passwords.verify(longest, hashed)).right
    assert not (await passwords.verify(longest + "x", hashed)).right


async def test_a_cheaper_hash_is_made_anew() -> None:
    hashed = await Passwords(CHEAP).hash("correct horse")
    dearer = Passwords(CHEAP.model_copy(update={"argon2_passes": 2}))
    verdict = await dearer.verify("correct horse", hashed)
    assert verdict.new_hash is not None
    assert "t=2" in verdict.new_hash
    assert (await dearer.verify("correct horse", verdict.new_hash)).new_hash is None
    assert (await dearer.verify("wrong", hashed)).new_hash is None


async def test_nobodys_hash_costs_what_a_real_one_costs() -> None:
    passwords = Passwords(AccountsSettings())
    real, nobodys = await passwords.hash("correct horse"), passwords._nobodys
    assert [len(part) for part in real.split("$")] == [len(part) for part in nobodys.split("$")]
    assert real.split("$")[:4] == nobodys.split("$")[:4]


async def test_whoever_is_asked_for_one_hash_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(CHEAP)
    hashed = await passwords.hash("correct horse")
    seen = []

    class Watched:
        def verify_and_update(self, given: bytes, against: str) -> tuple[bool, None]:
            seen.append(against)
            return True, None

    monkeypatch.setattr(passwords, "_hasher", Watched())
    assert not (await passwords.verify("correct horse", None)).right
    assert (await passwords.verify("correct horse", hashed)).right
    assert seen == [passwords._nobodys, hashed]


async def test_so_many_are_hashed_at_once_and_so_many_wait() -> None:
    passwords = Passwords(CHEAP.model_copy(update={"argon2_at_once": 2, "argon2_waiting": 3}))
    go, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def slow(_: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go.wait(10)
        with lock:
            running -= 1
        return True

    tasks = [asyncio.create_task(passwords._in_turn(slow, "x")) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await passwords.hash("correct horse")
    # A caller who leaves gives up their place in the line.
    tasks.pop().cancel()
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(passwords._in_turn(slow, "x")))
    go.set()
    assert all(await asyncio.gather(*tasks))
    assert most == 2


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("Ada", "ada"),
        (" ada@example.com ", "ada@example.com"),
        ("a", "a"),
        ("a-b.c_d+e", "a-b.c_d+e"),
    ],
)
def test_names_are_kept_in_small_letters(given_: str, kept: str) -> None:
    assert checked_person_name(given_) == kept


@pytest.mark.parametrize(
    "name", ["", " ", "-a", "a-", "a b", "a;b", "a,b", "a/b", "ädä", "a\nb", "x" * 65, "System"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_person_name(name)


@given(st.text())
def test_a_name_is_fit_for_headers_and_accounts(text: str) -> None:
    name = person_name(text)
    assert name is None or (name.isascii() and name.isprintable() and not set(name) & set(" ;,"))


@pytest.mark.parametrize(
    "password",
    ["", "short", "x" * 257, "aaaabbbbcccc", "ada12345678", "12345678Ada", "\ud800" * 12],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="password"):
        checked_password(password, "ada", least=10)


@given(st.text(min_size=10, max_size=40))
def test_a_password_is_the_same_however_it_is_typed(text: str) -> None:
    try:
        kept = checked_password(text, "a name not in it", least=10)
    except InvalidInput:
        return
    assert normal_password(kept) == kept == normal_password(text)


def test_roles_scopes_and_names_of_keys_are_checked() -> None:
    assert checked_scopes([Scope.BALANCE_READ, Scope.ETA, Scope.ETA]) == (
        Scope.ETA,
        Scope.BALANCE_READ,
    )
    assert checked_key_name(" shop ") == "shop"
    for wrong in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(InvalidInput):
            checked_key_name(wrong)
    with pytest.raises(InvalidInput):
        checked_roles([])
    with pytest.raises(InvalidInput):
        checked_scopes([])
