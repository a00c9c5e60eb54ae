"""The routes for other services of one system: no gateway has them, and no person may call them."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Path, Query, Request, Response

from foodex.core.access import SYSTEM, acting_as, system_alone
from foodex.core.errors import BadRequest
from foodex.domain.ledger import Price, Reservation
from foodex.domain.payments import Payment
from foodex.domain.people import Caller, Changes, KeyUse, TokenKey
from foodex.ports.accounts import Accounts
from foodex.services.accounts.requests import BIG, Text
from foodex.services.accounts.wire import read_purchases, write_outcomes

_SYSTEM: Final = [system_alone]
_PURCHASES_BYTES: Final = 64 << 20

Digest = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,128}$")]

log = structlog.get_logger("foodex.accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedReservation:
    """Money to be set aside; `who` asked for it."""

    account: Text
    price: Price
    reference: Text
    who: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a reservation to be charged."""

    id: Text
    price: Price
    reference: Text
    who: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A reservation whose rest is to be given back."""

    id: Text
    who: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A payment provider's request as it came: the body (base64) and its headers."""

    body: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Who was refused what."""

    person: Text
    what: Text
    about: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """How much is forgotten."""

    predictions: int


def router(accounts: Accounts) -> APIRouter:
    """The routes, over the service itself."""
    routes = APIRouter(prefix="/system", dependencies=_SYSTEM)
    _add_callers(routes, accounts)
    _add_sales(routes, accounts)
    _add_reservations(routes, accounts)
    return routes


def _add_callers(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/callers/keys/{digest}", summary="Who is behind a key")
    async def caller_by_key(digest: Digest) -> Caller | None:
        return await accounts.caller_by_key(digest)

    @routes.get("/callers/sessions/{session}", summary="Who is behind a session")
    async def caller_by_session(session: Digest) -> Caller | None:
        return await accounts.caller_by_session(session)

    @routes.get("/changes", summary="Whose rights, keys or sessions have changed")
    async def changes(after: Annotated[int, Query(ge=-1, le=BIG)]) -> Changes:
        return await accounts.changes(after)

    @routes.post("/keys-used", status_code=204, summary="When keys were last used")
    async def keys_used(uses: tuple[KeyUse, ...]) -> None:
        await accounts.keys_used(uses)

    @routes.get("/token-keys", summary="What verifies access tokens")
    async def token_keys() -> tuple[TokenKey, ...]:
        return await accounts.token_keys()

    @routes.post("/refusals", status_code=204, summary="Who was refused what")
    async def tell_refused(refusal: Refusal) -> None:
        await accounts.tell_refused(refusal.person, refusal.what, refusal.about)

    @routes.post("/notices", summary="A payment provider's notice")
    async def receive_payment(notice: Notice) -> Payment:
        try:
            body = base64.b64decode(notice.body, validate=True)
        except binascii.Error:
            raise BadRequest("The body is not base64") from None
        return await accounts.receive_payment(body, notice.headers)


def _add_sales(routes: APIRouter, accounts: Accounts) -> None:
    @routes.post(
        "/purchases",
        response_class=Response,
        max_body_size=_PURCHASES_BYTES,
        summary="Sell many predictions, and tell of each what became of it",
    )
    async def buy(request: Request) -> Response:
        purchases = read_purchases(await request.body())
        results = await accounts.buy_many(purchases)
        return Response(write_outcomes(results), media_type="application/json")

    @routes.post("/purge", summary="Forget bodies of predictions past their retention")
    async def purge() -> Gone:
        return Gone(predictions=await accounts.purge())


def _add_reservations(routes: APIRouter, accounts: Accounts) -> None:
    place = "/reservations"

    @routes.post(place, status_code=201, summary="Set money aside for a job")
    async def reserve(wanted: WantedReservation) -> Reservation:
        with _for(wanted.who):
            return await accounts.reserve(wanted.account, wanted.price, reference=wanted.reference)

    @routes.get(place, summary="One reservation")
    async def reservation(id_: Annotated[Text, Query(alias="id")]) -> Reservation:
        return await accounts.reservation(id_)

    @routes.post(f"{place}/charge", summary="Charge a part of a reservation")
    async def charge_reserved(part: Part) -> Reservation:
        with _for(part.who):
            return await accounts.charge_reserved(part.id, part.price, reference=part.reference)

    @routes.post(f"{place}/release", summary="Give back what is left of a reservation")
    async def release(rest: Rest) -> Reservation:
        with _for(rest.who):
            return await accounts.release(rest.id)


@contextmanager
def _for(who: str) -> Iterator[None]:
    # The ledger tells who asked for it; only a service may say so in another's name.
    with acting_as(replace(SYSTEM, name=who)):
        yield
