"""What the accounts service does for the others."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from foodex.core.access import Role
from foodex.core.errors import FoodexError
from foodex.domain.ledger import (
    EVERY_ENTRY,
    Balance,
    EntriesPage,
    Entry,
    EntryFilter,
    Price,
    Reservation,
    Usage,
    Verification,
)
from foodex.domain.payments import Payment, PaymentsPage, PaymentState
from foodex.domain.people import (
    EVERY_LINE,
    AuditFilter,
    AuditPage,
    Caller,
    Changes,
    Key,
    KeyUse,
    NewKey,
    NewPerson,
    PeoplePage,
    Person,
    Scope,
    TokenKey,
    Tokens,
)
from foodex.domain.purchases import (
    EVERY_PREDICTION,
    Prediction,
    PredictionFilter,
    PredictionsPage,
    Purchase,
    Receipt,
)

# --- Money ---------------------------------------------------------------------------------------


class Ledger(Protocol):
    """Accounts of prepaid money. Who acts is in the context and is written into each entry.

    A `reference` makes a request harmless to repeat: used again for the same, it gives what was
    done then; used for something else, it is a `Conflict`. `NotFound` where there is no account.
    """

    async def open_account(self, account: str, currency: str | None = None) -> Balance:
        """Make an account with nothing in it. Safe to repeat."""
        ...

    async def balance(self, account: str) -> Balance:
        """An account as it stands."""
        ...

    async def balances(self, *, after: str | None = None, limit: int = 100) -> tuple[Balance, ...]:
        """Accounts by id."""
        ...

    async def top_up(
        self, account: str, amount_minor: int, *, reference: str | None = None, note: str = ""
    ) -> Entry:
        """Add money."""
        ...

    async def correct(
        self, account: str, amount_minor: int, *, reference: str | None = None, note: str
    ) -> Entry:
        """Put a mistake right, up or down; `PaymentRequired` where it would end below zero."""
        ...

    async def refund(
        self,
        account: str,
        charge: str,
        amount_minor: int | None = None,
        *,
        reference: str | None = None,
        note: str = "",
    ) -> Entry:
        """Give back the charge of this reference, or a part; `Conflict` beyond what is left."""
        ...

    async def reserve(self, account: str, price: Price, *, reference: str) -> Reservation:
        """Set money aside for a job; `PaymentRequired` where the balance does not cover it."""
        ...

    async def charge_reserved(self, id_: str, price: Price, *, reference: str) -> Reservation:
        """Charge a part of a reservation; `Conflict` beyond what is left of it."""
        ...

    async def release(self, id_: str) -> Reservation:
        """Give back what is left of a reservation. Safe to repeat."""
        ...

    async def reservation(self, id_: str) -> Reservation:
        """One reservation."""
        ...

    async def entries(
        self,
        account: str,
        filter_: EntryFilter = EVERY_ENTRY,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> EntriesPage:
        """One page of an account's entries, newest first."""
        ...

    def entries_csv(self, account: str, filter_: EntryFilter = EVERY_ENTRY) -> AsyncIterator[bytes]:
        """An account's entries, oldest first, as CSV; cells are safe to open in a spreadsheet."""
        ...

    async def usage(self, account: str, *, since: datetime, until: datetime) -> tuple[Usage, ...]:
        """What an account bought by day, oldest first; days without purchases are left out."""
        ...

    async def verify(self) -> Verification:
        """Recompute the whole ledger and say whether it holds."""
        ...


class Payments(Protocol):
    """Top-up through a payment provider."""

    async def start_payment(self, account: str, amount_minor: int) -> Payment:
        """Ask for a payment; the payer goes to its `pay_at`."""
        ...

    async def receive_payment(self, body: bytes, headers: Mapping[str, str]) -> Payment:
        """Take in a provider's signed notice; told twice, it is credited once."""
        ...

    async def pretend_payment(self, account: str, payment_id: str) -> Payment:
        """Say that a payment of the demonstration's provider was made; `Conflict` for real ones."""
        ...

    async def payment(self, account: str, payment_id: str) -> Payment:
        """One payment of this account."""
        ...

    async def payments(
        self,
        account: str | None,
        *,
        state: PaymentState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> PaymentsPage:
        """One page of an account's payments, newest first; of all accounts, if none is given."""
        ...


class Sales(Protocol):
    """Sells predictions."""

    async def buy(self, purchase: Purchase) -> Receipt:
        """Charge and record one prediction in one transaction; the answer once it is durable.

        Raises `PaymentRequired`, `Conflict` (another order under the same key), `Overloaded`,
        `Unavailable`, and `InternalError` where there is no answer to sell.
        """
        ...

    async def buy_many(self, purchases: Sequence[Purchase]) -> Sequence[Receipt | FoodexError]:
        """As `buy`, for some that come at once; each fares by itself, and they share a commit.

        Raises `Overloaded` and `Unavailable` where none of them was even tried.
        """
        ...

    async def price_list(self) -> tuple[Price, ...]:
        """What predictions cost; a price without a model is that of all models not named."""
        ...


class Predictions(Protocol):
    """The history of paid predictions."""

    async def prediction(self, account: str | None, prediction_id: str) -> Prediction:
        """One prediction with its bodies; of this account only, if one is given."""
        ...

    async def predictions(
        self,
        account: str,
        filter_: PredictionFilter = EVERY_PREDICTION,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> PredictionsPage:
        """One page of an account's predictions without their bodies, newest first."""
        ...

    def predictions_csv(
        self, account: str, filter_: PredictionFilter = EVERY_PREDICTION
    ) -> AsyncIterator[bytes]:
        """An account's predictions, oldest first, as CSV."""
        ...

    async def purge(self) -> int:
        """Forget bodies older than the retention; how many. Charges and entries stay."""
        ...


# --- People --------------------------------------------------------------------------------------


class People(Protocol):
    """Who there is and what they may do. Every change is in the audit log."""

    async def register(self, name: str, password: str) -> Person:
        """Make oneself a client, with an account of money.

        Raises `Forbidden` where registration is closed, `Conflict` for a name that is taken and
        `TooManyRequests`.
        """
        ...

    async def create_person(
        self, name: str, roles: tuple[Role, ...], password: str | None = None
    ) -> NewPerson:
        """Make somebody, with a password that is made and shown once if none is given."""
        ...

    async def person(self, name: str) -> Person:
        """One person; `NotFound`."""
        ...

    async def people(self, *, after: str | None = None, limit: int = 100) -> PeoplePage:
        """One page of people by name."""
        ...

    async def change_roles(self, name: str, roles: tuple[Role, ...]) -> Person:
        """Give these roles and no others; `Conflict` where no admin would be left."""
        ...

    async def block(self, name: str) -> Person:
        """Shut somebody out: sessions end for good, keys rest. `Conflict` for the last admin."""
        ...

    async def unblock(self, name: str) -> Person:
        """Let somebody in again, with the keys they had."""
        ...

    async def set_password(self, name: str, password: str | None = None) -> NewPerson:
        """Give somebody a new password, made and shown once if none is given; sessions end."""
        ...

    async def audit(
        self, filter_: AuditFilter = EVERY_LINE, *, before: int | None = None, limit: int = 100
    ) -> AuditPage:
        """One page of the audit log, newest first."""
        ...


class Sessions(Protocol):
    """Signing in and out. What is wrong with credentials is never told: `NotAuthenticated`."""

    async def sign_in(self, name: str, password: str) -> Tokens:
        """Begin a session; `TooManyRequests` after too many guesses, whether or not it is right."""
        ...

    async def refresh(self, refresh_token: str) -> Tokens:
        """The next two tokens of a session.

        A refresh token used again ends its session, since one of its users is a thief. Only right
        after its first use that is a mere `Conflict`: two windows may have met.
        """
        ...

    async def sign_out(self, refresh_token: str) -> None:
        """End the session of this refresh token. Safe to repeat."""
        ...

    async def sign_out_everywhere(self, name: str) -> int:
        """End all sessions of somebody; how many. Keys stay."""
        ...

    async def change_password(self, name: str, old: str, new: str) -> None:
        """Change a password, given the old one; all sessions end. Keys stay."""
        ...


class Keys(Protocol):
    """API keys of people."""

    async def create_key(
        self,
        person: str,
        name: str,
        scopes: tuple[Scope, ...],
        *,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key; its secret is in the answer and nowhere else.

        `Conflict` where the person has a key of that name, or as many keys as they may.
        """
        ...

    async def keys(self, person: str) -> tuple[Key, ...]:
        """All keys of a person, revoked ones too, oldest first."""
        ...

    async def revoke_key(self, person: str, key_id: str) -> Key:
        """End a key for good, within a second everywhere. Safe to repeat."""
        ...


class Callers(Protocol):
    """Who is behind credentials: what a gateway asks, and keeps until it changes."""

    async def caller_by_key(self, digest: str) -> Caller | None:
        """Who is behind the key of this SHA-256 (in hex); None where it opens nothing."""
        ...

    async def caller_by_session(self, session: str) -> Caller | None:
        """Who is behind a session; None where it has ended."""
        ...

    async def changes(self, after: int) -> Changes:
        """Whose rights, keys or sessions have changed since a revision."""
        ...

    async def keys_used(self, uses: tuple[KeyUse, ...]) -> None:
        """Write down when keys were last used."""
        ...

    async def token_keys(self) -> tuple[TokenKey, ...]:
        """The public keys of access tokens that are valid now."""
        ...


class Refusals(Protocol):
    """What others refused, for the audit log."""

    async def tell_refused(self, person: str, what: str, about: str = "") -> None:
        """Write that somebody was refused `what`; told often, it is written once a minute."""
        ...


# --- All of it -----------------------------------------------------------------------------------


class Accounts(
    Ledger, Payments, Sales, Predictions, People, Sessions, Keys, Callers, Refusals, Protocol
):
    """The accounts service.

    What it does for other services alone (`Callers`, `Refusals`, `buy`, reservations, `purge`,
    `receive_payment`) a client of the gateway cannot ask for.
    """
