"""Orders encoded and decoded together are what they are alone, bit for bit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.forecasts import Source
from foodex.eta import Model, TrainingOptions, train
from foodex.eta.batching import Batch, Batcher
from foodex.eta.model import Encoded
from foodex.eta.state import LiveState
from tests.eta.orders import START, orders, undated

NOW = START + timedelta(days=21)
QUICK = {"num_iterations": 30}


@pytest.fixture(scope="module")
def dated() -> tuple[Model, LiveState]:
    history = orders().with_columns(
        city=np.where(np.arange(1200) % 3 == 0, "Espoo", "Helsinki"),
        spice=np.arange(1200.0) % 4,
        mood=np.where(np.arange(1200) % 2 == 0, "good", "bad"),
    )
    options = TrainingOptions(until=START + timedelta(days=15), parameters=QUICK, threads=1)
    model = train(history, options)
    state = model.state_of(history)
    # Some lie on the very edge of a window that ends now.
    late = [
        {
            "order_id": f"late-{number}",
            "store_id": f"s{number % 14}",
            "city": "Helsinki",
            "placed_at": START + timedelta(days=20, minutes=10 * number),
            "delivery_minutes": 20.0 + number % 3 * 10,
        }
        for number in range(150)
    ]
    model.observe(state, late)
    return model, state


@pytest.fixture(scope="module")
def without_dates() -> tuple[Model, LiveState]:
    frame = undated().with_columns(dish_3=np.arange(600.0) % 3)
    options = TrainingOptions(split_column="part", parameters=QUICK, threads=1)
    model = train(frame, options)
    return model, model.start_state()


NUMBERS = ("distance_km", "items", "precipitation_mm", "own_estimate_minutes", "temperature_c")
PLACES = ("store_lat", "store_lon", "customer_lat", "customer_lon", "hour_of_day", "day_of_week")
EXTRAS = ("spice", "dish_0", "dish_1", "dish_2", "dish_3")
TEXTS = {
    "store_id": ("s1", "s2", "s7", "unknown", ""),
    "city": ("Helsinki", "Espoo", "Vantaa"),
    "vehicle": ("car", "bicycle", "rocket"),
    "mood": ("good", "ugly"),
    "order_id": ("1", "2"),
}

number = st.one_of(
    st.floats(0, 24),
    st.integers(0, 6),
    st.sampled_from([None, 0, -0.0, float("nan")]),
)
odd = st.one_of(
    number,
    st.sampled_from(
        [True, False, "7", b"7", "ten", np.float64(2.5), np.int64(3), 10**400, 1j, [], NOW]
    ),
)
when = st.one_of(
    st.sampled_from([None, NOW, NOW - timedelta(minutes=7)]),
    st.integers(-30 * 86_400, 10 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)


def drawn(values: Any, moments: Any) -> Any:
    return st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys((*NUMBERS, *PLACES, *EXTRAS), values),
            **{name: st.sampled_from([*texts, None]) for name, texts in TEXTS.items()},
            "placed_at": moments,
        },
    )


plain = st.lists(drawn(number, when), min_size=1, max_size=40)
strange = st.lists(
    st.one_of(
        drawn(number, when),
        drawn(odd, st.one_of(when, st.sampled_from(["now", NOW.replace(tzinfo=None), 5]))),
        st.dictionaries(
            st.sampled_from(["mood", "vehicle", "part", "new", "delivered_at", "courier_id"]), odd
        ),
    ),
    min_size=1,
    max_size=12,
)


def alone(
    model: Model, state: LiveState, asked: Sequence[dict[str, Any]]
) -> list[Encoded | InvalidInput]:
    found: list[Encoded | InvalidInput] = []
    for order in asked:
        try:
            found.append(model.encode_order(order, state, NOW))
        except InvalidInput as error:
            found.append(error)
    return found


def same(got: Encoded, want: Encoded) -> None:
    assert got.rows.tobytes() == want.rows.tobytes()
    assert np.broadcast_to(got.shift, want.shift.shape).tobytes() == want.shift.tobytes()
    for name in ("missing", "ages_seconds", "usable", "hour", "distance_km", "store"):
        assert getattr(got, name) == getattr(want, name), name
    assert repr(got.drift_minutes) == repr(want.drift_minutes)


def check(model: Model, state: LiveState, asked: Sequence[dict[str, Any]]) -> Batch:
    batcher = Batcher(model)
    batch, errors = batcher.encode(asked, state, NOW)
    want = alone(model, state, asked)
    assert sorted([*batch.places, *errors]) == list(range(len(asked)))
    for place, error in errors.items():
        refused = want[place]
        assert isinstance(refused, InvalidInput)
        assert (str(error), error.problems) == (str(refused), refused.problems)
    raw = batcher.predict(batch)
    told = batcher.decode(batch, raw)
    for row, place in enumerate(batch.places):
        encoded = want[place]
        assert isinstance(encoded, Encoded)
        same(batch.encoded(row), encoded)
        single = model.predictor.predict(encoded.rows) if encoded.usable else None
        assert told[row] == model.decode(encoded, single)
        assert told[row] == model.forecast(asked[place], state, now=NOW)
    ladder = batcher.decode(batch, None)
    assert ladder == [model.decode(batch.encoded(row), None) for row in range(len(batch))]
    return batch


@settings(deadline=None, max_examples=60)
@given(plain)
def test_orders_together_are_as_alone(
    dated: tuple[Model, LiveState], asked: list[dict[str, Any]]
) -> None:
    check(*dated, asked)


@settings(deadline=None, max_examples=60)
@given(strange)
def test_strange_orders_among_others_are_as_alone(
    dated: tuple[Model, LiveState], asked: list[dict[str, Any]]
) -> None:
    check(*dated, asked)


@settings(deadline=None, max_examples=40)
@given(st.one_of(plain, strange))
def test_without_dates_too(
    without_dates: tuple[Model, LiveState], asked: list[dict[str, Any]]
) -> None:
    check(*without_dates, asked)


def test_a_full_batch_of_real_orders(dated: tuple[Model, LiveState]) -> None:
    model, state = dated
    known = orders(seed=5).drop("delivery_minutes", "courier_id")
    asked = [row | {"city": "Helsinki", "placed_at": NOW} for row in known.head(256).to_dicts()]
    batch = check(model, state, asked)
    assert batch.places == range(256)
    assert {one.source for one in Batcher(model).decode(batch, Batcher(model).predict(batch))} == {
        Source.MODEL
    }
    assert len({tuple(sorted(ages)) for ages in batch.ages_seconds}) > 1


def test_nothing_is_a_batch_too(dated: tuple[Model, LiveState]) -> None:
    batch, errors = Batcher(dated[0]).encode([], dated[1], NOW)
    assert (len(batch), errors) == (0, {})
    assert Batcher(dated[0]).decode(batch, None) == []
