"""Reports as values: how numbers read, and what is no report."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput
from foodex.domain.reports import (
    Chart,
    ChartKind,
    Column,
    Period,
    Report,
    Section,
    Series,
    Table,
    Unit,
    days,
    listed,
    of_hundred,
    shown,
)

REPORT = Report(
    title="A report",
    subtitle="",
    made_at=datetime(2026, 11, 21, tzinfo=UTC),
    made_from=(),
    summary=(),
    figures=(),
    sections=(),
    method=(),
)

READ = [
    (1234, Unit.COUNT, "", "1,234"),
    (17.26, Unit.MINUTES, "", "17.3 min"),
    (-0.04, Unit.MINUTES, "", "0.0 min"),
    (-2.5, Unit.MINUTES, "", "−2.5 min"),
    (0.834, Unit.SHARE, "", "83 %"),
    (0.0349, Unit.SHARE, "", "3.5 %"),
    (0.9966, Unit.SHARE, "", "99.7 %"),
    (1.0, Unit.SHARE, "", "100 %"),
    (0.0, Unit.SHARE, "", "0 %"),
    (-0.034, Unit.POINTS, "", "−3.4 points"),
    (1234567, Unit.MONEY, "EUR", "12,345.67 EUR"),
    (-5, Unit.MONEY, "EUR", "−0.05 EUR"),
    (1234567, Unit.MONEY, "JPY", "1,234,567 JPY"),
    (1234567, Unit.MONEY, "KWD", "1,234.567 KWD"),
    (None, Unit.MONEY, "EUR", "–"),
    ("=1+1", Unit.TEXT, "", "=1+1"),
]


@pytest.mark.parametrize(("value", "unit", "currency", "text"), READ)
def test_numbers_read_well(value: object, unit: Unit, currency: str, text: str) -> None:
    assert shown(value, unit, currency).replace("\u00a0", " ") == text  # type: ignore[arg-type]


def test_rough_amounts_leave_out_the_cents_in_the_thousands() -> None:
    assert shown(22_031_895, Unit.MONEY, "EUR", rough=True) == "220,319\u00a0EUR"
    assert shown(99_999, Unit.MONEY, "EUR", rough=True) == "999.99\u00a0EUR"
    assert shown(-22_031_895, Unit.MONEY, "EUR", rough=True) == "−220,319\u00a0EUR"


@given(st.floats(0, 1))
def test_shares_in_words_are_true(share: float) -> None:
    said = of_hundred(share)
    if said == "all":
        assert share == 1
    elif said == "none":
        assert share == 0
    elif said.startswith("more"):
        assert 0.99 < share < 1
    elif said.startswith("fewer"):
        assert 0 < share < 0.01
    else:
        assert abs(int(said.split()[0]) / 100 - share) <= 0.005000001
        assert 1 <= int(said.split()[0]) <= 99 or said == "100 of 100"
        assert said != "100 of 100"


PERIODS = [
    ("2026-11-01T22:00Z", "2026-11-15T22:00Z", "2 to 15 November 2026"),
    ("2026-10-30T22:00Z", "2026-11-15T22:00Z", "31 October to 15 November 2026"),
    ("2026-12-30T22:00Z", "2027-01-02T09:00Z", "31 December 2026 to 2 January 2027"),
    ("2026-11-01T22:00Z", "2026-11-02T22:00Z", "2 November 2026"),
]


@pytest.mark.parametrize(("since", "until", "text"), PERIODS)
def test_periods_in_words_are_local_days(since: str, until: str, text: str) -> None:
    period = Period(
        since=datetime.fromisoformat(since),
        until=datetime.fromisoformat(until),
        time_zone="Europe/Helsinki",
    )
    assert days(period) == text


def test_names_in_a_sentence() -> None:
    assert [listed(["a"]), listed(("a", "b")), listed(["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]


def test_what_does_not_fit_together_is_refused() -> None:
    table = Table(title="Stores", columns=(Column(title="a"), Column(title="b")), rows=(("x",),))
    chart = Chart(
        kind=ChartKind.BARS,
        title="Hours",
        says="",
        labels=("1", "2"),
        series=(Series(name="n", values=(1,)),),
    )
    bad = (Section(title="s", tables=(table,), charts=(chart,)),)
    with pytest.raises(InvalidInput) as caught:
        replace(REPORT, sections=bad, made_at=datetime(2026, 1, 1))  # noqa: DTZ001
    assert [p.field for p in caught.value.problems] == ["made_at", "Stores", "Hours"]


def test_too_much_for_a_report_is_refused() -> None:
    table = Table(title="t", columns=(Column(title="a"),), rows=(("x",),) * 20_001)
    with pytest.raises(InvalidInput) as caught:
        replace(REPORT, sections=(Section(title="s", tables=(table,)),))
    assert "20,001 cells" in str(caught.value)
