"""The version in production against what the company had promised."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from foodex.domain.models import Job, JobKind, JobState, Version
from foodex.domain.overview import Against, JudgedBy, Told
from foodex.ports.ml import Ml

_OWN: Final = "own_estimate"
_LOOKED_AT: Final = 50
"""Evaluations, newest first, among which the version's own is looked for."""

Facts = Mapping[str, Any]


async def against_of(ml: Ml, version: Version) -> Against | None:
    """By the newest evaluation of the version, or else by what its training found.

    None where neither says how far it misses.
    """
    jobs = await ml.jobs(limit=_LOOKED_AT, kind=JobKind.EVALUATE, model=version.model)
    for job in jobs:
        if _is_of(job, version) and job.result:
            return _by_evaluation(version, job.result)
    return _by_training(version)


def _is_of(job: Job, version: Version) -> bool:
    found = job.result or {}
    # Another policy was tried on it too, but its own figures are those of the policy in force.
    return job.state is JobState.DONE and found.get("version") == version.version


def _by_evaluation(version: Version, found: Facts) -> Against:
    own = (found.get("baselines") or {}).get(_OWN)
    errors, own_errors = found.get("errors") or {}, found.get("own_errors") or {}
    return Against(
        model=version.model,
        version=version.version,
        dataset=str(found.get("dataset") or version.dataset),
        judged_by=JudgedBy.EVALUATION,
        orders=int(found["n"]),
        forecast=_told(found, errors),
        company=_told(own, own_errors) if own else None,
        from_minutes=tuple(errors.get("from_minutes") or ()),
        since=_moment(found.get("first_placed_at")),
        until=_moment(found.get("last_placed_at")),
    )


def _by_training(version: Version) -> Against | None:
    summary = version.summary
    metrics = summary.get("metrics") or {}
    if metrics.get("mae_minutes") is None:
        return None
    own = (summary.get("baselines") or {}).get(_OWN)
    errors = summary.get("errors") or {}
    model_errors = errors.get("model") or {}
    return Against(
        model=version.model,
        version=version.version,
        dataset=version.dataset,
        judged_by=JudgedBy.TRAINING,
        orders=int(metrics["n"]),
        forecast=_told(metrics, model_errors),
        company=_told(own, errors.get(_OWN) or {}) if own else None,
        from_minutes=tuple(model_errors.get("from_minutes") or ()),
    )


def _told(figures: Facts, errors: Facts) -> Told:
    return Told(
        mae_minutes=figures["mae_minutes"],
        bias_minutes=figures["bias_minutes"],
        on_time_share=figures.get("on_time_share"),
        errors=tuple(errors.get("orders") or ()),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
