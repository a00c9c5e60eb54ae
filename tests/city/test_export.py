import io

import polars as pl
import pytest

from foodex.city import EXPORT_TIME_FORMAT, EXPORT_ZONE, MISSING, export_as_company_csv


@pytest.fixture(scope="module")
def exported(history: pl.DataFrame) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(export_as_company_csv(history)), null_values=MISSING, infer_schema_length=None
    )


def test_it_is_the_history_in_other_words(exported: pl.DataFrame, history: pl.DataFrame) -> None:
    assert exported.height == history.height
    assert not set(exported.columns) & set(history.columns)
    placed = exported["Ordered"].str.to_datetime(EXPORT_TIME_FORMAT)
    assert (
        placed.dt.replace_time_zone(EXPORT_ZONE)
        .dt.convert_time_zone("UTC")
        .cast(pl.Datetime("us", "UTC"))
        == history["placed_at"]
    ).all()
    assert (exported["Distance (m)"] - history["distance_km"] * 1000).abs().max() < 1
    assert (exported["Total Duration (s)"] / 60 - history["delivery_minutes"]).abs().max() < 0.01
    assert (exported["Basket EUR"] * 100 - history["subtotal_minor"]).abs().max() < 1e-6


def test_something_is_missing_now_and_then(exported: pl.DataFrame) -> None:
    for name in ("Food Ready", "Rider ID", "Temp (C)"):
        assert 0 < exported[name].null_count() < 0.1 * exported.height, name
    for name in ("Order No", "Ordered", "Handed Over", "Total Duration (s)"):
        assert exported[name].null_count() == 0, name


def test_it_says_that_it_is_simulated(exported: pl.DataFrame) -> None:
    assert exported["Data Source"].str.contains("simulated").all()
    assert exported["Order No"].str.starts_with("sim-").all()


def test_it_is_reproducible(history: pl.DataFrame) -> None:
    assert export_as_company_csv(history) == export_as_company_csv(history)
