"""What forecasts must reach on real histories; skipped, loudly, where these are absent."""

import os
from pathlib import Path

import polars as pl
import pytest

from benchmarks.accuracy import coverage, helsinki, helsinki_rows, restaurant, scored
from foodex.eta import TrainingOptions, train


@pytest.fixture(scope="module")
def folder() -> Path:
    found = os.environ.get("FOODEX_TEST_DATA")
    if found is None:
        pytest.skip("FOODEX_TEST_DATA names no folder with real histories")
    return Path(found)


@pytest.fixture(scope="module")
def orders(folder: Path) -> pl.DataFrame:
    return helsinki(folder)


@pytest.mark.parametrize(("without", "must"), [(("own_estimate_minutes",), 7.20), ((), 6.90)])
def test_a_month_of_one_city(orders: pl.DataFrame, without: tuple[str, ...], must: float) -> None:
    rows = helsinki_rows(orders, without, must, "", 1.0)
    assert [row.what for row in rows if not row.reached] == []


def test_one_restaurant_without_dates(folder: Path) -> None:
    deliveries = restaurant(folder)
    model = train(deliveries, TrainingOptions(split_column="split"))
    new = scored(model, deliveries, deliveries["split"] == "validation")
    assert (new["q50"] - new["delivery_minutes"]).abs().mean() <= 1.40  # type: ignore[operator]
    assert 0.88 <= coverage(new) <= 0.92
