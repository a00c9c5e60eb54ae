"""The ml service as another process sees it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from foodex.core.errors import FoodexError
from foodex.core.peer import Peer
from foodex.domain.forecasts import Answered, Ask, Forecast, Record
from foodex.domain.models import (
    EvaluationRequest,
    Job,
    JobKind,
    ProductionChange,
    RegisteredModel,
    TrainingRequest,
    Version,
)
from foodex.services.ml import wire

_HERE: Final = "/api/v1/ml"


class MlClient:
    """Implements `ports.ml.Ml` over HTTP."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def models(self) -> tuple[RegisteredModel, ...]:
        """All models, by name."""
        return await self._peer.call("GET", f"{_HERE}/models", type=tuple[RegisteredModel, ...])

    async def model(self, name: str) -> RegisteredModel:
        """One model."""
        return await self._peer.call("GET", _path(name), type=RegisteredModel)

    async def create_model(self, name: str, description: str = "") -> RegisteredModel:
        """Make an empty model."""
        body = {"name": name, "description": description}
        return await self._peer.call("POST", f"{_HERE}/models", type=RegisteredModel, json=body)

    async def delete_model(self, name: str) -> None:
        """Remove a model with all its versions."""
        await self._peer.call("DELETE", _path(name), type=type(None))

    async def versions(self, name: str) -> tuple[Version, ...]:
        """A model's versions, newest first."""
        return await self._peer.call("GET", _path(name, "versions"), type=tuple[Version, ...])

    async def version(self, name: str, version: int | None = None) -> Version:
        """One version; no number means the one in production."""
        path = _path(name, "version") if version is None else _path(name, "versions", version)
        return await self._peer.call("GET", path, type=Version)

    async def delete_version(self, name: str, version: int) -> None:
        """Remove a version and its artefacts."""
        await self._peer.call("DELETE", _path(name, "versions", version), type=type(None))

    async def promote(self, name: str, version: int) -> RegisteredModel:
        """Put a version into production."""
        path = _path(name, "versions", version, "promote")
        return await self._peer.call("POST", path, type=RegisteredModel)

    async def rollback(self, name: str) -> RegisteredModel:
        """Put back the version that was in production before this one."""
        return await self._peer.call("POST", _path(name, "rollback"), type=RegisteredModel)

    async def retire(self, name: str) -> RegisteredModel:
        """Take a model out of production."""
        return await self._peer.call("POST", _path(name, "retire"), type=RegisteredModel)

    async def production_log(self, name: str | None = None) -> tuple[ProductionChange, ...]:
        """What was in production when, newest first."""
        return await self._peer.call(
            "GET", f"{_HERE}/production", type=tuple[ProductionChange, ...], params={"model": name}
        )

    async def start_training(
        self, request: TrainingRequest, *, reference: str | None = None
    ) -> Job:
        """Begin a training."""
        return await self._start("trainings", request, reference)

    async def start_evaluation(
        self, request: EvaluationRequest, *, reference: str | None = None
    ) -> Job:
        """Begin an evaluation."""
        return await self._start("evaluations", request, reference)

    async def _start(
        self, what: str, request: TrainingRequest | EvaluationRequest, reference: str | None
    ) -> Job:
        body, params = msgspec.to_builtins(request), {"reference": reference}
        return await self._peer.call("POST", f"{_HERE}/{what}", type=Job, json=body, params=params)

    async def job(self, job_id: str) -> Job:
        """One job, as far as it is."""
        return await self._peer.call("GET", f"{_HERE}/jobs/{quote(job_id, safe='')}", type=Job)

    async def wait_for_job(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        # Below the peer's own patience, and below what the route allows.
        params = {"wait": min(timeout_seconds, 30.0), "seen": seen}
        path = f"{_HERE}/jobs/{quote(job_id, safe='')}"
        return await self._peer.call("GET", path, type=Job, params=params)

    async def jobs(
        self, *, limit: int = 100, kind: JobKind | None = None, model: str | None = None
    ) -> tuple[Job, ...]:
        """Jobs, newest first; of one kind or for one model, where that is said."""
        params: dict[str, Any] = {"limit": limit}
        params |= {n: v for n, v in (("kind", kind), ("model", model)) if v is not None}
        return await self._peer.call("GET", f"{_HERE}/jobs", type=tuple[Job, ...], params=params)

    async def cancel_job(self, job_id: str) -> Job:
        """Stop a job."""
        return await self._peer.call(
            "POST", f"{_HERE}/jobs/{quote(job_id, safe='')}/cancel", type=Job
        )

    async def answering(self, model: str | None = None) -> Version:
        """The version that answers now."""
        params = {"model": model}
        return await self._peer.call("GET", f"{_HERE}/answering", type=Version, params=params)

    async def kit(self, model: str | None = None) -> AsyncIterator[bytes]:
        """What is needed to answer elsewhere as the version that answers now."""
        async for piece in self._peer.stream("GET", f"{_HERE}/kit", params={"model": model}):
            yield piece

    async def forecast(
        self, order: Mapping[str, Any], *, model: str | None = None, explain: bool = False
    ) -> Forecast:
        """Forecast one order."""
        params = {"model": model, "explain": explain or None}
        return await self._peer.call(
            "POST", f"{_HERE}/forecast", type=Forecast, params=params, json=dict(order)
        )

    async def forecast_many(
        self, orders: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> tuple[Forecast, ...]:
        """Forecast many orders placed now."""
        body = [dict(order) for order in orders]
        return await self._peer.call(
            "POST",
            f"{_HERE}/forecasts",
            type=tuple[Forecast, ...],
            params={"model": model},
            json=body,
        )

    async def answers(self, asks: Sequence[Ask]) -> Sequence[Answered | FoodexError]:
        """Forecast many that wait at once, member by member, and tell what each was made from."""
        found = await self._peer.call(
            "POST", f"{_HERE}/answers", type=wire.Outcomes, json=wire.Asks(asks=tuple(asks))
        )
        return wire.read(found.outcomes)

    async def reproduce(self, record: Record) -> Forecast:
        """Make a forecast again from what it was made from, bit for bit."""
        body = msgspec.to_builtins(record)
        return await self._peer.call("POST", f"{_HERE}/reproductions", type=Forecast, json=body)

    async def observe(
        self, deliveries: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> int:
        """Learn from delivered orders at once; returns how many were new."""
        body = [dict(delivery) for delivery in deliveries]
        found = await self._peer.call(
            "POST", f"{_HERE}/deliveries", type=dict[str, int], params={"model": model}, json=body
        )
        return found["new"]


def _path(name: str, *rest: str | int) -> str:
    parts = ["models", quote(name, safe=""), *map(str, rest)]
    return f"{_HERE}/" + "/".join(parts)
