"""Requests for trainings and evaluations, checked against the data set before a job is made."""

import difflib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import NAME_PATTERN, Dataset
from foodex.domain.deliveries import FIELD
from foodex.domain.models import EvaluationRequest, TrainingRequest
from foodex.eta.training import ALGORITHMS, FEWEST_ORDERS

_NAME: Final = re.compile(NAME_PATTERN)


def check_name(name: str, field: str = "name") -> None:
    """Raise `InvalidInput` for what no model may be called."""
    if not _NAME.fullmatch(name):
        why = "is no name: a lower-case letter, then up to 47 letters, digits or underscores"
        raise InvalidInput(
            f"A model cannot be called '{name}'", problems=[FieldProblem(field, why)]
        )


def check_training(request: TrainingRequest, dataset: Dataset) -> None:
    """Raise `InvalidInput` that names every field with which the training could not end well."""
    check_name(request.model, "model")
    columns = {column.name for column in dataset.columns}
    problems = []
    if request.algorithm not in ALGORITHMS:
        why = f"'{request.algorithm}' is none of {', '.join(ALGORITHMS)}"
        problems.append(FieldProblem("algorithm", why))
    if not {"delivery_minutes", "delivered_at"} & columns:
        problems.append(FieldProblem("dataset", "says of no order how long it took"))
    elif dataset.rows < FEWEST_ORDERS:
        why = f"has {dataset.rows} rows; at least {FEWEST_ORDERS} delivered orders are needed"
        problems.append(FieldProblem("dataset", why))
    if request.until is not None and request.split_column is not None:
        problems.append(FieldProblem("split_column", "cannot be given together with `until`"))
    if request.until is not None:
        problems += _check_time("until", request.until, dataset)
    if request.split_column is not None and request.split_column not in columns:
        problems.append(
            FieldProblem("split_column", _no_column(request.split_column, dataset, columns))
        )
    for name in request.without:
        # A field of the record that this data set happens to lack is not seen anyway.
        if name not in columns and name not in FIELD:
            problems.append(FieldProblem("without", _no_column(name, dataset, columns)))
    if problems:
        raise InvalidInput("The training cannot start", problems=problems)


def check_evaluation(request: EvaluationRequest, dataset: Dataset) -> None:
    """Raise `InvalidInput` that names every field with which the evaluation could not end well."""
    problems = []
    if not {"delivery_minutes", "delivered_at"} & {column.name for column in dataset.columns}:
        problems.append(FieldProblem("dataset", "says of no order how long it took"))
    elif not dataset.rows:
        problems.append(FieldProblem("dataset", "has no rows"))
    if request.since is not None:
        problems += _check_time("since", request.since, dataset)
    if request.until is not None:
        problems += _check_end(request.until, request.since, dataset)
    if problems:
        raise InvalidInput("The evaluation cannot start", problems=problems)


def _check_end(until: datetime, since: datetime | None, dataset: Dataset) -> list[FieldProblem]:
    if until.tzinfo is None:
        return [FieldProblem("until", "has no time zone; write it with an offset, or Z for UTC")]
    if dataset.first_at is None:
        return [FieldProblem("until", f"the orders of '{dataset.name}' have no `placed_at`")]
    if since is not None and since.tzinfo is not None and until <= since:
        return [FieldProblem("until", "is not after `since`")]
    return []


def _check_time(field: str, time: datetime, dataset: Dataset) -> list[FieldProblem]:
    if time.tzinfo is None:
        return [FieldProblem(field, "has no time zone; write it with an offset, or Z for UTC")]
    if dataset.first_at is None or dataset.last_at is None:
        return [FieldProblem(field, f"the orders of '{dataset.name}' have no `placed_at`")]
    if not dataset.first_at < time <= dataset.last_at:
        why = (
            f"is not within the period of '{dataset.name}', {dataset.first_at.isoformat()} "
            f"to {dataset.last_at.isoformat()}"
        )
        return [FieldProblem(field, why)]
    return []


def _no_column(name: str, dataset: Dataset, columns: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(columns), 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"'{dataset.name}' has no column '{name}'{hint}"
