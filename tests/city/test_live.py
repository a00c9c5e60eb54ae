from collections import defaultdict
from datetime import datetime, timedelta

import pytest

from foodex.city import City, Stage, Streets, simulate_history
from foodex.core.errors import InvalidInput
from foodex.domain.deliveries import FIELD
from tests.city.conftest import START


def live(streets: Streets) -> City:
    return City(seed=6, start=START, orders_per_day=150, stores=8, streets=streets)


def test_what_is_told_live_is_what_the_history_says(streets: Streets) -> None:
    city = live(streets)
    assert city.now == START
    known: dict[str, dict[str, object]] = defaultdict(dict)
    stages = defaultdict(list)
    last = START
    while city.now < START + timedelta(hours=20):
        for happening in city.step(city.now + timedelta(minutes=47)):
            assert last <= happening.at < city.now
            last = happening.at
            assert happening.facts["order_id"] == happening.order_id
            known[happening.order_id] |= happening.facts
            stages[happening.order_id].append(happening.stage)
    history = simulate_history(
        seed=6, start=START, days=1, orders_per_day=150, stores=8, streets=streets
    )
    assert history.height > 80
    assert [known[row["order_id"]] for row in history.to_dicts()] == history.to_dicts()
    for told in stages.values():
        assert sorted(told) == sorted(Stage)
        assert told[0] is Stage.PLACED
        assert told[-2:] == [Stage.PICKED_UP, Stage.DELIVERED]


def test_nothing_is_known_before_its_time(streets: Streets) -> None:
    city = live(streets)
    placed = [one for one in city.step(START + timedelta(hours=3)) if one.stage is Stage.PLACED]
    assert placed
    for happening in placed:
        assert all(FIELD[name].known_at_order for name in happening.facts)
        assert not {"vehicle", "batched_orders", "courier_id"} & set(happening.facts)


def test_couriers_are_somewhere_in_the_city_and_do_not_jump(streets: Streets) -> None:
    city = live(streets)
    city.step(START + timedelta(hours=10))
    before = {each.courier_id: each for each in city.couriers()}
    assert any(each.orders for each in before.values())
    for _ in range(200):
        city.step(city.now + timedelta(seconds=10))
        after = {each.courier_id: each for each in city.couriers()}
        for courier_id in before.keys() & after.keys():
            here, there = before[courier_id], after[courier_id]
            # 10 s at 60 km/h
            assert abs(here.lat - there.lat) * 111_200 < 170
            assert abs(here.lon - there.lon) * 55_300 < 170
            assert streets.lat.min() <= there.lat <= streets.lat.max()
            assert streets.lon.min() <= there.lon <= streets.lon.max()
        before = after


def test_time_runs_forward_in_bounded_steps(streets: Streets) -> None:
    city = live(streets)
    for until in (
        START - timedelta(seconds=1),
        START + timedelta(days=2),
        datetime(2026, 8, 3, 7),  # noqa: DTZ001
    ):
        with pytest.raises(InvalidInput) as caught:
            city.step(until)
        assert [problem.field for problem in caught.value.problems] == ["until"]
    assert city.now == START
    assert city.step(START) == []


def test_it_names_the_streets_makers_and_its_stores(streets: Streets) -> None:
    city = live(streets)
    assert "OpenStreetMap" in city.attribution
    assert len(city.stores) == 8


def test_a_city_that_cannot_be_is_told() -> None:
    with pytest.raises(InvalidInput):
        City(seed=-1, start=START)
