"""Past orders with another promise policy, and models told apart by their days."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from foodex.core.errors import InvalidInput
from foodex.domain.promises import CHANGED, PolicyChange, PromisePolicy
from foodex.eta.evaluation import (
    Day,
    days_from_json,
    days_of,
    evaluate,
    gains,
    kept,
)
from foodex.eta.evaluation.report import COLUMNS

START = datetime(2026, 3, 2, tzinfo=UTC)


class Certain:
    """Forecasts 30 minutes, a quarter of an hour either way at the ends."""

    def forecast_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        minutes = np.interp(np.linspace(0, 1, len(COLUMNS)), [0, 1], [15, 45])
        return pl.DataFrame(
            {name: [m] * frame.height for name, m in zip(COLUMNS, minutes, strict=True)}
        )


def orders(days: int = 4, city: str = "A") -> pl.DataFrame:
    placed = [START + timedelta(days=d, hours=h) for d in range(days) for h in (10, 11, 18, 19)]
    return pl.DataFrame(
        {
            "placed_at": placed,
            "delivery_minutes": [20.0, 31.0, 36.0, 50.0] * days,
            "city": [city] * len(placed),
        }
    )


def judged(change: PolicyChange | None, **more: object):  # type: ignore[no-untyped-def]
    since = START + timedelta(days=1)
    return evaluate(Certain(), orders(), since, time_zone="UTC", change=change, **more)  # type: ignore[arg-type]


def test_the_same_policy_changes_nothing_and_another_what_it_must() -> None:
    same = judged(PolicyChange()).replay
    assert same.present == same.changed
    assert same.differing_share == 0
    assert same.present.orders == 12
    # The quantile of three quarters is 35 to 40 by the ends above, and rounds up to that.
    policy = PromisePolicy()
    promised = policy.promise(list(np.interp(np.linspace(0, 1, 7), [0, 1], [15, 45]))).minutes
    assert same.present.promised_minutes == promised
    more = judged(PolicyChange(buffer_minutes=10)).replay
    assert more.changed.promised_minutes == promised + 10
    assert more.changed.on_time_share == np.mean(np.array([20, 31, 36, 50]) <= promised + 10)
    assert more.intervals["promised_more_minutes"] == (10, 10)
    assert set(more.hours) == {10, 11, 18, 19}
    present, changed = more.hours[19]
    assert (present.on_time_share, changed.on_time_share) == (0, float(promised + 10 >= 50))


def test_without_a_change_nothing_is_replayed_and_figures_stay() -> None:
    plain, changed = judged(None), judged(PolicyChange(floor_minutes=60))
    assert plain.replay is None
    assert plain.figures == changed.figures


def test_a_city_with_a_policy_of_its_own_keeps_it() -> None:
    zones = {"A": PromisePolicy(name="A", buffer_minutes=20), "B": PromisePolicy(floor_minutes=90)}
    plain, own = judged(PolicyChange()), judged(PolicyChange(), zones=zones)
    here, there = own.replay.present.promised_minutes, plain.replay.present.promised_minutes
    assert here == there + 20
    assert own.figures["on_time_share"] == 1
    # What the change does not name stays as the city has it.
    assert judged(PolicyChange(quantile=0.75), zones=zones).replay.changed == own.replay.present


def test_orders_placed_from_the_end_on_are_left_out() -> None:
    until = START + timedelta(days=2)
    found = judged(None, until=until)
    assert found.figures["n"] == 4
    assert found.last_placed_at < until
    with pytest.raises(InvalidInput, match=r"placed at or after .* and placed before"):
        judged(None, until=START)


def test_a_change_keeps_the_early_end_below_the_promise() -> None:
    changed = PolicyChange(quantile=0.1).of(PromisePolicy())
    assert (changed.name, changed.quantile, changed.earliest_quantile) == (CHANGED, 0.1, 0.1)
    with pytest.raises(InvalidInput):
        PolicyChange(floor_minutes=200).of(PromisePolicy())


def test_lateness_is_of_all_orders_and_half_of_the_late_ones() -> None:
    actual, promised = np.array([10.0, 20, 30, 45]), np.full(4, 20.0)
    found = kept(actual, promised)
    assert (found.on_time_share, found.late_10_share) == (0.5, 0.25)
    assert (found.late_p50_minutes, found.late_half_minutes) == (5, 17.5)
    assert kept(actual, np.full(4, 60.0)).late_half_minutes is None


def by_day(*errors: float, on_time: int = 8) -> tuple[Day, ...]:
    return tuple(
        Day(day=date(2026, 3, 1 + i), orders=10, abs_error_minutes=error, on_time=on_time)
        for i, error in enumerate(errors)
    )


def test_days_add_up_and_come_back() -> None:
    days = days_of(
        np.array([1.0, 0, 1, np.nan]), np.array([2.0, 3, 4, 9]), np.array([1.0, 0, 0, 1])
    )
    assert days == (
        Day(day=date(1970, 1, 1), orders=1, abs_error_minutes=3, on_time=0),
        Day(day=date(1970, 1, 2), orders=2, abs_error_minutes=6, on_time=1),
    )
    assert days_from_json([day.to_json() for day in days]) == days
    found = judged(None)
    assert sum(day.orders for day in found.days) == found.figures["n"]
    errors = sum(day.abs_error_minutes for day in found.days)
    assert errors == pytest.approx(found.figures["mae_minutes"] * found.figures["n"])
    kept_all = sum(day.on_time for day in found.days)
    assert kept_all == pytest.approx(found.figures["on_time_share"] * found.figures["n"])


def test_a_gain_on_every_day_is_sure_and_one_that_comes_and_goes_is_not() -> None:
    hard = (30, 80, 40, 90, 35, 70)
    nearer = tuple(error - 5 for error in hard)
    error, kept_more = gains(by_day(*nearer, on_time=9), by_day(*hard))
    assert error.value == pytest.approx(0.5)
    # Paired: the days differ far more than the two models do.
    assert (error.low, error.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert error.sure
    assert kept_more.value == pytest.approx(0.1)
    mixed, _ = gains(by_day(20, 90, 30, 100, 25, 80), by_day(*hard))
    assert not mixed.sure
    one, _ = gains(by_day(10), by_day(20))
    assert (one.low, one.sure) == (None, False)


def test_only_the_same_orders_are_compared() -> None:
    with pytest.raises(InvalidInput):
        gains(by_day(1, 2), by_day(1, 2, 3))
    with pytest.raises(InvalidInput):
        gains((), ())
