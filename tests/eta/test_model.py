"""From orders to a model, to files, to forecasts."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from foodex.core.errors import InvalidInput, NotFound, Unavailable
from foodex.domain.forecasts import Source
from foodex.domain.promises import PromisePolicy
from foodex.eta import Model, TrainingOptions, train
from foodex.eta.model import JSON_FILE, ONNX_FILE
from tests.eta.orders import START, orders, undated

UNTIL = START + timedelta(days=15)
QUICK = {"num_iterations": 40}
HIDDEN = ("delivery_minutes", "courier_id", "own_estimate_minutes")


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    return orders()


@pytest.fixture(scope="module")
def model(history: pl.DataFrame) -> Model:
    options = TrainingOptions(
        until=UNTIL, without=("own_estimate_minutes",), parameters=QUICK, threads=1
    )
    return train(history, options)


def an_order(history: pl.DataFrame, row: int) -> dict:
    return {k: v for k, v in history.row(row, named=True).items() if k not in HIDDEN}


def test_it_learns_more_than_the_median(model: Model, history: pl.DataFrame):
    later = history["placed_at"] >= UNTIL
    found = model.forecast_frame(history).filter(later)
    minutes = history["delivery_minutes"].filter(later).to_numpy()
    usual = history["delivery_minutes"].filter(~later).median()
    miss = np.abs(found["q50"].to_numpy() - minutes).mean()
    assert miss < 0.7 * np.abs(minutes - usual).mean()
    inside = (minutes >= found["q05"].to_numpy()) & (minutes <= found["q95"].to_numpy())
    assert 0.8 < inside.mean() < 0.97
    assert (np.diff(found.to_numpy(), axis=1) >= 0).all()


def test_nothing_of_the_future_is_seen(model: Model, history: pl.DataFrame):
    now = START + timedelta(days=17)
    unknown = (
        pl.col("placed_at")
        + pl.duration(microseconds=(pl.col("delivery_minutes") * 6e7).cast(pl.Int64))
        >= now
    )
    changed = history.with_columns(
        delivery_minutes=pl.when(unknown)
        .then(pl.col("delivery_minutes") * 3 + 60)
        .otherwise("delivery_minutes")
    )
    before = history["placed_at"] <= now
    assert changed["delivery_minutes"].ne(history["delivery_minutes"]).sum() > 50
    same = model.forecast_frame(history).filter(before)
    assert same.equals(model.forecast_frame(changed).filter(before))
    assert not model.forecast_frame(history).equals(model.forecast_frame(changed))


def test_an_order_online_is_forecast_as_in_the_batch(model: Model, history: pl.DataFrame):
    batch = model.forecast_frame(history)
    first = int((history["placed_at"] < START + timedelta(days=16)).sum())
    state = model.start_state()
    done = history.with_columns(
        end=pl.col("placed_at")
        + pl.duration(microseconds=(pl.col("delivery_minutes") * 6e7).ceil().cast(pl.Int64))
    )
    waiting = done.sort("end").to_dicts()
    for row, order in enumerate(history.to_dicts()):
        now = order["placed_at"]
        ready = 0
        while ready < len(waiting) and waiting[ready]["end"] < now:
            ready += 1
        state.observe(waiting[:ready])
        waiting = waiting[ready:]
        if row >= first:
            online = model.forecast(an_order(history, row), state, now=now)
            assert online.quantiles_minutes == batch.row(row)
        state.place([order])


def test_a_state_of_a_frame_equals_one_that_watched(model: Model, history: pl.DataFrame):
    past = history.filter(pl.col("placed_at") < START + timedelta(days=18))
    watched, made = model.start_state(), model.state_of(past)
    assert watched.observe(past.to_dicts()) == len(past)
    assert watched.observe(past.to_dicts()) == 0
    now = START + timedelta(days=19)
    order = an_order(history, len(history) - 1) | {"placed_at": now}
    one = model.forecast(order, watched, now=now)
    assert one == model.forecast(order, made, now=now)
    assert one.input_ages_seconds["recent"] > 0


def test_it_comes_back_from_its_folder_the_same(model: Model, history: pl.DataFrame, tmp_path):
    model.save(tmp_path / "one")
    again = Model.load(tmp_path / "one")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {ONNX_FILE, JSON_FILE}
    assert again.forecast_frame(history).equals(model.forecast_frame(history))
    assert again.summary == model.summary
    again.save(tmp_path / "two")
    for name in (ONNX_FILE, JSON_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_training_again_gives_the_same_bytes(model: Model, history: pl.DataFrame):
    options = TrainingOptions(
        until=UNTIL, without=("own_estimate_minutes",), parameters=QUICK, threads=1
    )
    again = train(history, options)
    assert again.onnx == model.onnx
    assert again.summary.data_hash == model.summary.data_hash


def test_outcomes_and_what_is_excluded_are_no_features(model: Model, history: pl.DataFrame):
    assert not {"own_estimate_minutes", "courier_id", "delivery_minutes"} & model.encoder.inputs
    without = TrainingOptions(
        without=("customer_lat", "store_id"), parameters={"num_iterations": 5}, threads=1
    )
    names = train(history, without).encoder.names
    assert not [name for name in names if "distance" in name or "zone" in name or "north" in name]
    assert "store_last_30" in names  # the store's place still names it
    assert "own_estimate_minutes" in names


@pytest.mark.parametrize("algorithm", ["linear_regression", "random_forest"])
def test_the_other_algorithms(algorithm: str, history: pl.DataFrame, tmp_path):
    options = TrainingOptions(algorithm=algorithm, until=UNTIL, threads=1)
    model = train(history, options)
    assert model.summary.metrics["mae_minutes"] < model.summary.baselines["median"]["mae_minutes"]
    model.save(tmp_path)
    assert Model.load(tmp_path).forecast_frame(history).height == history.height


def test_orders_without_dates(tmp_path):
    frame = undated()
    options = TrainingOptions(split_column="part", parameters={"num_iterations": 60}, threads=1)
    model = train(frame, options)
    assert model.summary.rows == (frame["part"] == "train").sum()
    assert "part" not in model.encoder.inputs
    assert model.encoder.keys == ()
    order = {"distance_km": 3.0, "dish_0": 1.0}
    said = model.forecast(order, model.start_state(), now=START)
    assert said.source is Source.MODEL
    assert said.missing == ("dish_1", "dish_2", "dish_3")  # the clock gave hour and weekday


def test_a_forecast_tells_what_it_stands_on(model: Model, history: pl.DataFrame):
    state = model.state_of(history)
    now = START + timedelta(days=21)
    order = an_order(history, 1100) | {"placed_at": now}
    whole = model.forecast(order, state, now=now, explain=True, policy=PromisePolicy())
    assert (whole.source, whole.degraded, whole.missing) == (Source.MODEL, False, ())
    assert whole.promise is not None
    assert whole.promise.minutes >= whole.median_minutes
    assert whole.explanation is not None
    told = whole.explanation.typical_minutes + sum(f.minutes for f in whole.explanation.factors)
    assert told == pytest.approx(whole.median_minutes)
    less = model.forecast({k: v for k, v in order.items() if k != "items"}, state, now=now)
    assert (less.source, less.degraded, less.missing) == (Source.MODEL, True, ("items",))


class _Away:
    def predict(self, rows):
        raise Unavailable("The model server is away")


def test_the_ladder_answers_when_the_model_cannot(model: Model, history: pl.DataFrame):
    broken = Model(model.parts, model.onnx, _Away())
    state = model.state_of(history)
    now = START + timedelta(days=21)
    order = an_order(history, 1100) | {"placed_at": now}
    rungs = {
        Source.HISTORY: order,
        Source.DISTANCE: {k: v for k, v in order.items() if k != "store_id"},
        Source.CONSTANT: {},
    }
    for rung, given in rungs.items():
        stateless = (
            replace(model.parts, ladder=replace(model.parts.ladder, hours=None))
            if rung is Source.CONSTANT
            else model.parts
        )
        said = Model(stateless, model.onnx, _Away()).forecast(given, state, now=now)
        assert (said.source, said.degraded) == (rung, True)
        assert list(said.quantiles_minutes) == sorted(said.quantiles_minutes)
        assert 5 < said.median_minutes < 90
    assert broken.forecast(order, state, now=now).explanation is None


def test_progress_moves_and_can_stop_it(history: pl.DataFrame):
    seen: list[float] = []
    options = TrainingOptions(parameters={"num_iterations": 20}, threads=1)
    train(history, options, lambda share, what: seen.append(share))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(seen) > 20

    class Cancelled(Exception):
        pass

    def stop(share: float, what: str) -> None:
        if share > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(history, options, stop)


def test_what_cannot_be_trained_is_refused_by_field(history: pl.DataFrame):
    with pytest.raises(InvalidInput) as caught:
        train(history, TrainingOptions(algorithm="magic", split_column="x", without=("y",)))
    assert {p.field for p in caught.value.problems} == {"algorithm", "split_column", "without"}
    with pytest.raises(InvalidInput, match="At least"):
        train(history.head(10), TrainingOptions())
    with pytest.raises(InvalidInput, match="parameters"):
        train(history, TrainingOptions(parameters={"objective": "nonsense"}, threads=1))


def test_bad_orders_and_folders(model: Model, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        model.forecast({"items": "many"}, model.start_state(), now=START)
    assert caught.value.problems[0].field == "items"
    with pytest.raises(InvalidInput):
        model.forecast({"placed_at": START.replace(tzinfo=None)}, model.start_state(), now=START)
    with pytest.raises(NotFound):
        Model.load(tmp_path)
    model.save(tmp_path)
    (tmp_path / JSON_FILE).write_text(json.dumps({"format": 1}))
    with pytest.raises(InvalidInput, match="damaged"):
        Model.load(tmp_path)
