"""The accounts service's money over HTTP, as its port."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any

from foodex.core.access import SYSTEM, acting_as, who
from foodex.core.peer import Peer
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
from foodex.domain.purchases import (
    EVERY_PREDICTION,
    Prediction,
    PredictionFilter,
    PredictionsPage,
)
from foodex.services.accounts.paths import HERE, of, system


class MoneyClient:
    """The ledger, payments, price list and history of predictions."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def open_account(self, account: str, currency: str | None = None) -> Balance:
        """Make an account with nothing in it."""
        wanted = {"account": account, "currency": currency}
        return await self._peer.call("POST", f"{HERE}/balances", type=Balance, json=wanted)

    async def balance(self, account: str) -> Balance:
        """An account as it stands."""
        params = {"account": account}
        return await self._peer.call("GET", f"{HERE}/balance", type=Balance, params=params)

    async def balances(self, *, after: str | None = None, limit: int = 100) -> tuple[Balance, ...]:
        """Accounts by id."""
        params = {"after": after, "limit": limit}
        return await self._peer.call(
            "GET", f"{HERE}/balances", type=tuple[Balance, ...], params=params
        )

    async def top_up(
        self, account: str, amount_minor: int, *, reference: str | None = None, note: str = ""
    ) -> Entry:
        """Add money."""
        return await self._post("top-ups", account, amount_minor, reference, note)

    async def correct(
        self, account: str, amount_minor: int, *, reference: str | None = None, note: str
    ) -> Entry:
        """Put a mistake right, up or down."""
        return await self._post("corrections", account, amount_minor, reference, note)

    async def refund(
        self,
        account: str,
        charge: str,
        amount_minor: int | None = None,
        *,
        reference: str | None = None,
        note: str = "",
    ) -> Entry:
        """Give back a charge, or a part of it."""
        return await self._post("refunds", account, amount_minor, reference, note, charge=charge)

    async def reserve(self, account: str, price: Price, *, reference: str) -> Reservation:
        """Set money aside for a job."""
        wanted = {"account": account, "price": price, "reference": reference, "who": who()}
        return await self._reserved("", wanted)

    async def charge_reserved(self, id_: str, price: Price, *, reference: str) -> Reservation:
        """Charge a part of a reservation."""
        wanted = {"id": id_, "price": price, "reference": reference, "who": who()}
        return await self._reserved("/charge", wanted)

    async def release(self, id_: str) -> Reservation:
        """Give back what is left of a reservation."""
        return await self._reserved("/release", {"id": id_, "who": who()})

    async def reservation(self, id_: str) -> Reservation:
        """One reservation."""
        with acting_as(SYSTEM):
            return await self._peer.call(
                "GET", system("reservations"), type=Reservation, params={"id": id_}
            )

    async def entries(
        self,
        account: str,
        filter_: EntryFilter = EVERY_ENTRY,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> EntriesPage:
        """One page of an account's entries, newest first."""
        params = {**_entries(account, filter_), "before": before, "limit": limit}
        return await self._peer.call("GET", f"{HERE}/entries", type=EntriesPage, params=params)

    async def entries_csv(
        self, account: str, filter_: EntryFilter = EVERY_ENTRY
    ) -> AsyncIterator[bytes]:
        """An account's entries, oldest first, as CSV."""
        async for piece in self._file("entries.csv", _entries(account, filter_)):
            yield piece

    async def usage(self, account: str, *, since: datetime, until: datetime) -> tuple[Usage, ...]:
        """What an account bought by day, oldest first."""
        params = {"account": account, "since": since.isoformat(), "until": until.isoformat()}
        return await self._peer.call("GET", f"{HERE}/usage", type=tuple[Usage, ...], params=params)

    async def verify(self) -> Verification:
        """Whether the ledger holds."""
        return await self._peer.call("GET", f"{HERE}/ledger/verification", type=Verification)

    async def price_list(self) -> tuple[Price, ...]:
        """What predictions cost."""
        return await self._peer.call("GET", f"{HERE}/prices", type=tuple[Price, ...])

    async def start_payment(self, account: str, amount_minor: int) -> Payment:
        """Ask for a payment."""
        wanted = {"account": account, "amount_minor": amount_minor}
        return await self._peer.call("POST", f"{HERE}/payments", type=Payment, json=wanted)

    async def receive_payment(self, body: bytes, headers: Mapping[str, str]) -> Payment:
        """Take in a provider's signed notice."""
        notice = {"body": base64.b64encode(body).decode(), "headers": dict(headers)}
        with acting_as(SYSTEM):
            return await self._peer.call("POST", system("notices"), type=Payment, json=notice)

    async def pretend_payment(self, account: str, payment_id: str) -> Payment:
        """Say that a payment of the demonstration's provider was made."""
        return await self._peer.call(
            "POST",
            of("payments", payment_id, "pretend"),
            type=Payment,
            params={"account": account},
        )

    async def payment(self, account: str, payment_id: str) -> Payment:
        """One payment of this account."""
        return await self._peer.call(
            "GET", of("payments", payment_id), type=Payment, params={"account": account}
        )

    async def payments(
        self,
        account: str | None,
        *,
        state: PaymentState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> PaymentsPage:
        """One page of an account's payments, newest first; of all accounts, if none is given."""
        params = {
            "account": account,
            "everybody": account is None,
            "state": state and state.value,
            "before": before,
            "limit": limit,
        }
        return await self._peer.call("GET", f"{HERE}/payments", type=PaymentsPage, params=params)

    async def prediction(self, account: str | None, prediction_id: str) -> Prediction:
        """One prediction with its bodies."""
        params = {"account": account, "bodies": "base64"}
        return await self._peer.call(
            "GET", of("predictions", prediction_id), type=Prediction, params=params
        )

    async def predictions(
        self,
        account: str,
        filter_: PredictionFilter = EVERY_PREDICTION,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> PredictionsPage:
        """One page of an account's predictions without their bodies, newest first."""
        params = {**_predictions(account, filter_), "before": before, "limit": limit}
        return await self._peer.call(
            "GET", f"{HERE}/predictions", type=PredictionsPage, params=params
        )

    async def predictions_csv(
        self, account: str, filter_: PredictionFilter = EVERY_PREDICTION
    ) -> AsyncIterator[bytes]:
        """An account's predictions, oldest first, as CSV."""
        async for piece in self._file("predictions.csv", _predictions(account, filter_)):
            yield piece

    async def purge(self) -> int:
        """Forget bodies older than the retention; how many."""
        with acting_as(SYSTEM):
            gone = await self._peer.call("POST", system("purge"), type=dict[str, int])
        return gone["predictions"]

    async def _post(
        self,
        what: str,
        account: str,
        amount_minor: int | None,
        reference: str | None,
        note: str,
        **more: str,
    ) -> Entry:
        wanted = {
            "account": account,
            "amount_minor": amount_minor,
            "reference": reference,
            "note": note,
            **more,
        }
        return await self._peer.call("POST", f"{HERE}/{what}", type=Entry, json=wanted)

    async def _reserved(self, what: str, wanted: Mapping[str, Any]) -> Reservation:
        with acting_as(SYSTEM):
            return await self._peer.call(
                "POST", system(f"reservations{what}"), type=Reservation, json=wanted
            )

    async def _file(self, name: str, params: Mapping[str, Any]) -> AsyncIterator[bytes]:
        pieces = self._peer.stream("GET", f"{HERE}/{name}", params=params)
        async with aclosing(pieces) as body:  # type: ignore[type-var]
            async for piece in body:
                yield piece


def _entries(account: str, filter_: EntryFilter) -> dict[str, Any]:
    return {
        "account": account,
        "kind": [kind.value for kind in filter_.kinds],
        "since": filter_.since and filter_.since.isoformat(),
        "until": filter_.until and filter_.until.isoformat(),
    }


def _predictions(account: str, filter_: PredictionFilter) -> dict[str, Any]:
    return {
        "account": account,
        "model": filter_.model,
        "key_id": filter_.key_id,
        "since": filter_.since and filter_.since.isoformat(),
        "until": filter_.until and filter_.until.isoformat(),
    }
