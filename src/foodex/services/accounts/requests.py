"""What the routes take, and whose things they may touch."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Path, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime, Field

from foodex.core.access import Role, current_principal
from foodex.core.errors import FieldProblem, InvalidInput, NotFound
from foodex.core.streams import begun
from foodex.domain.ledger import checked_name
from foodex.domain.people import Scope, person_name
from foodex.ports.accounts import Accounts

ME: Final = "me"
"""Stands for the name of whoever asks."""
BIG: Final = 2**63 - 1
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _instant(value: datetime) -> datetime:
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None
    if moment < LONG_AGO:
        raise ValueError("must not be before 1970")
    return moment


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is not a text") from None
    if "\0" in value:
        raise ValueError("must not have a NUL in it")
    return value


Instant = Annotated[AwareDatetime, AfterValidator(_instant)]
Text = Annotated[str, AfterValidator(_text)]
Amount = Annotated[int, Field(strict=True, examples=[500])]
"""A whole number of minor units; how large it may be is the service's to say."""

Since = Annotated[Instant | None, Query(description="From this time on.")]
Until = Annotated[Instant | None, Query(description="Before this time.")]
Before = Annotated[int | None, Query(ge=1, le=BIG, description="The page's cursor.")]
Limit = Annotated[int, Query(ge=1, le=BIG, description="Most in one page.")]
Whose = Annotated[
    Text | None, Query(description="Whose account, for admins; else and by default one's own.")
]
Name = Annotated[str, Path(description="The person's name; `me` is whoever asks.")]
Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A name and a password."""

    name: Text
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """The refresh token of a session."""

    refresh_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChange:
    """The password as it is and as it shall be."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Somebody to be made; without a password one is made, and told in the answer."""

    name: Text
    roles: tuple[Role, ...]
    password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """All the roles somebody shall have."""

    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassword:
    """A password, or none for one to be made and told in the answer."""

    password: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedKey:
    """A key to be made: what it is called and what it may be used for."""

    name: Text
    scopes: tuple[Scope, ...]
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How many sessions were ended."""

    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks: their roles, their account of money and, for a key, what it may be used for."""

    name: str
    roles: tuple[Role, ...]
    account: str | None
    balance_minor: int | None
    currency: str | None
    key_id: str | None = None
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account to be opened; without a currency, in that of the price list."""

    account: Text
    currency: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyIn:
    """Money to add. A `reference` makes the request harmless to repeat."""

    account: Text
    amount_minor: Amount
    reference: Text | None = None
    note: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A mistake to put right, up or down; the note says which."""

    account: Text
    amount_minor: Amount
    note: Text
    reference: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A charge to give back, by its reference: all that is left of it, or a part."""

    account: Text
    charge: Text
    amount_minor: Amount | None = None
    reference: Text | None = None
    note: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPayment:
    """A payment to be asked for, into one's own account or, by admins, another."""

    amount_minor: Amount
    account: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidPrediction:
    """A paid prediction and its bodies, as base64 or as JSON; None once they are forgotten.

    `order` and `answer` are what was sent and answered, `features` the encoded row (float64) and
    `inputs` what else the answer was made from.
    """

    id: str
    account: str
    entry_number: int
    key_id: str
    at: datetime
    operation: str
    model: str | None
    version: int | None
    price_minor: int
    currency: str
    order: Any = None
    features: Any = None
    inputs: Any = None
    answer: Any = None


def is_admin() -> bool:
    """Whether whoever asks may see what is others'.

    An admin's key may not: it is for what its person needs day by day.
    """
    principal = current_principal()
    return Role.ADMIN in principal.roles and principal.scopes is None


async def account_of(accounts: Accounts, account: str | None) -> str:
    """The account that is asked for, or one's own.

    Raises `NotFound` for another's, just as for one that is not there; admins see all.
    """
    principal = current_principal()
    wanted = account if account is not None else principal.account
    if wanted is None:
        problem = FieldProblem("account", "must be named: you have none of your own")
        raise InvalidInput("Whose account is not known", problems=[problem])
    if wanted != principal.account:
        checked_name(wanted, "account")
        if not is_admin():
            await accounts.tell_refused(principal.name, "another's account", wanted)
            raise NotFound(f"There is no account '{wanted}'")
    return wanted


async def person_of(accounts: Accounts, name: str) -> str:
    """The person who is asked for; `NotFound` for another, but for admins."""
    principal = current_principal()
    wanted = principal.name if name == ME else person_name(name)
    if wanted is None or not (wanted == principal.name or is_admin()):
        await accounts.tell_refused(principal.name, "another person", wanted or "")
        raise NotFound("There is nobody of that name")
    return wanted


def named(name: str) -> str:
    """A person's name as it is kept, `me` for whoever asks; `NotFound` for what is no name."""
    wanted = current_principal().name if name == ME else person_name(name)
    if wanted is None:
        raise NotFound("There is nobody of that name")
    return wanted


async def csv_file(pieces: AsyncIterator[bytes], name: str) -> StreamingResponse:
    """Pieces of CSV as a file to keep."""
    return StreamingResponse(
        await begun(pieces),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )
