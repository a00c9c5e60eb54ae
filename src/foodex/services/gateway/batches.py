"""Batch predictions at the public door: send a file of orders, and ask for their forecasts."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query, Request

from foodex.core.access import Role, acting_as, allow, current_principal
from foodex.core.http import STREAMED
from foodex.domain.jobs import Job, JobQuote, JobRequest
from foodex.domain.loads import Format
from foodex.domain.people import Scope
from foodex.ports.jobs import Jobs
from foodex.services.gateway.kinds.predicting import NAME
from foodex.services.gateway.order_files import OrderFile, OrderFiles

_ASK: Final = [allow(*Role, scope=Scope.BATCHES)]
_EXAMPLE: Final[dict[str, Any]] = {"file": "0123456789abcdef-orders.csv", "output": "csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What to forecast: a file that was sent, how its columns are to be read, by which model.

    `mapping` is a mapping's name or TOML; without it the columns are called as the fields of the
    delivery record. Without a `model`, the one promoted last answers.
    """

    file: str
    mapping: str | None = None
    model: str | None = None
    output: Format = Format.CSV


def router(files: OrderFiles, jobs: Jobs) -> APIRouter:
    """The routes over both."""
    routes = APIRouter(prefix="/predictions", tags=["predictions"])

    @routes.post(
        "/files",
        dependencies=_ASK,
        status_code=201,
        summary="Send a file of orders",
        max_body_size=STREAMED,
    )
    async def upload(
        request: Request,
        name: Annotated[str, Query(description="The file's name.", examples=["orders.csv"])] = "",
    ) -> OrderFile:
        """CSV, NDJSON or Parquet, the texts packed with gzip or zstd or not.

        Orders that do not say when they were placed are placed when they are forecast.
        """
        return await files.put(name, request.stream())

    @routes.post(
        "/batches",
        dependencies=_ASK,
        status_code=202,
        summary="Have the orders of a file forecast",
    )
    async def predict(
        batch: Annotated[NewBatch, Body(examples=[_EXAMPLE])],
        idempotency_key: Annotated[
            str | None, Header(description="Under it, the same is asked for once.")
        ] = None,
    ) -> Job:
        """A job, whose file is the file that was sent with the forecasts beside each order.

        Clients pay for each order that is forecast. The price of all rows is set aside at once,
        and what was not forecast is given back; where the balance does not cover it, nothing is
        begun (402).
        """
        wanted = JobRequest(kind=NAME, parameters=asdict(batch), key=idempotency_key)
        # The scope was seen to here; beyond, a key acts as its person.
        with acting_as(replace(current_principal(), scopes=None)):
            return await jobs.accept(wanted)

    @routes.post("/quotes", dependencies=_ASK, summary="What forecasting a file would cost")
    async def quote(batch: Annotated[NewBatch, Body(examples=[_EXAMPLE])]) -> JobQuote:
        """Its orders and their price; a file that cannot be used is refused as it would be then.

        Nothing is begun and nothing is set aside.
        """
        with acting_as(replace(current_principal(), scopes=None)):
            return await jobs.quote(JobRequest(kind=NAME, parameters=asdict(batch)))

    return routes
