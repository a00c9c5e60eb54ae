"""The accounts service over HTTP: signing in, one's own account, keys, and people for admins."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from foodex.core.access import Role, allow, current_principal, public
from foodex.domain.people import (
    Action,
    AuditFilter,
    AuditPage,
    Key,
    NewKey,
    NewPerson,
    PeoplePage,
    Person,
    Scope,
    Tokens,
)
from foodex.ports.accounts import Accounts
from foodex.services.accounts import api_money
from foodex.services.accounts.requests import (
    Before,
    Credentials,
    Ended,
    Id,
    Limit,
    Me,
    Name,
    NewPassword,
    PasswordChange,
    RefreshToken,
    Roles,
    Since,
    Text,
    Until,
    Wanted,
    WantedKey,
    named,
    person_of,
)

_SIGNED_IN: Final = [allow(*Role)]
_ADMINS: Final = [allow(Role.ADMIN)]


def router(accounts: Accounts) -> APIRouter:
    """The routes for people and their programs, over the service itself or its client."""
    routes = APIRouter()
    _add_sessions(routes, accounts)
    _add_own(routes, accounts)
    _add_keys(routes, accounts)
    _add_people(routes, accounts)
    routes.include_router(api_money.router(accounts))
    return routes


def _add_sessions(routes: APIRouter, accounts: Accounts) -> None:
    @routes.post(
        "/register", dependencies=[public], status_code=201, summary="Make oneself a client"
    )
    async def register(given: Credentials) -> Person:
        return await accounts.register(given.name, given.password)

    @routes.post("/sign-in", dependencies=[public], summary="Begin a session")
    async def sign_in(given: Credentials) -> Tokens:
        """The access token is sent like a key: `Authorization: Bearer TOKEN`."""
        return await accounts.sign_in(given.name, given.password)

    @routes.post("/refresh", dependencies=[public], summary="The next two tokens of a session")
    async def refresh(given: RefreshToken) -> Tokens:
        """A refresh token is good for one use; used again, it ends its session."""
        return await accounts.refresh(given.refresh_token)

    @routes.post("/sign-out", dependencies=[public], status_code=204, summary="End a session")
    async def sign_out(given: RefreshToken) -> None:
        await accounts.sign_out(given.refresh_token)


def _add_own(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get(
        "/me",
        dependencies=[allow(*Role, scope=Scope.BALANCE_READ)],
        summary="Who am I, and what have I left?",
    )
    async def me() -> Me:
        principal = current_principal()
        account = principal.account
        balance = None if account is None else await accounts.balance(account)
        return Me(
            name=principal.name,
            roles=tuple(role for role in Role if role in principal.roles),
            account=account,
            balance_minor=None if balance is None else balance.balance_minor,
            currency=None if balance is None else balance.currency,
            key_id=principal.key_id,
            scopes=None if principal.scopes is None else tuple(sorted(principal.scopes)),
        )

    @routes.post(
        "/people/{name}/password-change",
        dependencies=_SIGNED_IN,
        status_code=204,
        summary="Change a password, given the old one",
    )
    async def change_password(name: Name, given: PasswordChange) -> None:
        """All sessions end; keys stay."""
        name = await person_of(accounts, name)
        await accounts.change_password(name, given.old, given.new)

    @routes.post(
        "/people/{name}/sign-out-everywhere",
        dependencies=_SIGNED_IN,
        summary="End all sessions",
    )
    async def sign_out_everywhere(name: Name) -> Ended:
        name = await person_of(accounts, name)
        return Ended(sessions=await accounts.sign_out_everywhere(name))


def _add_keys(routes: APIRouter, accounts: Accounts) -> None:
    place = "/people/{name}/keys"

    @routes.get(place, dependencies=_SIGNED_IN, summary="Keys, revoked ones too")
    async def keys(name: Name) -> tuple[Key, ...]:
        return await accounts.keys(await person_of(accounts, name))

    @routes.post(place, dependencies=_SIGNED_IN, status_code=201, summary="Make a key")
    async def create_key(name: Name, wanted: WantedKey) -> NewKey:
        """Its secret is told in this answer, and never again."""
        name = await person_of(accounts, name)
        return await accounts.create_key(
            name, wanted.name, wanted.scopes, expires_at=wanted.expires_at
        )

    @routes.delete(
        f"{place}/{{key_id}}", dependencies=_SIGNED_IN, summary="Revoke a key, within a second"
    )
    async def revoke_key(name: Name, key_id: Id) -> Key:
        return await accounts.revoke_key(await person_of(accounts, name), key_id)


def _add_people(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/people", dependencies=_ADMINS, summary="People by name")
    async def people(
        after: Annotated[Text | None, Query(description="The page's cursor.")] = None,
        limit: Limit = 100,
    ) -> PeoplePage:
        return await accounts.people(after=after, limit=limit)

    @routes.post("/people", dependencies=_ADMINS, status_code=201, summary="Make somebody")
    async def create_person(wanted: Wanted) -> NewPerson:
        return await accounts.create_person(wanted.name, wanted.roles, wanted.password)

    @routes.get("/people/{name}", dependencies=_SIGNED_IN, summary="One person")
    async def person(name: Name) -> Person:
        return await accounts.person(await person_of(accounts, name))

    @routes.put("/people/{name}/roles", dependencies=_ADMINS, summary="Give these roles, no others")
    async def change_roles(name: Name, wanted: Roles) -> Person:
        return await accounts.change_roles(named(name), wanted.roles)

    @routes.post("/people/{name}/block", dependencies=_ADMINS, summary="Shut somebody out")
    async def block(name: Name) -> Person:
        return await accounts.block(named(name))

    @routes.post("/people/{name}/unblock", dependencies=_ADMINS, summary="Let somebody in again")
    async def unblock(name: Name) -> Person:
        return await accounts.unblock(named(name))

    @routes.post(
        "/people/{name}/password", dependencies=_ADMINS, summary="Give somebody a new password"
    )
    async def set_password(name: Name, given: NewPassword) -> NewPerson:
        return await accounts.set_password(named(name), given.password)

    @routes.get("/audit", dependencies=_ADMINS, summary="Who did what to whom, newest first")
    async def audit(
        who: Annotated[Text | None, Query(description="Only what this person did.")] = None,
        target: Annotated[Text | None, Query(description="Only what was done to this.")] = None,
        actions: Annotated[list[Action], Query(alias="action")] = [],  # noqa: B006
        since: Since = None,
        until: Until = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> AuditPage:
        filter_ = AuditFilter(
            who=who, target=target, actions=tuple(actions), since=since, until=until
        )
        return await accounts.audit(filter_, before=before, limit=limit)
