"""People, what they may do, and the keys that act for them.

A person is known for ever by a name that is never given to somebody else, so what the ledger and
the audit say of a name stays true. Nobody is deleted; people are blocked.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from foodex.core.access import Role
from foodex.core.errors import FieldProblem, InvalidInput

PERSON_LIMIT: Final = 64
KEY_NAME_LIMIT: Final = 100
PASSWORD_LIMIT: Final = 256
"""Most characters of a password: hashing is paid by the byte, and by us."""

_PERSON: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?")
_TAKEN: Final = frozenset({"system", "owner", "nobody", "anonymous", "me"})


class Scope(StrEnum):
    """What a key may be used for; it never does what its person may not."""

    ETA = "eta"
    PREDICTIONS_READ = "predictions:read"
    BATCHES = "batches"
    BALANCE_READ = "balance:read"


class Action(StrEnum):
    """What the audit log tells of."""

    REGISTERED = "registered"
    CREATED = "created"
    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    SIGN_IN_HELD = "sign-in-held"
    SIGNED_OUT = "signed-out"
    SIGNED_OUT_EVERYWHERE = "signed-out-everywhere"
    REFRESH_REUSED = "refresh-reused"
    PASSWORD_CHANGED = "password-changed"
    PASSWORD_CHANGE_FAILED = "password-change-failed"
    PASSWORD_SET = "password-set"
    ROLES_CHANGED = "roles-changed"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    KEY_CREATED = "key-created"
    KEY_REVOKED = "key-revoked"
    NOTICE_REFUSED = "notice-refused"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a name, roles and an account of money."""

    name: str
    roles: tuple[Role, ...]
    account: str
    created_at: datetime
    blocked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPerson:
    """A person just made, and the password that was made for them, shown this once."""

    person: Person
    password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """Some people by name; `next_after` is the cursor of the next page, if any."""

    people: tuple[Person, ...]
    next_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a sign-in gives: a token for requests and one, for one use, that gets the next two."""

    access_token: str
    access_seconds: int
    refresh_token: str
    refresh_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a person, without its secret, which nobody keeps."""

    id: str
    person: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made and its secret, shown this once."""

    key: Key
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """When a key was last used."""

    key_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is behind a key or a session now; `scopes` and `key_id` are None for a session."""

    person: str
    roles: tuple[Role, ...]
    account: str
    key_id: str | None = None
    scopes: tuple[Scope, ...] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Whose rights, keys or sessions changed up to this revision; `all` if too many to tell."""

    revision: int
    people: tuple[str, ...] = ()
    all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A public key that verifies access tokens: its id and its 32 bytes in base64url."""

    kid: str
    x: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log: who did what to whom or what, when, in which request, whence."""

    number: int
    at: datetime
    who: str
    action: Action
    target: str
    request_id: str
    address: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which lines: of this actor, about this target, of these actions, from `since` on."""

    who: str | None = None
    target: str | None = None
    actions: tuple[Action, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


EVERY_LINE: Final = AuditFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Some lines, newest first; `next_before` is the cursor of the next page, if any."""

    entries: tuple[AuditEntry, ...]
    next_before: int | None = None


def person_name(value: str) -> str | None:
    """A name as it is kept, in small letters; None where nobody can be called that."""
    name = value.strip().lower()
    return name if len(name) <= PERSON_LIMIT and _PERSON.fullmatch(name) else None


def checked_person_name(value: str) -> str:
    """A name for a new person: letters, digits and `._@+-`, so a mail address will do."""
    name = person_name(value)
    if name is None:
        raise _wrong(
            "name",
            f"must be 1 to {PERSON_LIMIT} letters a-z, digits or ._@+-, with a letter or digit "
            "at each end",
        )
    if name in _TAKEN:
        raise _wrong("name", "is kept for the system itself")
    return name


def normal_password(value: str) -> str:
    """A password in the one form in which it is hashed, whatever keyboard it was typed on."""
    return unicodedata.normalize("NFKC", value)


def checked_password(value: str, name: str, *, least: int) -> str:
    """A new password: long enough, and not the name; after NIST SP 800-63B, no other rules."""
    try:
        password = normal_password(value)
        password.encode()
    except UnicodeEncodeError:
        raise _wrong("password", "is not a text") from None
    if not least <= len(password) <= PASSWORD_LIMIT:
        raise _wrong("password", f"must have {least} to {PASSWORD_LIMIT} characters")
    if len(name) >= 3 and name in password.lower() and len(password) < least + len(name):
        raise _wrong("password", "must not be little more than the name")
    if len(set(password)) < 5:
        raise _wrong("password", "must have at least five different characters")
    return password


def checked_roles(roles: Iterable[Role]) -> tuple[Role, ...]:
    """Roles in a fixed order, at least one, each once."""
    wanted = set(roles)
    if not wanted:
        raise _wrong("roles", "must name at least one role")
    return tuple(role for role in Role if role in wanted)


def checked_scopes(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Scopes in a fixed order, at least one, each once."""
    wanted = set(scopes)
    if not wanted:
        raise _wrong("scopes", "must name at least one scope")
    return tuple(scope for scope in Scope if scope in wanted)


def checked_key_name(value: str) -> str:
    """What a key is called: 1 to 100 printable characters."""
    name = value.strip()
    if not 1 <= len(name) <= KEY_NAME_LIMIT or not name.isprintable():
        raise _wrong("name", f"must be 1 to {KEY_NAME_LIMIT} printable characters")
    return name


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput("The request cannot be used", problems=[FieldProblem(field, message)])
