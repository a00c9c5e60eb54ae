"""One's balance and what was used of it, and money that is added."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, Role, allow
from foodex.core.errors import InvalidInput
from foodex.domain.money import read_amount
from foodex.services.dashboard.catalogue import Texts, chosen, texts_of
from foodex.services.dashboard.charts import Option, bars
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.prices import pays
from foodex.services.dashboard.rendering import LANGUAGE, form, go, page
from foodex.services.dashboard.session import Viewer, current_viewer

PERIODS: Final = (7, 30, 90)
_LAST: Final = 6
_PENDING: Final = "pending"


def router(gateway: Gateway) -> APIRouter:
    """The routes of the balance and of payments."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/account")
    async def show(request: Request) -> Response:
        asked = request.query_params.get("days", "")
        days = int(asked) if asked in {str(one) for one in PERIODS} else 30
        today = datetime.now(UTC).date()
        since = today - timedelta(days=days - 1)
        query = {"since": f"{since}T00:00:00Z", "until": f"{today + timedelta(days=1)}T00:00:00Z"}
        usage, entries, prices = await asyncio.gather(
            gateway.get("/accounts/usage", query),
            gateway.get("/accounts/entries", {"limit": _LAST}),
            gateway.get("/accounts/prices"),
        )
        said = _texts(request)
        every_day = [since + timedelta(days=n) for n in range(days)]
        return page(
            request,
            "account.html",
            pays=pays(),
            days=days,
            periods=PERIODS,
            entries=entries["entries"],
            prices=prices,
            bought=sum(one["quantity"] for one in usage),
            charged=sum(one["charged_minor"] for one in usage),
            counts=_chart(usage, every_day, "quantity", 1, said),
            money_chart=_chart(usage, every_day, "charged_minor", 100, said),
        )

    @routes.get("/account/top-up")
    async def top_up(request: Request) -> Response:
        return await _top_up(request, request.query_params.get("amount", ""))

    @routes.post("/account/top-up")
    async def begin(request: Request) -> Response:
        given = (await form(request)).get("amount", "")
        viewer = _viewer()
        try:
            amount = read_amount(given.replace(",", "."), viewer.currency or "EUR")
            payment = await gateway.post("/accounts/payments", {"amount_minor": amount})
        except InvalidInput as error:
            return await _top_up(request, given, error)
        return go(request, f"/account/payments/{payment['id']}")

    @routes.get("/account/payments/{payment_id}")
    async def payment(request: Request, payment_id: str) -> Response:
        found = await gateway.get(f"/accounts/payments/{payment_id}")
        return page(request, "account_payment.html", payment=found)

    @routes.get("/account/payments/{payment_id}/state")
    async def state(request: Request, payment_id: str) -> Response:
        found = await gateway.get(f"/accounts/payments/{payment_id}")
        return page(request, "parts/account_payment.html", payment=found)

    @routes.post("/account/payments/{payment_id}/pretend", dependencies=[allow(Role.ADMIN)])
    async def pretend(request: Request, payment_id: str) -> Response:
        account = (await form(request)).get("account", "")
        await gateway.post(
            f"/accounts/payments/{payment_id}/pretend", query={"account": account or None}
        )
        return go(request, "/account/top-up")

    async def _top_up(request: Request, amount: str, error: InvalidInput | None = None) -> Response:
        own, waiting = await asyncio.gather(
            gateway.get("/accounts/payments", {"limit": 20}), _waiting()
        )
        return page(
            request,
            "account_top_up.html",
            status=200 if error is None else error.status,
            amount=amount,
            error=error,
            payments=own["payments"],
            waiting=waiting,
        )

    async def _waiting() -> Sequence[Mapping[str, Any]]:
        """Payments of everybody that an admin may confirm."""
        if not _viewer().may(Role.ADMIN):
            return ()
        query = {"everybody": True, "state": _PENDING, "limit": 50}
        found: Sequence[Mapping[str, Any]] = (await gateway.get("/accounts/payments", query))[
            "payments"
        ]
        return found

    return routes


def _viewer() -> Viewer:
    viewer = current_viewer()
    assert viewer is not None  # Every route is somebody's.
    return viewer


def _texts(request: Request) -> Texts:
    asked = request.headers.get("accept-language", "")
    return texts_of(chosen(request.cookies.get(LANGUAGE), asked))


def _chart(
    usage: Iterable[Mapping[str, Any]], days: Sequence[date], what: str, per: int, said: Texts
) -> Option:
    found: dict[str, Counter[date]] = {}
    for one in usage:
        counts = found.setdefault(one["operation"], Counter())
        counts[date.fromisoformat(one["day"])] += one[what]
    months = said("account.months").split()
    return bars(
        [f"{day.day} {months[day.month - 1]}" for day in days],
        {
            said(f"account.operation.{name}") if said.has(f"account.operation.{name}") else name: [
                counts[day] / per for day in days
            ]
            for name, counts in found.items()
        },
        unit="count" if per == 1 else "money",
        stacked=True,
    )
