"""What the ml service does for the others."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from foodex.core.errors import FoodexError
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


class Ml(Protocol):
    """The registry of models, the jobs that make them, and the forecasts they give."""

    async def models(self) -> tuple[RegisteredModel, ...]:
        """All models, by name."""
        ...

    async def model(self, name: str) -> RegisteredModel:
        """One model; `NotFound`, with close names, if there is none."""
        ...

    async def create_model(self, name: str, description: str = "") -> RegisteredModel:
        """Make an empty model; training makes one by itself where it is missing."""
        ...

    async def delete_model(self, name: str) -> None:
        """Remove a model with all its versions; `Conflict` while one is in production.

        `retire` takes it out of production first.
        """
        ...

    async def versions(self, name: str) -> tuple[Version, ...]:
        """A model's versions, newest first."""
        ...

    async def version(self, name: str, version: int | None = None) -> Version:
        """One version with its whole summary; no number means the one in production."""
        ...

    async def delete_version(self, name: str, version: int) -> None:
        """Remove a version and its artefacts; `Conflict` while it is in production."""
        ...

    async def promote(self, name: str, version: int) -> RegisteredModel:
        """Put a version into production: loaded and warm before the old one is let go."""
        ...

    async def rollback(self, name: str) -> RegisteredModel:
        """Put back the version that was in production before this one."""
        ...

    async def retire(self, name: str) -> RegisteredModel:
        """Take a model out of production; `Conflict` if it is not in production."""
        ...

    async def production_log(self, name: str | None = None) -> tuple[ProductionChange, ...]:
        """What was in production when, newest first."""
        ...

    async def start_training(
        self, request: TrainingRequest, *, reference: str | None = None
    ) -> Job:
        """Begin a training in a process of its own.

        A `reference` makes this harmless to repeat: it becomes the job's id, and used again it
        gives the job that there is.
        """
        ...

    async def start_evaluation(
        self, request: EvaluationRequest, *, reference: str | None = None
    ) -> Job:
        """Begin an evaluation in a process of its own; its result is the evaluation.

        `reference` as in `start_training`.
        """
        ...

    async def job(self, job_id: str) -> Job:
        """One job, as far as it is."""
        ...

    async def wait_for_job(self, job_id: str, *, seen: float, timeout_seconds: float) -> Job:
        """The job once its progress has passed `seen` or it ended, at most after the timeout."""
        ...

    async def jobs(
        self, *, limit: int = 100, kind: JobKind | None = None, model: str | None = None
    ) -> tuple[Job, ...]:
        """Jobs, newest first; of one kind or for one model, where that is said."""
        ...

    async def cancel_job(self, job_id: str) -> Job:
        """Stop a job; nothing of it stays."""
        ...

    async def answering(self, model: str | None = None) -> Version:
        """The version that answers now, of the model named or else of the one promoted last.

        `Conflict` where none is in production, `Unavailable` where it cannot be loaded.
        """
        ...

    def kit(self, model: str | None = None) -> AsyncIterator[bytes]:
        """All that is needed to answer elsewhere as the version that answers now would.

        A tar file of the version's files, its recent history and the promise policies, in pieces;
        raises as `answering` does.
        """
        ...

    async def forecast(
        self, order: Mapping[str, Any], *, model: str | None = None, explain: bool = False
    ) -> Forecast:
        """Forecast one order; always answers (the ladder), unless the order itself is absurd."""
        ...

    async def forecast_many(
        self, orders: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> tuple[Forecast, ...]:
        """Forecast many orders placed now; `InvalidInput` names field and row."""
        ...

    async def answers(self, asks: Sequence[Ask]) -> Sequence[Answered | FoodexError]:
        """Forecast many that wait at once, and tell what each was made from; aligned with `asks`.

        Each fares as it would alone in `forecast`: what is wrong with one is its error, and the
        others get their forecasts.
        """
        ...

    async def reproduce(self, record: Record) -> Forecast:
        """Make a forecast again from what it was made from, bit for bit.

        `NotFound` where its model or version has been removed, `InvalidInput` for a record that
        does not fit it.
        """
        ...

    async def observe(
        self, deliveries: Sequence[Mapping[str, Any]], *, model: str | None = None
    ) -> int:
        """Learn from delivered orders at once; returns how many were new. Durable on return."""
        ...
