"""Who acts and what they may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.access import (
    SYSTEM,
    KeyAccess,
    Principal,
    Role,
    acting_as,
    allow,
    check_roles,
    current_principal,
    public,
    read_principal,
    roles_of,
    who,
    write_principal,
)
from foodex.core.errors import Forbidden, NotAuthenticated

ANALYST = Principal("ann", frozenset({Role.ANALYST}))


def test_outside_requests_the_system_acts() -> None:
    assert current_principal() is SYSTEM


def test_the_block_ends_with_who_acted_before() -> None:
    with acting_as(ANALYST):
        assert who() == "ann"
    assert who() == "system"


def test_roles_are_checked() -> None:
    with acting_as(ANALYST):
        check_roles(frozenset({Role.ANALYST, Role.ADMIN}))
        with pytest.raises(Forbidden, match="admin"):
            check_roles(frozenset({Role.ADMIN}))
    with acting_as(None), pytest.raises(NotAuthenticated):
        check_roles(frozenset(Role))


def test_a_mark_tells_its_roles() -> None:
    assert roles_of(allow(Role.ADMIN).dependency) == {Role.ADMIN}
    assert roles_of(public.dependency) == frozenset()
    assert roles_of(print) is None
    with pytest.raises(ValueError, match="public"):
        allow()


async def test_the_right_key_is_the_owner_and_may_act_for_others() -> None:
    access = KeyAccess("right")
    owner = await access.authenticate({"authorization": "Bearer right"})
    assert owner is not None
    assert owner.roles == frozenset(Role)
    headers = {"x-api-key": "right", "foodex-principal": write_principal(ANALYST)}
    assert await access.authenticate(headers) == ANALYST
    assert await access.authenticate({}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": "bearer rightt"},
        {"x-api-key": "ключ"},
        {"x-api-key": "right", "foodex-principal": "ann;king"},
    ],
)
async def test_wrong_credentials_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(NotAuthenticated):
        await KeyAccess("right").authenticate(headers)


def test_the_key_is_not_shown() -> None:
    assert "right" not in repr(KeyAccess("right"))


@given(st.frozensets(st.sampled_from(Role)), st.from_regex(r"[a-z0-9@.-]{1,20}", fullmatch=True))
def test_principals_survive_the_header(roles: frozenset[Role], name: str) -> None:
    assert read_principal(write_principal(Principal(name, roles))) == Principal(name, roles)


def test_a_key_opens_only_what_its_scopes_name() -> None:
    key = Principal("ada", frozenset({Role.ADMIN}), "ada", "k1", frozenset({"eta"}))
    with acting_as(key):
        check_roles(frozenset({Role.ADMIN}), "eta")
        with pytest.raises(Forbidden, match="balance:read"):
            check_roles(frozenset({Role.ADMIN}), "balance:read")
        with pytest.raises(Forbidden, match="sign in"):
            check_roles(frozenset({Role.ADMIN}))
        with pytest.raises(Forbidden, match="role"):
            check_roles(frozenset({Role.CLIENT}), "eta")


@pytest.mark.parametrize("scopes", [None, frozenset(), frozenset({"eta", "balance:read"})])
@pytest.mark.parametrize("account", [None, "ada@example.com"])
def test_account_key_and_scopes_travel_along(
    account: str | None, scopes: frozenset[str] | None
) -> None:
    for key_id in (None, "k1"):
        sent = Principal("ada", frozenset({Role.CLIENT}), account, key_id, scopes)
        assert read_principal(write_principal(sent)) == sent


@pytest.mark.parametrize("text", ["ada;client;", "ada;client;ada", "ada;client;a;b;c;d"])
def test_half_a_principal_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        read_principal(text)
