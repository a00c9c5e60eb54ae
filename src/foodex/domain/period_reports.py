"""The report on a period: what was delivered, how punctually, when and where it went wrong.

Made from sums alone; who asks for them is told elsewhere. An order is on time when it came within
what the company itself had said; orders without such an estimate are counted, not judged.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from math import ceil, floor
from typing import Final

from foodex.domain.period_facts import MIN_JUDGED, WEEKDAYS, Counts, PeriodFacts
from foodex.domain.reports import (
    Better,
    Chart,
    ChartKind,
    Column,
    Figure,
    Origin,
    Report,
    Section,
    Series,
    Table,
    Unit,
    of_hundred,
    shown,
)

_MIN_CELL: Final = 5
_STANDS_OUT: Final = 0.03
_BARS: Final = 45


def period_report_of(facts: PeriodFacts, *, made_at: datetime) -> Report:
    """The report on a period, from its sums."""
    zone = facts.period.time_zone
    return Report(
        title="Deliveries",
        subtitle=f"Data set {facts.dataset}, days and hours of {zone}",
        period=facts.period,
        made_at=made_at,
        made_from=(
            Origin(name="Data set", value=facts.dataset),
            Origin(name="Orders", value=f"{facts.total.orders:,}"),
            Origin(name="From", value=facts.period.since.isoformat()),
            Origin(name="Until before", value=facts.period.until.isoformat()),
        ),
        summary=tuple(_summary(facts)),
        figures=tuple(_figures(facts)),
        sections=tuple(section for section in _sections(facts) if section),
        method=(
            "Orders are those placed in the period. An order is on time when it came within the "
            "minutes that the company itself had said; orders without such an estimate are "
            "counted, not judged. Lateness is what an order took beyond its estimate, 0 when it "
            "was on time. The period before is of equal length and ends where this one begins.",
            "Two hours of the week are compared with the rest where they have one order in a "
            f"hundred, and at least {MIN_JUDGED}; a field of the heat map needs {_MIN_CELL}.",
        ),
    )


def _summary(facts: PeriodFacts) -> Iterable[str]:
    total, days = facts.total, max(1, len(facts.days))
    if not total.orders:
        yield "No order was placed in this period."
        return
    yield (
        f"{total.orders:,} orders were placed on {days} day{'s' if days > 1 else ''}, "
        f"{total.orders / days:,.0f} a day."
    )
    share = total.share
    if share is None:
        yield "Of no order is it known what the company had said, so none can be judged punctual."
        if total.took_p50 is not None and total.took_p90 is not None:
            yield (
                f"Half of the orders took {ceil(total.took_p50)} minutes or less; one in ten took "
                f"{floor(total.took_p90)} or more."
            )
        return
    of = "" if total.judged == total.orders else f" the {total.judged:,} that can be judged,"
    yield f"On time: of{of} {of_hundred(share)}." if of else f"On time: {of_hundred(share)} orders."
    before = facts.before.share if facts.before and facts.before.judged >= MIN_JUDGED else None
    if before is not None:
        points = 100 * (share - before)
        if abs(points) < 0.5:
            yield f"That is as in the period before ({shown(before, Unit.SHARE)})."
        else:
            word = "better" if points > 0 else "worse"
            yield (
                f"That is {abs(points):.1f} points {word} than in the period before "
                f"({shown(before, Unit.SHARE)})."
            )
    if total.late_half_minutes is not None and total.late_p90:
        yield (
            f"Half of the late orders were {floor(total.late_half_minutes)} minutes late or more; "
            f"one order in ten of all was {floor(total.late_p90)} minutes late or more."
        )
    if worst := _worst_hours(facts):
        weekday, hour, judged, on_time = worst
        if on_time / judged <= share - _STANDS_OUT:
            yield (
                f"{WEEKDAYS[weekday]}s from {hour} to {hour + 2} are worst: on time "
                f"{of_hundred(on_time / judged)}, over {judged:,} orders."
            )
        else:
            yield "No two hours of the week stand out as worse than the rest."


def _worst_hours(facts: PeriodFacts) -> tuple[int, int, int, int] | None:
    """Weekday, hour, judged and on time of the two hours running with the lowest share."""
    by_place = {(hour.weekday, hour.hour): hour.counts for hour in facts.hours}
    found = []
    # Two hours that matter: with as much as one order in a hundred.
    enough = max(MIN_JUDGED, ceil(facts.total.judged / 100))
    for weekday, hour in sorted(by_place):
        pair = [by_place[weekday, hour], by_place.get((weekday, hour + 1), Counts(orders=0))]
        judged, on_time = sum(c.judged for c in pair), sum(c.on_time for c in pair)
        if hour < 23 and judged >= enough and pair[1].judged:
            found.append((on_time / judged, weekday, hour, judged, on_time))
    return min(found)[1:] if found else None


def _figures(facts: PeriodFacts) -> Iterable[Figure]:
    total, before = facts.total, facts.before
    compare = before is not None and before.orders > 0

    def figure(
        name: str, unit: Unit, better: Better, of: Callable[[Counts], float | int | None]
    ) -> Figure:
        other = of(before) if before is not None and compare else None
        return Figure(
            name=name,
            value=of(total),
            unit=unit,
            other=other,
            versus="before" if other is not None else "",
            better=better,
        )

    yield figure("Orders", Unit.COUNT, Better.HIGHER, lambda c: c.orders)
    if total.judged:
        yield figure("On time", Unit.SHARE, Better.HIGHER, lambda c: c.share)
        yield figure("Lateness, median", Unit.MINUTES, Better.LOWER, lambda c: c.late_p50)
        yield figure(
            "Lateness, nine in ten below", Unit.MINUTES, Better.LOWER, lambda c: c.late_p90
        )
    if total.took_p50 is not None:
        yield figure("Delivery, median", Unit.MINUTES, Better.LOWER, lambda c: c.took_p50)
        yield figure(
            "Delivery, nine in ten below", Unit.MINUTES, Better.LOWER, lambda c: c.took_p90
        )
    earlier = {takings.currency: takings.amount_minor for takings in facts.takings_before}
    for takings in facts.takings[:3]:
        other = earlier.get(takings.currency)
        yield Figure(
            name="Baskets",
            value=takings.amount_minor,
            unit=Unit.MONEY,
            currency=takings.currency,
            other=other,
            versus="before" if other is not None else "",
            better=Better.HIGHER,
        )


def _sections(facts: PeriodFacts) -> Iterable[Section | None]:
    yield _by_day(facts)
    yield _by_hour(facts)
    yield _by_store(facts)


def _by_day(facts: PeriodFacts) -> Section | None:
    days = facts.days
    if len(days) < 2:
        return None
    labels = tuple(f"{day.day.day} {day.day:%b}" for day in days)
    kind = ChartKind.BARS if len(days) <= _BARS else ChartKind.LINES
    most, least = max(days, key=lambda d: d.counts.orders), min(days, key=lambda d: d.counts.orders)
    text = (
        f"The busiest day was {most.day:%A}, {most.day.day} {most.day:%B}, with "
        f"{most.counts.orders:,} orders; the calmest {least.day:%A}, {least.day.day} "
        f"{least.day:%B}, with {least.counts.orders:,}.",
    )

    def chart(kind: ChartKind, title: str, unit: Unit, values: Sequence[float | None]) -> Chart:
        known = [value for value in values if value is not None]
        currency = facts.takings[0].currency if unit is Unit.MONEY else ""
        ends = f"From {shown(min(known), unit, currency)} to {shown(max(known), unit, currency)}."
        return Chart(
            kind=kind,
            title=title,
            says=f"A value for each of {len(values)} days. {ends}",
            labels=labels,
            series=(Series(name=title, values=tuple(values)),),
            unit=unit,
            currency=currency,
        )

    charts = [chart(kind, "Orders by day", Unit.COUNT, [day.counts.orders for day in days])]
    if facts.total.judged:
        shares = [day.counts.share for day in days]
        charts.append(chart(ChartKind.LINES, "On time by day", Unit.SHARE, shares))
    if facts.takings and any(day.amount_minor is not None for day in days):
        amounts = [day.amount_minor for day in days]
        title = f"Baskets by day, {facts.takings[0].currency}"
        charts.append(chart(ChartKind.LINES, title, Unit.MONEY, amounts))
    return Section(title="Day by day", text=text, charts=tuple(charts))


def _by_hour(facts: PeriodFacts) -> Section | None:
    hours = sorted({hour.hour for hour in facts.hours})
    if not hours:
        return None
    place = {(hour.weekday, hour.hour): hour.counts for hour in facts.hours}
    shown_hours = range(hours[0], hours[-1] + 1)

    def heat(
        title: str, unit: Unit, better: Better, of: Callable[[Counts], float | int | None]
    ) -> Chart:
        rows = tuple(
            Series(
                name=name,
                values=tuple(
                    of(place[weekday, hour]) if (weekday, hour) in place else None
                    for hour in shown_hours
                ),
            )
            for weekday, name in enumerate(WEEKDAYS)
        )
        return Chart(
            kind=ChartKind.HEAT,
            title=title,
            says="A row for each weekday, a column for each hour it was placed in.",
            labels=tuple(str(hour) for hour in shown_hours),
            series=rows,
            unit=unit,
            better=better,
            label_title="hour of the order",
        )

    def late(counts: Counts) -> float | None:
        return 1 - counts.on_time / counts.judged if counts.judged >= _MIN_CELL else None

    charts = [heat("Orders by weekday and hour", Unit.COUNT, Better.NEITHER, lambda c: c.orders)]
    if facts.total.judged:
        charts.insert(0, heat("Late orders, percent", Unit.SHARE, Better.LOWER, late))
    else:
        title = "Median minutes by weekday and hour"
        charts.insert(0, heat(title, Unit.MINUTES, Better.LOWER, lambda c: c.took_p50))
    return Section(title="Hours of the week", charts=tuple(charts))


def _by_store(facts: PeriodFacts) -> Section | None:
    if not facts.stores:
        return None
    judged = facts.total.judged > 0
    columns = [Column(title="Store"), Column(title="Orders", unit=Unit.COUNT)]
    if judged:
        columns += [
            Column(title="On time", unit=Unit.SHARE),
            Column(title="More than 10 min late", unit=Unit.SHARE),
            Column(title="Lateness, 9 in 10 below", unit=Unit.MINUTES),
        ]
    columns.append(Column(title="Delivery, median", unit=Unit.MINUTES))
    rows = []
    for store in facts.stores:
        c = store.counts
        of_judged = (c.share, c.late_10 / c.judged if c.judged else None, c.late_p90)
        rows.append((store.name, c.orders, *(of_judged if judged else ()), c.took_p50))
    word = "late most often" if judged else "slowest"
    return Section(
        title="Stores to look at",
        tables=(
            Table(
                title=f"The {len(rows)} stores that are {word}",
                columns=tuple(columns),
                rows=tuple(rows),
                note=f"Stores with at least {MIN_JUDGED} orders{' that can be judged' * judged}.",
            ),
        ),
    )
