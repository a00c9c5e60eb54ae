"""Who acts, what they may do, and how a route says so."""

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from fastapi import Depends

from foodex.core.context import set_address
from foodex.core.errors import Forbidden, NotAuthenticated


class Role(StrEnum):
    """What a person or a key is allowed to be."""

    CLIENT = "client"
    OPERATOR = "operator"
    ANALYST = "analyst"
    ADMIN = "admin"


EVERY_ROLE: Final = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts: a name for the logs and the roles they hold.

    `account` is whose money they spend. Who acts through an API key has its id and only its
    `scopes`; None is no limit but the roles.
    """

    name: str
    roles: frozenset[Role]
    account: str | None = None
    key_id: str | None = None
    scopes: frozenset[str] | None = None


SYSTEM: Final = Principal("system", EVERY_ROLE)
"""FoodEx itself: what is done at start, on a schedule or for another service."""

_nobody: Final = Principal("nobody", frozenset())
_current: ContextVar[Principal] = ContextVar("foodex_principal", default=SYSTEM)


def current_principal() -> Principal:
    """Who acts now; `SYSTEM` outside requests."""
    return _current.get()


def who() -> str:
    """The name of who acts now."""
    return _current.get().name


@contextmanager
def acting_as(principal: Principal | None) -> Iterator[None]:
    """Within the block, `principal` acts; None is a caller who has not signed in."""
    token = _current.set(principal or _nobody)
    try:
        yield
    finally:
        _current.reset(token)


class Access(Protocol):
    """Turns a request's headers into who sent it."""

    async def authenticate(self, headers: Mapping[str, str]) -> Principal | None:
        """Who sent these headers (names in lower case), or None for nobody in particular.

        Raises `NotAuthenticated` for credentials that are wrong.
        """
        ...


class KeyAccess:
    """One key opens everything: the access of a system that has no accounts.

    Services of one system call each other with the same key and tell in `foodex-principal` for
    whom they act (`name;role,role`), and in `foodex-address` where that caller is.
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def __repr__(self) -> str:
        return "KeyAccess(key=***)"

    async def authenticate(self, headers: Mapping[str, str]) -> Principal | None:
        """The owner for the right key, None without a key, `NotAuthenticated` for a wrong one."""
        given = presented_key(headers)
        if given is None:
            return None
        if not hmac.compare_digest(given.encode(), self._key):
            raise NotAuthenticated("This key is not known here")
        # Who holds this key is one of us: its word counts on whence a request came, too.
        if came_from := headers.get("foodex-address"):
            set_address(came_from)
        acting_for = headers.get("foodex-principal")
        return read_principal(acting_for) if acting_for else Principal("owner", EVERY_ROLE)


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key a request carries, as `Authorization: Bearer KEY` or `X-Api-Key: KEY`."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key") or None


def write_principal(principal: Principal) -> str:
    """A principal as the value of the header `foodex-principal`.

    That is `name;roles`, and `name;roles;account;key id;scopes` where there is any of these, the
    scopes `*` for no limit.
    """
    text = f"{principal.name};{','.join(sorted(principal.roles))}"
    if (principal.account, principal.key_id, principal.scopes) == (None, None, None):
        return text
    scopes = "*" if principal.scopes is None else ",".join(sorted(principal.scopes))
    return f"{text};{principal.account or ''};{principal.key_id or ''};{scopes}"


def read_principal(text: str) -> Principal:
    """The principal of a `foodex-principal` header; `NotAuthenticated` if it makes no sense."""
    name, _, rest = text.partition(";")
    roles, limited, rest = rest.partition(";")
    try:
        held = frozenset(Role(role) for role in roles.split(",") if role)
    except ValueError as error:
        raise NotAuthenticated("The header foodex-principal names an unknown role") from error
    if not limited:
        return Principal(name, held)
    parts = rest.split(";")
    if len(parts) != 3:
        raise NotAuthenticated("The header foodex-principal cannot be read")
    account, key_id, scopes = parts
    within = None if scopes == "*" else frozenset(scope for scope in scopes.split(",") if scope)
    return Principal(name, held, account or None, key_id or None, within)


class _Allow:
    """The dependency behind `allow`; its `roles` are what the walk over all routes reads."""

    __slots__ = ("roles", "scope")

    def __init__(self, roles: frozenset[Role], scope: str | None) -> None:
        self.roles = roles
        self.scope = scope

    async def __call__(self) -> None:
        check_roles(self.roles, self.scope)


def check_roles(roles: frozenset[Role], scope: str | None = None) -> None:
    """Pass if whoever acts holds one of the roles; `NotAuthenticated` or `Forbidden` if not.

    An API key passes only where there is a `scope` and it has it.
    """
    check_principal(_current.get(), roles, scope)


def check_principal(
    principal: Principal | None, roles: frozenset[Role], scope: str | None = None
) -> Principal:
    """As `check_roles`, for a principal that is at hand; None is a caller who has not signed in."""
    if principal is None or principal is _nobody:
        raise NotAuthenticated("Send your key as `Authorization: Bearer KEY`")
    if not roles & principal.roles:
        needed = ", ".join(sorted(roles))
        raise Forbidden(f"This needs one of the roles: {needed}")
    if principal.scopes is not None and scope not in principal.scopes:
        raise Forbidden(
            f"This needs a key with the scope {scope}"
            if scope
            else "This is not done with a key; sign in"
        )
    return principal


def allow(*roles: Role, scope: str | None = None) -> Any:
    """The mark of a route: those who hold one of `roles` may call it.

    API keys may call it only if there is a `scope`, and they have it.
    """
    if not roles:
        raise ValueError("allow() needs a role; a route for everybody says `public`")
    return Depends(_Allow(frozenset(roles), scope))


async def _anybody() -> None:
    return None


public: Final[Any] = Depends(_anybody)
"""The mark of a route that anybody may call, signed in or not."""


async def _the_system() -> None:
    principal = _current.get()
    if principal is _nobody:
        raise NotAuthenticated
    if principal != SYSTEM:
        raise Forbidden("This is for the services of one system alone")


system_alone: Final[Any] = Depends(_the_system)
"""The mark of a route for other services of one system: whoever acts is `SYSTEM`.

Nobody else can: the name is kept from people, and is told with the key that services share.
"""


def scope_of(dependency: Any) -> str | None:
    """The scope with which a key passes a mark; None where no key does."""
    return dependency.scope if isinstance(dependency, _Allow) else None


def roles_of(dependency: Any) -> frozenset[Role] | None:
    """The roles a mark allows: empty for `public`, None for a dependency that is no mark."""
    if isinstance(dependency, _Allow):
        return dependency.roles
    return frozenset() if dependency is _anybody else None
