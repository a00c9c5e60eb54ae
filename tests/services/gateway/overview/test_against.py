"""The version in production against the company, and the streets below."""

import gzip
import json
from types import SimpleNamespace
from typing import Any, cast

from foodex.domain.models import JobState, Version
from foodex.domain.overview import JudgedBy, Spot
from foodex.ports.ml import Ml
from foodex.services.gateway.overview.against import against_of
from foodex.services.gateway.overview.streets import lie_on_streets, street_map

FIGURES: dict[str, Any] = {"n": 9, "mae_minutes": 4.0, "bias_minutes": 1.0}
TRAINED: dict[str, Any] = {
    "metrics": FIGURES | {"on_time_share": 0.8},
    "baselines": {"own_estimate": FIGURES | {"mae_minutes": 8.0, "on_time_share": 0.5}},
    "errors": {"model": {"from_minutes": [-2, 0], "orders": [4, 5]}},
}


def version(summary: dict[str, Any]) -> Version:
    told = SimpleNamespace(model="eta", version=2, dataset="orders", summary=summary)
    return cast("Version", told)


class Evaluations:
    """An ml service with these evaluations, newest first."""

    def __init__(self, *results: dict[str, Any]) -> None:
        self._jobs = [SimpleNamespace(state=JobState.DONE, result=one) for one in results]

    async def jobs(self, **_: Any) -> Any:
        return self._jobs


async def test_an_evaluation_of_the_version_counts_before_its_training() -> None:
    other = {**FIGURES, "version": 1, "mae_minutes": 1.0}
    own = {
        **FIGURES,
        "version": 2,
        "dataset": "later",
        "mae_minutes": 3.0,
        "first_placed_at": "2026-03-01T10:00:00+00:00",
    }
    found = await against_of(cast("Ml", Evaluations(other, own)), version(TRAINED))
    assert found
    assert (found.judged_by, found.dataset) == (JudgedBy.EVALUATION, "later")
    assert found.forecast.mae_minutes == 3.0
    assert found.company is None
    assert found.since


async def test_without_one_it_is_judged_by_its_training() -> None:
    found = await against_of(cast("Ml", Evaluations()), version(TRAINED))
    assert found
    assert found.judged_by is JudgedBy.TRAINING
    assert found.company
    assert (found.forecast.on_time_share, found.company.on_time_share) == (0.8, 0.5)
    assert (found.from_minutes, found.forecast.errors) == ((-2, 0), (4, 5))
    assert await against_of(cast("Ml", Evaluations()), version({})) is None


def test_streets_are_small_and_named_with_whom_to_thank() -> None:
    found = street_map()
    told = json.loads(found.body)
    assert "OpenStreetMap" in told["attribution"]
    assert {feature["properties"]["kind"] for feature in told["features"]} >= {"main", "foot"}
    assert gzip.decompress(found.compressed) == found.body
    assert len(found.compressed) < 80_000


def test_points_lie_on_the_streets_or_elsewhere() -> None:
    here = Spot(name="a", lat=60.17, lon=24.94, orders=1)
    there = Spot(name="b", lat=52.5, lon=13.4, orders=1)
    assert lie_on_streets([here])
    assert not lie_on_streets([here, there])
    assert not lie_on_streets([])
