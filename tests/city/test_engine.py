import heapq
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foodex.city.engine import Engine
from foodex.city.plan import draw_plan, rota
from foodex.city.state import Order, Stage
from foodex.city.streets import Vehicle, load_streets
from foodex.city.travel import slowdown
from foodex.city.weather import Sky, Weather
from tests.city.conftest import FIRST_DAY

STREETS = load_streets()


def small_city(seed: int, *, orders_per_day: float = 60, stores: int = 4, days: int = 2) -> Engine:
    plan = draw_plan(seed, STREETS, orders_per_day=orders_per_day, stores=stores)
    engine = Engine(plan, FIRST_DAY, days)
    engine.run()
    return engine


def check_times(orders: list[Order]) -> None:
    for order in orders:
        assert order.placed < order.accepted <= order.cook_starts < order.cooked < order.ready
        assert order.accepted <= order.assigned < order.picked_up < order.delivered
        assert order.accepted <= order.clicked <= order.picked_up
        # The courier cannot leave with food that is not ready, nor without taking it over.
        assert order.picked_up >= order.ready + order.handover_seconds - 1e-6
        assert order.delivered >= order.picked_up + order.door_seconds
        # Nobody is left waiting for the couriers of the next morning.
        assert order.delivered < order.placed + 5 * 3600


def check_kitchens(engine: Engine) -> None:
    by_cook = defaultdict(list)
    for order in engine.delivered:
        assert 0 <= order.cook < engine.plan.stores[order.store].cooks
        by_cook[order.store, order.cook].append((order.cook_starts, order.cooked))
    for jobs in by_cook.values():
        assert all(ends <= starts for (_, ends), (starts, _) in pairwise(sorted(jobs)))


def check_couriers(engine: Engine) -> None:
    trips = defaultdict(list)
    for order in engine.delivered:
        trips[order.courier, order.picked_up].append(order)
    busy = defaultdict(list)
    for (courier, _), orders in trips.items():
        assert len(orders) <= 2
        assert {order.companions for order in orders} == {len(orders) - 1}
        assert len({order.store for order in orders}) == 1
        starts = min(order.assigned for order in orders)
        busy[courier].append((starts, max(order.delivered for order in orders)))
    for spans in busy.values():
        assert all(ends <= starts for (_, ends), (starts, _) in pairwise(sorted(spans)))


def check_load(engine: Engine) -> None:
    """What an order was told of the load is what the others' times say."""
    ends: list[float] = []
    for order in sorted(engine.delivered, key=lambda order: (order.placed, order.order_id)):
        while ends and ends[0] <= order.placed:
            heapq.heappop(ends)
        assert order.orders_open == len(ends)
        assert 0 <= order.couriers_busy <= order.couriers_on_shift
        heapq.heappush(ends, order.delivered)


def check_rest(engine: Engine) -> None:
    ids = [order.order_id for order in engine.delivered]
    assert len(set(ids)) == len(ids)
    assert engine.orders_open == engine.couriers_busy == engine.couriers_on_shift == 0
    assert not any(rider.at_work or rider.trip for rider in engine.riders)


def test_what_always_holds(fortnight: Engine) -> None:
    assert len(fortnight.delivered) > 8000
    check_times(fortnight.delivered)
    check_kitchens(fortnight)
    check_couriers(fortnight)
    check_load(fortnight)
    check_rest(fortnight)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    orders_per_day=st.sampled_from([1, 15, 120]),
    stores=st.integers(1, 4),
)
def test_what_holds_in_any_city(seed: int, orders_per_day: float, stores: int) -> None:
    engine = small_city(seed, orders_per_day=orders_per_day, stores=stores)
    check_times(engine.delivered)
    check_kitchens(engine)
    check_couriers(engine)
    check_load(engine)
    check_rest(engine)


def test_every_order_placed_is_delivered_once() -> None:
    engine = Engine(draw_plan(8, STREETS, orders_per_day=300, stores=15), FIRST_DAY, 3)
    engine.log = []
    engine.run()
    told = Counter((order.order_id, stage) for _, stage, order in engine.log)
    assert set(told.values()) == {1}
    by_stage = Counter(stage for _, stage in told)
    assert set(by_stage) == set(Stage)
    assert set(by_stage.values()) == {len(engine.delivered)}
    by_day = defaultdict(list)
    for order in engine.delivered:
        _, day, number = order.order_id.split("-")
        by_day[day].append(int(number))
    assert sorted(by_day) == ["20260803", "20260804", "20260805"]
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in by_day.values())


def test_the_way_to_the_store_runs_beside_the_cooking(fortnight: Engine) -> None:
    orders = fortnight.delivered
    beside = sum(order.assigned < order.ready for order in orders) / len(orders)
    assert beside > 0.6
    courier_first = sum(
        order.picked_up - order.ready <= order.handover_seconds + 1e-6 for order in orders
    )
    # Sometimes the courier waits for the food, sometimes the food for the courier.
    assert 0.2 < courier_first / len(orders) < 0.8


def test_ready_clicks_lie_as_in_life(fortnight: Engine) -> None:
    orders = fortnight.delivered
    early = sum(order.clicked < order.ready - 1 for order in orders) / len(orders)
    late = sum(order.clicked > order.ready + 1 for order in orders) / len(orders)
    assert 0.02 < early < 0.1
    assert 0.1 < late < 0.5


def test_couriers_take_two_orders_at_times(fortnight: Engine) -> None:
    together = sum(order.companions for order in fortnight.delivered)
    assert 0.005 < together / len(fortnight.delivered) < 0.3


@pytest.mark.parametrize("vehicle", list(Vehicle))
def test_rain_slows(vehicle: Vehicle) -> None:
    factors = [slowdown(vehicle, sky(rain_mm=rain), 0.9) for rain in (0.0, 0.5, 2.0)]
    assert factors == sorted(set(factors))
    assert factors[0] >= 1.0


def test_a_jam_slows_cars_most_and_walkers_not_at_all() -> None:
    ratios = {
        vehicle: slowdown(vehicle, sky(), 0.6) / slowdown(vehicle, sky(), 1.0)
        for vehicle in Vehicle
    }
    assert ratios[Vehicle.CAR] == pytest.approx(1 / 0.6)
    assert ratios[Vehicle.FOOT] == 1.0
    assert 1.0 < ratios[Vehicle.MOPED] < ratios[Vehicle.CAR]


def test_rain_brings_orders_and_delays_them(monkeypatch: pytest.MonkeyPatch) -> None:
    minutes, counts = [], []
    for rain in (0.0, 2.5):
        monkeypatch.setattr(Weather, "at", lambda self, seconds, rain=rain: sky(rain_mm=rain))
        engine = small_city(5, orders_per_day=400, stores=20)
        counts.append(len(engine.delivered))
        taken = [order.delivered - order.placed for order in engine.delivered]
        minutes.append(sum(taken) / len(taken) / 60)
    assert counts[1] > counts[0] * 1.1
    assert minutes[1] > minutes[0] + 2


def test_the_rota_follows_demand() -> None:
    quiet, busy = rota(1000, 0), rota(1000, 5)
    assert len(busy) > len(quiet)
    at_work = [sum(starts <= hour < ends for starts, ends in busy) for hour in (10, 15, 19, 22.5)]
    assert max(at_work) == at_work[2]
    assert min(at_work) >= 1


def test_seeds_and_days_have_their_own_rota() -> None:
    one, other = (draw_plan(seed, STREETS, orders_per_day=300, stores=5) for seed in (1, 2))
    assert one.shifts(20_000, 0) == one.shifts(20_000, 0)
    whom = [[shift.courier for shift in plan.shifts(20_000, 0)] for plan in (one, other)]
    assert whom[0] != whom[1]
    assert whom[0] != [shift.courier for shift in one.shifts(20_001, 0)]
    assert all(len(set(couriers)) == len(couriers) for couriers in whom)


def test_it_runs_to_the_same_end_in_any_steps() -> None:
    whole = small_city(11)
    stepped = Engine(whole.plan, FIRST_DAY, 2)
    until = stepped.now
    for _ in range(400):
        until += 997.0
        stepped.run(until)
    ends = [
        [(order.order_id, order.delivered, order.courier) for order in engine.delivered]
        for engine in (whole, stepped)
    ]
    assert len(ends[0]) > 50
    assert ends[0] == ends[1]


def sky(*, rain_mm: float = 0.0) -> Sky:
    return Sky(
        temperature_c=15.0,
        precipitation_mm=rain_mm,
        before_mm=rain_mm,
        wind_mps=3.0,
        cloud_cover=0.5,
        condition="rain" if rain_mm else "clear",
    )
