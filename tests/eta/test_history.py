"""History is causal, and one question is answered as a million are."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from foodex.eta.history import NOT_YET, Events, Live, Series, Window
from foodex.eta.past import Grouped, Past

WINDOWS = (
    Window("area_all", "area"),
    Window("area_last_3", "area", count=3),
    Window("store_last_2", "store", count=2),
    Window("store_hour", "store", minutes=60.0),
)

events = st.lists(
    st.tuples(
        st.integers(0, 20_000_000),
        st.integers(0, 9_000_000),
        st.integers(-(10**7), 10**7),
        st.integers(-2, 3),
        st.booleans(),
    ),
    max_size=40,
)
questions = st.lists(
    st.tuples(st.integers(-10, 30_000_000), st.integers(-2, 4)), min_size=1, max_size=20
)


def made(rows: list[tuple[int, int, int, int, bool]]) -> Events:
    table = np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4)
    done = np.array([row[4] for row in rows], dtype=bool)
    delivered = np.where(done, table[:, 0] + table[:, 1], NOT_YET)
    keys = {"area": np.zeros(len(rows), dtype=np.int64), "store": table[:, 3].copy()}
    return Events(table[:, 0].copy(), delivered, table[:, 2].copy(), keys)


def arrival(delivered_ms: np.ndarray, seed: int) -> list[int]:
    """Any order, but what was delivered at one millisecond is told of in its own."""
    told = np.random.default_rng(seed).permutation(len(delivered_ms))
    for moment in np.unique(delivered_ms):
        of_moment = np.flatnonzero(delivered_ms[told] == moment)
        told[of_moment] = np.sort(told[of_moment])
    return told.tolist()


@given(rows=events, asked=questions, seed=st.integers(0, 5))
@example([(0, 0, 0, 0, True), (0, 0, 0, 0, True), (0, 0, 1, 0, True)], [(1, 0)], 2)
def test_online_equals_bulk_to_the_last_bit(rows, asked, seed):
    known = made(rows)
    now = np.array([time for time, _ in asked], dtype=np.int64)
    keys = {"area": np.zeros(len(asked), dtype=np.int64), "store": np.array([k for _, k in asked])}
    bulk = Past(known, WINDOWS).sums(keys, now)
    filled, grown = Live(("area", "store"), WINDOWS), Live(("area", "store"), WINDOWS)
    filled.fill(known)
    for index in arrival(known.delivered_ms, seed):
        at = {kind: int(column[index]) for kind, column in known.keys.items()}
        grown.place(at, int(known.placed_ms[index]))
        if known.delivered_ms[index] != NOT_YET:
            grown.deliver(at, int(known.delivered_ms[index]), int(known.values_ms[index]))
    for live in (filled, grown):
        for row, (time, key) in enumerate(asked):
            one = live.sums({"area": 0, "store": key}, time)
            assert set(one) == set(bulk)
            for name, (count, total) in one.items():
                assert bulk[name][0][row] == count, name
                if "_open" not in name and "_placed" not in name:
                    assert bulk[name][1][row] == total, name


def test_an_event_at_the_very_moment_is_not_seen_yet():
    series = Series()
    series.add(1000, 7)
    assert series.sum(Window("all", ""), 1000) == (0, 0)
    assert series.sum(Window("all", ""), 1001) == (1, 7)


def test_open_orders_are_placed_and_not_delivered():
    live = Live(("area",), ())
    live.place({"area": 0}, 100)
    live.place({"area": 0}, 200)
    live.deliver({"area": 0}, 300, 5)
    assert [live.sums({"area": 0}, now)["area_open"][0] for now in (100, 150, 250, 301)] == [
        0,
        1,
        2,
        1,
    ]


@given(
    keys=st.lists(st.integers(-(2**45), 2**50) | st.integers(-3, 3), min_size=1, max_size=50),
    seed=st.integers(0, 9),
)
def test_grouping_is_a_stable_sort_by_key(keys, seed):
    array = np.random.default_rng(seed).permutation(np.array(keys + keys, dtype=np.int64))
    grouped = Grouped.by(array)
    order = np.argsort(array, kind="stable")
    found = np.arange(len(array)) if grouped.order is None else grouped.order
    assert np.array_equal(array[found], array[order])
    if grouped.order is not None:
        assert np.array_equal(found, order)
    assert np.array_equal(grouped.names, np.unique(array))
    assert np.array_equal(grouped.spread(grouped.names), np.sort(array))


@given(rows=events, asked=questions, start=st.integers(0, 20), size=st.integers(0, 20))
def test_some_answers_are_those_among_all(rows, asked, start, size):
    now = np.array([time for time, _ in asked], dtype=np.int64)
    keys = {"area": np.zeros(len(asked), dtype=np.int64), "store": np.array([k for _, k in asked])}
    past = Past(made(rows), WINDOWS, keep=True)
    answers = past.answers(keys, now)
    everything, some = answers.of(slice(None)), answers.of(slice(start, start + size))
    # Asked again, and about other orders, what was kept answers the same.
    few = {kind: column[start : start + size] for kind, column in keys.items()}
    again = past.sums(few, now[start : start + size])
    for name, (count, total) in some.items():
        assert np.array_equal(again[name][0], count)
        assert np.array_equal(again[name][1], total)
    for name, (count, total) in everything.items():
        assert np.array_equal(some[name][0], count[start : start + size])
        if isinstance(total, np.ndarray):
            assert np.array_equal(some[name][1], total[start : start + size])
