"""Trainings, evaluations and loads as background jobs: begun where they are done, and followed.

What another service does outlives the process that waits for it. The job's id is the reference
under which it is begun, so an attempt after a crash finds what the last one began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from foodex.core.access import Role
from foodex.core.errors import (
    Conflict,
    FieldProblem,
    FoodexError,
    InvalidInput,
    NotFound,
    of_type,
)
from foodex.domain.jobs import Job as BackgroundJob
from foodex.domain.loads import Load, LoadState, Source
from foodex.domain.models import EvaluationRequest, Job, JobState, TrainingRequest
from foodex.ports.collector import Collector
from foodex.ports.jobs import JobContext, Kind
from foodex.ports.ml import Ml

T = TypeVar("T")

_ROLES: Final = frozenset({Role.ANALYST, Role.ADMIN})
_WAIT_SECONDS: Final = 10.0
_DAY_SECONDS: Final = 86_400.0
_SILENT: Final = "It failed, and did not say why"


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to load: a source by name or in full, a mapping by name or as TOML, the data set."""

    source: str | Source
    mapping: str
    dataset: str


def following_kinds(ml: Ml, collector: Collector) -> Mapping[str, Kind]:
    """The kinds `train`, `evaluate` and `load`."""

    async def train(context: JobContext) -> Mapping[str, Any]:
        request = msgspec.convert(context.job.parameters, TrainingRequest)
        return await _model_job(
            context, ml, await ml.start_training(request, reference=context.job.id)
        )

    async def evaluate(context: JobContext) -> Mapping[str, Any]:
        request = msgspec.convert(context.job.parameters, EvaluationRequest)
        return await _model_job(
            context, ml, await ml.start_evaluation(request, reference=context.job.id)
        )

    async def load(context: JobContext) -> Mapping[str, Any]:
        wanted = msgspec.convert(context.job.parameters, LoadRequest)
        begun = await collector.start_load(
            wanted.source,
            mapping=wanted.mapping,
            dataset=wanted.dataset,
            reference=context.job.id,
        )
        return await _load(context, collector, begun)

    async def stop_model_job(job: BackgroundJob) -> None:
        await stop_in_ml(ml, job.id)

    async def stop_load(job: BackgroundJob) -> None:
        # What was begun under the job's id, if it was.
        wanted = msgspec.convert(job.parameters, LoadRequest)
        begun = await collector.start_load(
            wanted.source, mapping=wanted.mapping, dataset=wanted.dataset, reference=job.id
        )
        if begun.state is LoadState.RUNNING:
            with suppress(Conflict):
                await collector.cancel_load(begun.id)

    kinds = (
        Kind(
            name="train", run=train, check=_checked(TrainingRequest), stop_elsewhere=stop_model_job
        ),
        Kind(
            name="evaluate",
            run=evaluate,
            check=_checked(EvaluationRequest),
            stop_elsewhere=stop_model_job,
        ),
        Kind(name="load", run=load, check=_checked(LoadRequest), stop_elsewhere=stop_load),
    )
    return {kind.name: replace(kind, roles=_ROLES, timeout_seconds=_DAY_SECONDS) for kind in kinds}


async def stop_in_ml(ml: Ml, reference: str) -> None:
    """End a training or an evaluation that was begun under a reference, if one was and goes on."""
    with suppress(NotFound, Conflict):
        await ml.cancel_job(reference)


def _checked(type_: type[Any]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    names = set(type_.__dataclass_fields__ if hasattr(type_, "__dataclass_fields__") else ())

    def check(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        problems = []
        if names:
            unknown = sorted(parameters.keys() - names)
            problems = [FieldProblem(name, "there is no such parameter") for name in unknown]
        try:
            wanted = msgspec.convert(parameters, type_)
        except msgspec.ValidationError as error:
            problems.append(FieldProblem("parameters", str(error)))
        if problems:
            raise InvalidInput("The job cannot be accepted", problems=problems)
        plain: Mapping[str, Any] = msgspec.to_builtins(wanted)
        return plain

    return check


async def _model_job(context: JobContext, ml: Ml, begun: Job) -> Mapping[str, Any]:
    ended = await _follow(
        context,
        begun,
        state=lambda seen: (
            seen.progress,
            seen.message,
            seen.state not in (JobState.WAITING, JobState.RUNNING),
        ),
        wait=lambda seen: ml.wait_for_job(
            seen.id, seen=seen.progress, timeout_seconds=_WAIT_SECONDS
        ),
        cancel=lambda: ml.cancel_job(begun.id),
    )
    if ended.state is JobState.CANCELLED:
        raise Conflict("It was cancelled where it was done")
    if ended.state is not JobState.DONE:
        raise of_type(ended.error_type, ended.error or _SILENT)
    return ended.result or {}


async def _load(context: JobContext, collector: Collector, begun: Load) -> Mapping[str, Any]:
    ended = await _follow(
        context,
        begun,
        state=lambda seen: (
            seen.progress,
            f"{seen.rows_read} rows read",
            seen.state is not LoadState.RUNNING,
        ),
        wait=lambda seen: collector.wait_for_load(
            seen.id, seen=seen.progress, timeout_seconds=_WAIT_SECONDS
        ),
        cancel=lambda: collector.cancel_load(begun.id),
    )
    if ended.state is LoadState.CANCELLED:
        raise Conflict("It was cancelled where it was done")
    if ended.state is LoadState.FAILED:
        raise of_type(ended.error_type, ended.error or _SILENT)
    told: Mapping[str, Any] = msgspec.to_builtins(ended)
    return told


async def _follow(
    context: JobContext,
    begun: T,
    *,
    state: Callable[[T], tuple[float, str, bool]],
    wait: Callable[[T], Awaitable[T]],
    cancel: Callable[[], Awaitable[object]],
) -> T:
    seen = begun
    try:
        while True:
            progress, message, ended = state(seen)
            context.report(progress, message)
            if ended:
                return seen
            seen = await wait(seen)
    except asyncio.CancelledError:
        # A worker that merely stops leaves it to whoever takes the job up again.
        if context.cancelled():
            await _give_up(cancel)
        raise


async def _give_up(cancel: Callable[[], Awaitable[object]]) -> None:
    try:
        await asyncio.shield(cancel())
    except FoodexError:
        # It has ended by itself, or will.
        return
