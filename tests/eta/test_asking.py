"""A frame of orders asked about at once is answered as each order alone, bit for bit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.forecasts import Source
from foodex.eta import Model
from foodex.eta.asking import SOURCES, Asking
from foodex.eta.state import LiveState
from tests.eta.test_batching import NOW, NUMBERS, PLACES, TEXTS, dated, drawn, when, without_dates

__all__ = ["dated", "without_dates"]

numbers = st.one_of(st.floats(0, 24), st.none())
asked_orders = st.lists(drawn(numbers, when), min_size=1, max_size=40)


def frame_of(asked: Sequence[dict[str, Any]]) -> pl.DataFrame:
    schema: dict[str, Any] = dict.fromkeys((*NUMBERS, *PLACES), pl.Float64())
    schema |= dict.fromkeys(("spice", "dish_0", "dish_1", "dish_2", "dish_3"), pl.Float64())
    schema |= dict.fromkeys(TEXTS, pl.String())
    schema["placed_at"] = pl.Datetime("us", "UTC")
    given = {name for order in asked for name in order}
    columns = {name: dtype for name, dtype in schema.items() if name in given}
    rows = [[order.get(name) for name in columns] for order in asked]
    return pl.DataFrame(rows, schema=columns, orient="row") if columns else pl.DataFrame()


def check(model: Model, state: LiveState, asked: Sequence[dict[str, Any]]) -> None:
    frame = frame_of(asked)
    if not len(frame):
        return
    answered = Asking(model, state).answer(frame, NOW)
    for row, order in enumerate(frame.to_dicts()):
        placed = {"placed_at": NOW} | {k: v for k, v in order.items() if v is not None}
        alone = model.forecast(placed, state, now=NOW)
        assert tuple(answered.quantiles[row].tolist()) == alone.quantiles_minutes, order
        assert SOURCES[answered.sources[row]] is alone.source, order


@settings(deadline=None, max_examples=60)
@given(asked=asked_orders)
def test_with_dates(dated: tuple[Model, LiveState], asked: list[dict[str, Any]]) -> None:
    check(*dated, asked)


@settings(deadline=None, max_examples=40)
@given(asked=asked_orders)
def test_without_dates(without_dates: tuple[Model, LiveState], asked: list[dict[str, Any]]) -> None:
    check(*without_dates, asked)


def test_orders_of_one_file_do_not_know_of_one_another(dated: tuple[Model, LiveState]) -> None:
    model, state = dated
    order = {
        "store_id": "s1",
        "city": "Helsinki",
        "placed_at": NOW,
        "store_lat": 60.16,
        "store_lon": 24.91,
        "customer_lat": 60.17,
        "customer_lon": 24.92,
        "items": 3.0,
    }
    crowd = frame_of([order] * 500)
    alone = Asking(model, state).answer(frame_of([order]), NOW)
    together = Asking(model, state).answer(crowd, NOW)
    assert np.unique(together.quantiles, axis=0).shape[0] == 1
    assert together.quantiles[0].tobytes() == alone.quantiles[0].tobytes()


def test_blocks_do_not_show(dated: tuple[Model, LiveState], monkeypatch: Any) -> None:
    model, state = dated
    asked = [
        {
            "store_id": f"s{n % 14}",
            "store_lat": 60.1 + n % 7 * 0.01,
            "store_lon": 24.9,
            "customer_lat": 60.2,
            "customer_lon": 24.9 + n % 5 * 0.01,
            "items": float(n % 6) if n % 11 else None,
            "placed_at": NOW - timedelta(minutes=n) if n % 3 else None,
        }
        for n in range(600)
    ]
    whole = Asking(model, state).answer(frame_of(asked), NOW)
    monkeypatch.setattr("foodex.eta.asking.BLOCK_ROWS", 64)
    parts = Asking(model, state).answer(frame_of(asked), NOW)
    assert whole.quantiles.tobytes() == parts.quantiles.tobytes()


def test_too_little_is_answered_by_the_ladder(dated: tuple[Model, LiveState]) -> None:
    answered = Asking(*dated).answer(frame_of([{"distance_km": 2.0}, {"items": 2.0}]), NOW)
    assert {SOURCES[code] for code in answered.sources.tolist()} <= {
        Source.HISTORY,
        Source.DISTANCE,
        Source.CONSTANT,
    }
    assert np.isfinite(answered.quantiles).all()


def test_a_column_of_the_wrong_kind(dated: tuple[Model, LiveState]) -> None:
    with pytest.raises(InvalidInput, match="items"):
        Asking(*dated).answer(pl.DataFrame({"items": ["three"]}), NOW)
