"""The accounts service over HTTP: balances, entries, payments and paid predictions."""

import base64
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from foodex.core.access import Role, allow, public
from foodex.core.errors import Forbidden
from foodex.domain.ledger import (
    Balance,
    EntriesPage,
    Entry,
    EntryFilter,
    EntryKind,
    Price,
    Usage,
    Verification,
)
from foodex.domain.payments import Payment, PaymentsPage, PaymentState
from foodex.domain.people import Scope
from foodex.domain.purchases import Prediction, PredictionFilter, PredictionsPage
from foodex.ports.accounts import Accounts
from foodex.services.accounts.requests import (
    Before,
    Correction,
    Id,
    Limit,
    MoneyIn,
    NewAccount,
    PaidPrediction,
    Refund,
    Since,
    Text,
    Until,
    WantedPayment,
    Whose,
    account_of,
    csv_file,
    is_admin,
)

_BALANCE: Final = [allow(*Role, scope=Scope.BALANCE_READ)]
_PREDICTIONS: Final = [allow(*Role, scope=Scope.PREDICTIONS_READ)]
_SIGNED_IN: Final = [allow(*Role)]
_ADMINS: Final = [allow(Role.ADMIN)]
_NOTICE_BYTES: Final = 1 << 16
_USUAL_PERIOD: Final = timedelta(days=30)

Kinds = Annotated[list[EntryKind], Query(alias="kind", description="Only entries of these kinds.")]
Model = Annotated[Text | None, Query(description="Only predictions of this model.")]
KeyId = Annotated[Text | None, Query(description="Only predictions asked for with this key.")]


def router(accounts: Accounts) -> APIRouter:
    """The routes of money, over the service itself or its client."""
    routes = APIRouter()
    _add_own(routes, accounts)
    _add_predictions(routes, accounts)
    _add_payments(routes, accounts)
    _add_admins(routes, accounts)
    return routes


def _add_own(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/prices", dependencies=[public], summary="What predictions cost")
    async def prices() -> tuple[Price, ...]:
        """A price without a model is that of all models not named."""
        return await accounts.price_list()

    @routes.get("/balance", dependencies=_BALANCE, summary="What is left")
    async def balance(account: Whose = None) -> Balance:
        return await accounts.balance(await account_of(accounts, account))

    @routes.get("/entries", dependencies=_BALANCE, summary="A page of entries, newest first")
    async def entries(
        account: Whose = None,
        kinds: Kinds = [],  # noqa: B006
        since: Since = None,
        until: Until = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> EntriesPage:
        filter_ = EntryFilter(kinds=tuple(kinds), since=since, until=until)
        account = await account_of(accounts, account)
        return await accounts.entries(account, filter_, before=before, limit=limit)

    @routes.get(
        "/entries.csv",
        dependencies=_BALANCE,
        response_class=StreamingResponse,
        summary="Entries as a file, oldest first",
    )
    async def entries_csv(
        account: Whose = None,
        kinds: Kinds = [],  # noqa: B006
        since: Since = None,
        until: Until = None,
    ) -> StreamingResponse:
        filter_ = EntryFilter(kinds=tuple(kinds), since=since, until=until)
        account = await account_of(accounts, account)
        return await csv_file(accounts.entries_csv(account, filter_), "entries")

    @routes.get("/usage", dependencies=_BALANCE, summary="What was bought, by day")
    async def usage(
        account: Whose = None, since: Since = None, until: Until = None
    ) -> tuple[Usage, ...]:
        """By day of UTC and operation, oldest first; without `since`, of the 30 days before."""
        account = await account_of(accounts, account)
        end = until or datetime.now(UTC)
        return await accounts.usage(account, since=since or end - _USUAL_PERIOD, until=end)


def _add_predictions(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get(
        "/predictions",
        dependencies=_PREDICTIONS,
        summary="A page of paid predictions, newest first",
    )
    async def predictions(
        account: Whose = None,
        model: Model = None,
        key_id: KeyId = None,
        since: Since = None,
        until: Until = None,
        before: Before = None,
        limit: Limit = 100,
    ) -> PredictionsPage:
        """Without their bodies; those are in the file, and told of each one by its id."""
        filter_ = PredictionFilter(model=model, key_id=key_id, since=since, until=until)
        account = await account_of(accounts, account)
        return await accounts.predictions(account, filter_, before=before, limit=limit)

    @routes.get(
        "/predictions.csv",
        dependencies=_PREDICTIONS,
        response_class=StreamingResponse,
        summary="Paid predictions as a file, oldest first",
    )
    async def predictions_csv(
        account: Whose = None,
        model: Model = None,
        key_id: KeyId = None,
        since: Since = None,
        until: Until = None,
    ) -> StreamingResponse:
        filter_ = PredictionFilter(model=model, key_id=key_id, since=since, until=until)
        account = await account_of(accounts, account)
        return await csv_file(accounts.predictions_csv(account, filter_), "predictions")

    @routes.get(
        "/predictions/{prediction_id}",
        dependencies=_PREDICTIONS,
        summary="One paid prediction with what it was made from",
    )
    async def prediction(
        prediction_id: Id,
        account: Whose = None,
        bodies: Annotated[
            Literal["json", "base64"],
            Query(description="`base64` is to the byte what was sent and answered."),
        ] = "json",
    ) -> PaidPrediction:
        whose = await account_of(accounts, account) if account or not is_admin() else None
        found = await accounts.prediction(whose, prediction_id)
        return _told(found, as_json=bodies == "json")


def _add_payments(routes: APIRouter, accounts: Accounts) -> None:
    @routes.post("/payments", dependencies=_SIGNED_IN, status_code=201, summary="Ask for a payment")
    async def start_payment(wanted: WantedPayment) -> Payment:
        """Whoever pays goes to the answer's `pay_at`."""
        account = await account_of(accounts, wanted.account)
        return await accounts.start_payment(account, wanted.amount_minor)

    @routes.get("/payments", dependencies=_SIGNED_IN, summary="A page of payments, newest first")
    async def payments(
        account: Whose = None,
        everybody: Annotated[bool, Query(description="Of all accounts; for admins.")] = False,
        state: Annotated[PaymentState | None, Query(description="Only of this state.")] = None,
        before: Annotated[Text | None, Query(description="The page's cursor.")] = None,
        limit: Limit = 100,
    ) -> PaymentsPage:
        if everybody and not is_admin():
            raise Forbidden("Only admins see everybody's payments")
        whose = None if everybody else await account_of(accounts, account)
        return await accounts.payments(whose, state=state, before=before, limit=limit)

    @routes.get("/payments/{payment_id}", dependencies=_SIGNED_IN, summary="One payment")
    async def payment(payment_id: Id, account: Whose = None) -> Payment:
        return await accounts.payment(await account_of(accounts, account), payment_id)

    @routes.post(
        "/payments/{payment_id}/pretend",
        dependencies=_ADMINS,
        summary="In a demonstration: say that a payment was made",
    )
    async def pretend_payment(payment_id: Id, account: Whose = None) -> Payment:
        """The provider of the demonstration, with whom nobody pays, sends its signed notice."""
        return await accounts.pretend_payment(await account_of(accounts, account), payment_id)

    @routes.post(
        "/payments/notices",
        dependencies=[public],
        status_code=204,
        max_body_size=_NOTICE_BYTES,
        summary="For the payment provider: what became of a payment, signed",
    )
    async def receive_payment(request: Request) -> None:
        await accounts.receive_payment(await request.body(), dict(request.headers))


def _add_admins(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/balances", dependencies=_ADMINS, summary="Accounts by id")
    async def balances(
        after: Annotated[Text | None, Query(description="The last id of the page before.")] = None,
        limit: Limit = 100,
    ) -> tuple[Balance, ...]:
        return await accounts.balances(after=after, limit=limit)

    @routes.post("/balances", dependencies=_ADMINS, status_code=201, summary="Open an account")
    async def open_account(wanted: NewAccount) -> Balance:
        return await accounts.open_account(wanted.account, wanted.currency)

    @routes.post("/top-ups", dependencies=_ADMINS, status_code=201, summary="Add money")
    async def top_up(wanted: MoneyIn) -> Entry:
        return await accounts.top_up(
            wanted.account, wanted.amount_minor, reference=wanted.reference, note=wanted.note
        )

    @routes.post("/corrections", dependencies=_ADMINS, status_code=201, summary="Correct a mistake")
    async def correct(wanted: Correction) -> Entry:
        return await accounts.correct(
            wanted.account, wanted.amount_minor, reference=wanted.reference, note=wanted.note
        )

    @routes.post("/refunds", dependencies=_ADMINS, status_code=201, summary="Give a charge back")
    async def refund(wanted: Refund) -> Entry:
        return await accounts.refund(
            wanted.account,
            wanted.charge,
            wanted.amount_minor,
            reference=wanted.reference,
            note=wanted.note,
        )

    @routes.get("/ledger/verification", dependencies=_ADMINS, summary="Does the ledger hold?")
    async def verify() -> Verification:
        """All of it is computed anew: seconds for millions of entries."""
        return await accounts.verify()


def _told(prediction: Prediction, *, as_json: bool) -> PaidPrediction:
    told: dict[str, Any] = {
        one.name: getattr(prediction, one.name) for one in fields(PaidPrediction)
    }
    for name in ("order", "inputs", "answer", "features"):
        if (body := told[name]) is not None:
            told[name] = _body(name, body) if as_json else base64.b64encode(body).decode()
    return PaidPrediction(**told)


def _body(name: str, body: bytes) -> Any:
    if name == "features":
        # JSON has no word for what is missing but null.
        return [value if isfinite(value) else None for value in memoryview(body).cast("d")]
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")
