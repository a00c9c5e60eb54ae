"""Make a model, or a new version of one from newer orders."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from foodex.core.access import Role
from foodex.core.errors import FieldProblem, InvalidInput, NotFound
from foodex.domain.models import TrainingRequest, Version
from foodex.domain.reports import Better, Column, Figure, Table, Unit, shown
from foodex.domain.scenarios import Outcome
from foodex.ports.ml import Ml
from foodex.services.gateway.scenario import Context, Parameters, Scenario, one_of
from foodex.services.gateway.scenario_steps import exact_of, have_done, name_of

Algorithm = Literal["linear_regression", "random_forest", "gradient_boosting"]
_MOST_FEATURES = 10


class TrainModel(Parameters):
    model: str = Field(
        description="The model to make a version of; a new name makes a new model.",
        examples=["eta"],
        json_schema_extra=one_of("models", or_new=True),
    )
    dataset: str | None = Field(
        None,
        description="The data set to learn from; without it, that of the model's last version.",
        examples=["orders"],
        json_schema_extra=one_of("datasets"),
    )
    algorithm: Algorithm | None = Field(
        None, description="How it learns; without it, as its last version, or gradient boosting."
    )
    until: AwareDatetime | None = Field(
        None,
        description="Learn only from what was delivered before this time.",
        examples=["2026-03-01T00:00:00+02:00"],
    )
    split_column: str | None = Field(
        None, description="Learn only from rows whose value here is `train`.", examples=["split"]
    )
    without: tuple[str, ...] | None = Field(
        None,
        description="Fields it must not see; without it, as its last version.",
        examples=[["own_estimate_minutes"]],
        json_schema_extra=one_of("fields"),
    )
    options: dict[str, Any] = Field(
        {}, description="Options of the algorithm.", examples=[{"num_iterations": 300}]
    )
    seed: int = Field(0, description="The same seed and the same orders give the same model.")
    promote: bool = Field(False, description="Put the version into production when it is made.")


async def run(context: Context[TrainModel]) -> Outcome:
    """Have it trained, and say how good it is beside the version before."""
    asked, ml = context.parameters, context.ports.ml
    before = await _last(ml, asked.model)
    options: Mapping[str, Any] = before.summary.get("options", {}) if before else {}
    dataset = asked.dataset or (before.dataset if before else None)
    if dataset is None:
        problem = FieldProblem("dataset", f"is needed: '{asked.model}' has no version yet")
        raise InvalidInput("The model cannot be trained", problems=[problem])
    algorithm = asked.algorithm or (before.algorithm if before else "gradient_boosting")
    without = asked.without if asked.without is not None else tuple(options.get("without", ()))
    request = TrainingRequest(
        dataset=dataset,
        model=asked.model,
        algorithm=algorithm,
        until=asked.until,
        split_column=asked.split_column,
        without=without,
        parameters=asked.options,
        seed=asked.seed,
        promote=asked.promote,
    )
    found = await have_done(context, "train", _plain(request), to=0.97)
    number = int(found["version"])
    made = await ml.versions(asked.model)
    return _told(
        next(one for one in made if one.version == number),
        next((one for one in made if one.version < number), None),
        exact_of(asked, dataset=dataset, algorithm=algorithm, without=list(without)),
    )


async def _last(ml: Ml, model: str) -> Version | None:
    try:
        versions = await ml.versions(model)
    except NotFound:
        return None
    return versions[0] if versions else None


def _plain(request: TrainingRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__dataclass_fields__}


def _told(version: Version, before: Version | None, exact: dict[str, Any]) -> Outcome:
    summary, metrics = version.summary, dict(version.summary.get("metrics") or {})
    place = "It is in production" if version.in_production else "It is not in production yet"
    sentences = [
        f"{name_of(version)} learned from {summary['rows']:,} orders of '{version.dataset}' "
        f"({version.algorithm}). {place}."
    ]
    held_out = summary["held_out_rows"]
    if held_out and metrics.get("mae_minutes") is not None:
        sentences.append(
            f"On the newest {held_out:,} of them, which it had not seen then, it misses by "
            f"{metrics['mae_minutes']:.1f} minutes on average."
        )
    old = dict(before.summary.get("metrics") or {}) if before else {}
    if before and old.get("mae_minutes") is not None:
        sentences.append(
            f"{name_of(before)} missed by {shown(old['mae_minutes'], Unit.MINUTES)} on orders held "
            "back from it then, which are others; 'compare models' tells which of them is better."
        )
    importance = sorted(summary["importance"].items(), key=lambda item: (-item[1], item[0]))
    return Outcome(
        summary=tuple(sentences),
        figures=tuple(
            Figure(name=name, value=metrics[key], unit=unit, better=better)
            for name, key, unit, better in (
                ("Mean error", "mae_minutes", Unit.MINUTES, Better.LOWER),
                ("Within 5 minutes", "within_5", Unit.SHARE, Better.HIGHER),
                ("Within 10 minutes", "within_10", Unit.SHARE, Better.HIGHER),
                ("In the 90 % interval", "coverage_90", Unit.SHARE, Better.NEITHER),
            )
            if metrics.get(key) is not None
        ),
        tables=(
            Table(
                title="What it goes by most",
                columns=(Column(title="Feature"), Column(title="Share", unit=Unit.SHARE)),
                rows=tuple(importance[:_MOST_FEATURES]),
            ),
        ),
        exact=exact,
        facts={
            "model": version.model,
            "version": version.version,
            "in_production": version.in_production,
            "data_hash": summary.get("data_hash"),
            "metrics": metrics,
        },
    )


SCENARIO = Scenario(
    name="train-model",
    title="Train or refresh a model",
    purpose="Make a model from past orders, or a new version of one from newer orders.",
    parameters=TrainModel,
    run=run,
    roles=frozenset({Role.ANALYST, Role.ADMIN}),
    timeout_seconds=86_400.0,
)
