"""The ml service over HTTP."""

from base64 import b64decode
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import StreamingResponse

from foodex.core.access import Role, allow
from foodex.core.errors import BadRequest, FieldProblem, InvalidInput
from foodex.core.following import Seen, Wait
from foodex.core.streams import begun
from foodex.domain.forecasts import Ask, Forecast, Record
from foodex.domain.models import (
    EvaluationRequest,
    Job,
    JobKind,
    ProductionChange,
    RegisteredModel,
    TrainingRequest,
    Version,
)
from foodex.domain.people import Scope
from foodex.ports.ml import Ml
from foodex.services.ml import wire
from foodex.services.ml.examples import DELIVERY, EVALUATION, ORDER, TRAINING

_READ: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
# Nobody pays for these, so clients ask the public door instead.
MAY_FORECAST: Final = frozenset({Role.OPERATOR, Role.ANALYST, Role.ADMIN})
"""Who is given forecasts; clients buy theirs at the gateway."""
_FORECAST: Final = [allow(*MAY_FORECAST, scope=Scope.ETA)]
_OBSERVE: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
_SYSTEM: Final = [allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)]
"""What makes a price possible is for the system itself and its staff, not for who pays."""
_CHANGE: Final = [allow(Role.ANALYST, Role.ADMIN)]

Reference = Annotated[
    str | None,
    Query(description="Makes the request harmless to repeat: it gives the job there is."),
]
Model = Annotated[
    str | None, Query(description="Which model answers; without it, the one promoted last.")
]
Order = dict[str, Any]
_read_asks: Final = msgspec.json.Decoder(wire.Asks).decode


def router(service: Ml) -> APIRouter:
    """The routes, over the service itself or its client."""
    routes = APIRouter()
    _add_models(routes, service)
    _add_jobs(routes, service)
    _add_forecasts(routes, service)
    _add_kits(routes, service)
    return routes


def _add_kits(routes: APIRouter, service: Ml) -> None:
    @routes.get("/answering", dependencies=_READ, summary="The version that answers now")
    async def answering(model: Model = None) -> Version:
        return await service.answering(model)

    @routes.get(
        "/kit",
        dependencies=_CHANGE,
        response_class=StreamingResponse,
        summary="What is needed to answer elsewhere as the version that answers now: a tar file",
    )
    async def kit(model: Model = None) -> StreamingResponse:
        headers = {"content-disposition": 'attachment; filename="kit.tar"'}
        pieces = await begun(service.kit(model))
        return StreamingResponse(pieces, media_type="application/x-tar", headers=headers)


def _add_models(routes: APIRouter, service: Ml) -> None:
    @routes.get("/models", dependencies=_READ, summary="All models")
    async def models() -> tuple[RegisteredModel, ...]:
        return await service.models()

    @routes.post("/models", dependencies=_CHANGE, status_code=201, summary="Make an empty model")
    async def create_model(
        name: Annotated[str, Body(examples=["eta"])], description: Annotated[str, Body()] = ""
    ) -> RegisteredModel:
        return await service.create_model(name, description)

    @routes.get("/models/{name}", dependencies=_READ, summary="One model")
    async def model(name: str) -> RegisteredModel:
        return await service.model(name)

    @routes.delete(
        "/models/{name}", dependencies=_CHANGE, status_code=204, summary="Remove a model"
    )
    async def delete_model(name: str) -> None:
        await service.delete_model(name)

    @routes.get("/models/{name}/versions", dependencies=_READ, summary="Versions, newest first")
    async def versions(name: str) -> tuple[Version, ...]:
        return await service.versions(name)

    @routes.get("/models/{name}/version", dependencies=_READ, summary="The version in production")
    async def production_version(name: str) -> Version:
        return await service.version(name)

    @routes.get(
        "/models/{name}/versions/{version}",
        dependencies=_READ,
        summary="One version with its whole summary",
    )
    async def version(name: str, version: int) -> Version:
        return await service.version(name, version)

    @routes.delete(
        "/models/{name}/versions/{version}",
        dependencies=_CHANGE,
        status_code=204,
        summary="Remove a version",
    )
    async def delete_version(name: str, version: int) -> None:
        await service.delete_version(name, version)

    @routes.post(
        "/models/{name}/versions/{version}/promote",
        dependencies=_CHANGE,
        summary="Put a version into production",
    )
    async def promote(name: str, version: int) -> RegisteredModel:
        return await service.promote(name, version)

    @routes.post(
        "/models/{name}/rollback",
        dependencies=_CHANGE,
        summary="Put back the version that was in production before",
    )
    async def rollback(name: str) -> RegisteredModel:
        return await service.rollback(name)

    @routes.post(
        "/models/{name}/retire", dependencies=_CHANGE, summary="Take a model out of production"
    )
    async def retire(name: str) -> RegisteredModel:
        return await service.retire(name)

    @routes.get("/production", dependencies=_READ, summary="What was in production when")
    async def production_log(
        model: Annotated[str | None, Query(description="Of this model only.")] = None,
    ) -> tuple[ProductionChange, ...]:
        return await service.production_log(model)


def _add_jobs(routes: APIRouter, service: Ml) -> None:
    @routes.post("/trainings", dependencies=_CHANGE, status_code=202, summary="Begin a training")
    async def start_training(
        request: Annotated[TrainingRequest, Body(examples=[TRAINING])],
        reference: Reference = None,
    ) -> Job:
        return await service.start_training(request, reference=reference)

    @routes.post(
        "/evaluations", dependencies=_CHANGE, status_code=202, summary="Begin an evaluation"
    )
    async def start_evaluation(
        request: Annotated[EvaluationRequest, Body(examples=[EVALUATION])],
        reference: Reference = None,
    ) -> Job:
        return await service.start_evaluation(request, reference=reference)

    @routes.get("/jobs", dependencies=_READ, summary="Trainings and evaluations, newest first")
    async def jobs(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        kind: Annotated[JobKind | None, Query(description="Of this kind only.")] = None,
        model: Annotated[str | None, Query(description="For this model only.")] = None,
    ) -> tuple[Job, ...]:
        return await service.jobs(limit=limit, kind=kind, model=model)

    @routes.get("/jobs/{job_id}", dependencies=_READ, summary="One job, as far as it is")
    async def job(
        job_id: str,
        wait: Wait = 0.0,
        seen: Seen = -1.0,
    ) -> Job:
        if not wait:
            return await service.job(job_id)
        return await service.wait_for_job(job_id, seen=seen, timeout_seconds=wait)

    @routes.post("/jobs/{job_id}/cancel", dependencies=_CHANGE, summary="Stop a job")
    async def cancel_job(job_id: str) -> Job:
        return await service.cancel_job(job_id)


def _add_forecasts(routes: APIRouter, service: Ml) -> None:
    @routes.post("/forecast", dependencies=_FORECAST, summary="Forecast one order")
    async def forecast(
        order: Annotated[Order, Body(examples=[ORDER])],
        model: Model = None,
        explain: Annotated[
            bool, Query(description="Tell what each factor added, in minutes.")
        ] = False,
    ) -> Forecast:
        return await service.forecast(order, model=model, explain=explain)

    @routes.post("/forecasts", dependencies=_FORECAST, summary="Forecast many orders placed now")
    async def forecast_many(
        orders: Annotated[list[Order], Body(examples=[[ORDER]])], model: Model = None
    ) -> tuple[Forecast, ...]:
        return await service.forecast_many(orders, model=model)

    @routes.post(
        "/answers",
        dependencies=_SYSTEM,
        summary="Forecast orders one by one, and tell what each forecast was made from",
        response_model=None,
        responses={200: {"description": "The outcome of each order: `answered` or `problem`"}},
    )
    async def answers(body: Request) -> Response:
        asks = _asks(await body.body())
        return Response(wire.written(await service.answers(asks)), media_type="application/json")

    @routes.post(
        "/reproductions",
        dependencies=_SYSTEM,
        summary="Make a forecast again from what it was made from",
    )
    async def reproduce(
        model: Annotated[str | None, Body()],
        version: Annotated[int | None, Body()],
        features: Annotated[str | None, Body(description="Base64.")],
        inputs: Annotated[str, Body(description="Base64.")],
    ) -> Forecast:
        record = Record(
            model=model,
            version=version,
            features=None if features is None else _bytes("features", features),
            inputs=_bytes("inputs", inputs),
        )
        return await service.reproduce(record)

    @routes.post(
        "/deliveries", dependencies=_OBSERVE, summary="Learn from delivered orders at once"
    )
    async def observe(
        deliveries: Annotated[list[Order], Body(examples=[[DELIVERY]])], model: Model = None
    ) -> dict[str, int]:
        return {"new": await service.observe(deliveries, model=model)}


def _asks(body: bytes) -> tuple[Ask, ...]:
    try:
        return _read_asks(body).asks
    except msgspec.ValidationError as error:
        problem = FieldProblem("asks", str(error))
        raise InvalidInput("The orders cannot be used", problems=[problem]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None


def _bytes(field: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        problem = FieldProblem(field, "is no base64")
        raise InvalidInput("The record cannot be used", problems=[problem]) from None
