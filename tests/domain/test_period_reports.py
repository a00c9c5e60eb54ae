"""What a period's report says in words is what its sums say."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from foodex.domain.period_facts import Counts, Day, Hour, PeriodFacts, Store, Takings
from foodex.domain.period_reports import period_report_of
from foodex.domain.reports import Period, Report

START = datetime(2026, 11, 2, tzinfo=UTC)
TOTAL = Counts(
    orders=1000,
    judged=900,
    on_time=747,
    late_10=40,
    took_p50=30.4,
    took_p90=48.9,
    late_p50=0.0,
    late_p90=6.9,
    late_half_minutes=7.8,
)
FACTS = PeriodFacts(
    dataset="city",
    period=Period(since=START, until=START + timedelta(days=2), time_zone="UTC"),
    total=TOTAL,
    days=(
        Day(day=date(2026, 11, 2), counts=replace(TOTAL, orders=400), amount_minor=100_00),
        Day(day=date(2026, 11, 3), counts=replace(TOTAL, orders=600), amount_minor=None),
    ),
)


def told(facts: PeriodFacts) -> Report:
    return period_report_of(facts, made_at=START)


def said(facts: PeriodFacts) -> str:
    return " ".join(told(facts).summary).replace("\u00a0", " ")


def friday(*hours: tuple[int, int, int]) -> tuple[Hour, ...]:
    return tuple(
        Hour(weekday=4, hour=hour, counts=Counts(orders=judged, judged=judged, on_time=on_time))
        for hour, judged, on_time in hours
    )


def test_orders_punctuality_and_lateness_are_told() -> None:
    text = said(FACTS)
    assert "1,000 orders were placed on 2 days, 500 a day." in text
    assert "On time: of the 900 that can be judged, 83 of 100." in text
    # Rounded to the side on which the sentence stays true.
    assert "were 7 minutes late or more; one order in ten of all was 6 minutes" in text


def test_the_period_before_is_compared_where_there_is_enough_of_it() -> None:
    before = Counts(orders=500, judged=400, on_time=320)
    assert "3.0 points better than in the period before (80 %)" in said(
        replace(FACTS, before=before)
    )
    worse = replace(before, on_time=360)
    assert "7.0 points worse than in the period before (90 %)" in said(replace(FACTS, before=worse))
    alike = replace(before, on_time=332)
    assert "as in the period before (83 %)" in said(replace(FACTS, before=alike))
    few = Counts(orders=500, judged=29, on_time=20)
    assert "period before" not in said(replace(FACTS, before=few))


def test_the_worst_two_hours_of_the_week_are_named() -> None:
    hours = friday((17, 100, 90), (18, 100, 60), (19, 100, 62), (20, 100, 88), (23, 10, 0))
    text = said(replace(FACTS, hours=hours))
    assert "Fridays from 18 to 20 are worst: on time 61 of 100, over 200 orders." in text
    even = friday((17, 100, 83), (18, 100, 83))
    assert "No two hours of the week stand out" in said(replace(FACTS, hours=even))
    assert "hours" not in said(replace(FACTS, hours=friday((17, 10, 0), (18, 10, 0))))


def test_without_estimates_nobody_is_called_late() -> None:
    facts = replace(
        FACTS, total=Counts(orders=10, took_p50=30.4, took_p90=48.9), hours=friday((18, 0, 0))
    )
    report = told(facts)
    assert "none can be judged punctual" in " ".join(report.summary)
    assert "31 minutes or less; one in ten took 48 or more" in " ".join(report.summary)
    names = [figure.name for figure in report.figures]
    assert names == ["Orders", "Delivery, median", "Delivery, nine in ten below"]


def test_a_period_without_orders_says_so() -> None:
    empty = PeriodFacts(dataset="city", period=FACTS.period, total=Counts(orders=0))
    report = told(empty)
    assert report.summary == ("No order was placed in this period.",)
    assert report.sections == ()


def test_takings_are_told_by_currency_beside_those_before() -> None:
    facts = replace(
        FACTS,
        takings=(
            Takings(currency="EUR", amount_minor=500_00, orders=9),
            Takings(currency="SEK", amount_minor=100_00, orders=1),
        ),
        takings_before=(Takings(currency="EUR", amount_minor=400_00, orders=9),),
    )
    found = [f for f in told(facts).figures if f.name == "Baskets"]
    assert [(f.value, f.currency, f.other) for f in found] == [
        (500_00, "EUR", 400_00),
        (100_00, "SEK", None),
    ]


def test_stores_keep_their_order_and_names() -> None:
    store = Store(name="=cmd", counts=TOTAL)
    (table,) = told(replace(FACTS, stores=(store,))).sections[-1].tables
    assert table.rows == (("=cmd", 1000, 0.83, 40 / 900, 6.9, 30.4),)
