"""Costs: exact sums, dearer with load, and crossings that really cross."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.core.settings import Stage, find_config_dir
from foodex.domain.costs import (
    GB,
    MAX_PREDICTIONS,
    Load,
    Per,
    PriceLine,
    PriceList,
    cost_of,
    crossings,
    exact_cost,
    most_predictions,
    plan,
)
from foodex.domain.price_lists import read_price_list

MVP, PARTNER = Stage.MVP, Stage.PARTNER
USUAL = find_config_dir() / "prices.toml"


@pytest.fixture(scope="module")
def usual() -> PriceList:
    """The price list that comes with FoodEx."""
    return read_price_list(USUAL.read_text())


def machine_line(price: int, rate: int, least: int, extra: int | None) -> PriceLine:
    return PriceLine(
        name="machines",
        per=Per.MACHINE_HOUR,
        price_micros=price,
        predictions_per_second=rate,
        least=least,
        most=None if extra is None else least + extra,
    )


def other_line(per: Per, price: int, fixed: int | None) -> PriceLine:
    fixed = None if per is Per.MILLION_PREDICTIONS else fixed
    return PriceLine(name=per, per=per, price_micros=price, fixed=fixed)


prices = st.integers(0, 5_000_000)
lines = st.one_of(
    st.builds(
        machine_line,
        prices,
        st.integers(1, 3000),
        st.integers(1, 3),
        st.none() | st.integers(0, 4),
    ),
    st.builds(
        other_line,
        st.sampled_from([Per.GB_MONTH, Per.MILLION_PREDICTIONS, Per.MONTH]),
        prices,
        st.none() | st.integers(0, 500),
    ),
)


def price_list(*stages: list[PriceLine]) -> PriceList:
    return PriceList(
        name="made up",
        currency="EUR",
        dated=date(2026, 1, 1),
        source="a test",
        source_kind="planning",
        hours_per_month=730,
        peak_factor=8,
        reference=Load(predictions=10**6, object_bytes=GB),
        stages={stage: tuple(lines) for stage, lines in zip(Stage, stages, strict=False)},
    )


bills = st.lists(lines, min_size=1, max_size=4)
loads = st.builds(
    lambda n, b: Load(predictions=n, object_bytes=b),
    st.integers(1, 10**11),
    st.integers(0, 10**15),
)


def test_the_usual_prices_give_the_reference_figures(usual: PriceList) -> None:
    found = plan(usual)
    assert (usual.reference.predictions, usual.reference.object_bytes) == (10**6, 100 * GB)
    totals = {cost.stage: cost.total_micros for cost in found.stages}
    assert totals == {"mvp": 2_500_000, "partner": 235_000_000, "production": 780_000_000}
    thousands = [cost.per_thousand_micros for cost in found.stages]
    assert thousands == [2_500, 235_000, 780_000]
    assert found.cheapest is MVP


def test_the_usual_stages_hand_over_where_their_machines_are_full(usual: PriceList) -> None:
    found = plan(usual)
    told = [(c.other, c.better, c.reason, c.predictions) for c in found.crossings]
    # 500 a second, all month, over a peak of 10: 500 × 730 × 3600 / 10.
    assert told == [
        ("mvp", "partner", "capacity", 131_400_001),
        ("partner", "production", "capacity", 525_600_001),
    ]
    full = plan(usual, Load(predictions=131_400_001, object_bytes=0))
    assert full.cheapest is PARTNER
    assert [cost.carries for cost in full.stages] == [False, True, True]


@given(bills, loads)
def test_a_total_is_the_sum_of_its_lines_and_rounds_each_once(
    bill: list[PriceLine], load: Load
) -> None:
    listed = price_list(bill)
    cost = cost_of(listed, MVP, load)
    assert cost.total_micros == sum(line.amount_micros for line in cost.lines)
    for line in cost.lines:
        assert abs(line.price_micros * line.quantity - line.amount_micros) <= 0.5
    assert abs(exact_cost(listed, MVP, load) - cost.total_micros) <= len(bill) / 2


@given(bills, loads, st.integers(0, 10**11), st.integers(0, 10**15))
def test_more_never_costs_less(
    bill: list[PriceLine], load: Load, predictions: int, kept: int
) -> None:
    listed = price_list(bill)
    more = Load(predictions=load.predictions + predictions, object_bytes=load.object_bytes + kept)
    assert cost_of(listed, MVP, load).total_micros <= cost_of(listed, MVP, more).total_micros


@given(bills, st.integers(1, 10**9))
def test_machines_answer_the_peak_unless_the_stage_says_it_cannot(
    bill: list[PriceLine], predictions: int
) -> None:
    listed = price_list(bill)
    cost = cost_of(listed, MVP, Load(predictions=predictions, object_bytes=0))
    peak = plan(listed, Load(predictions=predictions, object_bytes=0)).peak_per_second
    for line in cost.lines:
        if line.predictions_per_second and line.machines:
            enough = line.machines * line.predictions_per_second >= peak
            assert enough or not cost.carries
            if line.machines > 3:
                assert (line.machines - 1) * line.predictions_per_second < peak


def preferred(listed: PriceList, predictions: int, kept: int) -> Stage:
    """The better of two stages, reckoned afresh."""
    load = Load(predictions=predictions, object_bytes=kept)
    ranks = []
    for stage in (MVP, PARTNER):
        most = most_predictions(listed, stage)
        ranks.append((most is not None and predictions > most, exact_cost(listed, stage, load)))
    return PARTNER if ranks[1] < ranks[0] else MVP


@given(bills, bills, st.integers(0, 10**12), st.data())
def test_crossings_really_cross_and_none_is_missed(
    first: list[PriceLine], second: list[PriceLine], kept: int, data: st.DataObject
) -> None:
    listed = price_list(first, second)
    found = crossings(listed, MVP, PARTNER, kept, up_to=10**8)
    for crossing in found.found:
        assert preferred(listed, crossing.predictions, kept) is crossing.better
        assert preferred(listed, crossing.predictions - 1, kept) is crossing.other
    # Between two crossings nothing changes.
    limits = [most_predictions(listed, stage) for stage in (MVP, PARTNER)]
    known = [limit for limit in limits if limit is not None]
    end = min([found.searched, *known])
    if end >= 1:
        at = data.draw(st.integers(1, end))
        before = [crossing for crossing in found.found if crossing.predictions <= at]
        wanted = before[-1].better if before else preferred(listed, 1, kept)
        assert preferred(listed, at, kept) is wanted


def test_a_crossing_by_price_is_exact() -> None:
    requests = PriceLine(name="r", per=Per.MILLION_PREDICTIONS, price_micros=300_000)
    flat = PriceLine(name="f", per=Per.MONTH, price_micros=1_000_000)
    found = crossings(price_list([requests], [flat]), MVP, PARTNER, 0)
    (only,) = found.found
    # 0.30 a million against 1.00: the same at 3,333,333.3…
    assert (only.predictions, only.better, only.reason) == (3_333_334, PARTNER, "cheaper")
    assert found.searched == MAX_PREDICTIONS


def test_steps_can_turn_the_better_stage_back() -> None:
    # Small machines at 1.00 for 10 a second; one large at 2.50 for 25, then two.
    small = machine_line(1_000_000, 10, 1, None)
    large = machine_line(2_500_000, 25, 1, None)
    found = crossings(price_list([small], [large]), MVP, PARTNER, 0).found
    assert [c.better for c in found] == [PARTNER, MVP, PARTNER, MVP]


def test_full_stages_of_one_size_do_not_cross_beyond_it() -> None:
    listed = price_list([machine_line(2, 10, 1, 0)], [machine_line(1, 10, 1, 0)])
    assert crossings(listed, PARTNER, MVP, 0).found == ()


def test_what_cannot_be_a_load_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        Load(predictions=0, object_bytes=-1)
    assert [problem.field for problem in caught.value.problems] == ["predictions", "object_bytes"]


MISTAKES = {
    "a typo at the top": ("peak_factor", "peak_facter", "peak_facter", "did you mean peak_factor"),
    "a typo in a line": ("per =", "pre =", "stages.mvp.1.pre", "did you mean price"),
    "a price that is no number": (
        "price = 0.023",
        'price = "0.023"',
        "stages.mvp.1.price",
        "a number from 0",
    ),
    "a negative price": ("price = 0.20", "price = -0.20", "stages.mvp.2.price", "from 0"),
    "a price finer than a millionth": (
        "price = 0.20",
        "price = 0.2000001",
        "stages.mvp.2.price",
        "finer than",
    ),
    "no day": ("dated = 2026-11-21", "dated = 2026-11-21T10:00:00Z", "dated", "2026-11-21"),
    "an unknown unit": ('"GB-month"', '"TB-month"', "stages.mvp.1.per", "GB-month, million"),
    "an unknown stage": ("[[stages.partner]]", "[[stages.partnr]]", "stages.partnr", "partner"),
    "a currency in words": ('"USD"', '"dollars"', "currency", "EUR"),
    "machines of a disk": ("gb = 80", "machines = 80", "stages.partner.3.machines", "alone"),
    "machines without a number": (
        "machines = 1",
        "",
        "stages.partner.2.machines",
        "predictions_per_second",
    ),
    "most below least": ("least = 2", "least = 2\nmost = 1", "stages.production.2.most", "least"),
    "infinity": ("price = 0.20", "price = inf", "stages.mvp.2.price", "a number"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_in_a_price_list_are_named_by_key(name: str) -> None:
    old, new, field, said = MISTAKES[name]
    text = USUAL.read_text()
    assert old in text
    with pytest.raises(InvalidInput) as caught:
        read_price_list(text.replace(old, new))
    problems = {problem.field: problem.message for problem in caught.value.problems}
    assert said in problems[field], problems


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvalidInput, match="11 mistakes") as caught:
        read_price_list('name = ""\n[stages]\n')
    fields = {problem.field for problem in caught.value.problems}
    assert {"name", "currency", "dated", "source_kind", "stages", "reference"} <= fields


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not valid TOML"):
        read_price_list("price = ")
