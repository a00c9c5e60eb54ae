# ruff: noqa: S608 -- names and values in the questions are checked before, or quoted
"""The report on a period, from the sums of a data set asked of storage in SQL."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import available_timezones

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import Dataset
from foodex.domain.period_facts import (
    MIN_JUDGED,
    Counts,
    Day,
    Hour,
    PeriodFacts,
    Store,
    Takings,
)
from foodex.domain.period_reports import period_report_of
from foodex.domain.reports import Period, Report
from foodex.ports.storage import Storage

MOST_DAYS: Final = 400
_MOST_STORES: Final = 10
_COUNTS: Final = """count() AS orders, countIf(late IS NOT NULL) AS judged,
 countIf(late <= 0) AS on_time, countIf(late > 10) AS late_10,
 quantileExact(0.5)(took) AS took_p50, quantileExact(0.9)(took) AS took_p90,
 quantileExact(0.5)(late) AS late_p50, quantileExact(0.9)(late) AS late_p90,
 quantileExactIf(0.5)(late, late > 0) AS late_half_minutes"""


async def period_report(
    storage: Storage,
    dataset: str,
    since: datetime,
    until: datetime,
    *,
    made_at: datetime,
    time_zone: str | None = None,
) -> Report:
    """The report on the orders placed from `since` on, before `until` (both zone-aware).

    Days and hours are those of `time_zone`, or else of the data set. Raises InvalidInput for a
    period that is none or longer than `MOST_DAYS` days, and for a data set without times of its
    orders or how long they took; NotFound where there is no such data set.
    """
    known = await storage.dataset(dataset)
    zone = time_zone or known.time_zone
    _check(known, since, until, zone)
    asking = _Asking(storage, known, zone)
    facts = await asking.facts(
        Period(since=since.astimezone(UTC), until=until.astimezone(UTC), time_zone=zone)
    )
    return period_report_of(facts, made_at=made_at)


def _check(dataset: Dataset, since: datetime, until: datetime, time_zone: str) -> None:
    problems = [
        FieldProblem(name, "has no time zone")
        for name, moment in (("since", since), ("until", until))
        if moment.utcoffset() is None
    ]
    if not problems and not since < until:
        problems.append(FieldProblem("until", "is not after since"))
    if not problems and (until - since).days > MOST_DAYS:
        problems.append(FieldProblem("until", f"is more than {MOST_DAYS} days after since"))
    if time_zone not in available_timezones():
        problems.append(FieldProblem("time_zone", f"'{time_zone}' is not one as Europe/Helsinki"))
    names = {column.name for column in dataset.columns}
    if "placed_at" not in names:
        problems.append(FieldProblem("dataset", "has no `placed_at` to tell the period by"))
    if not names & {"delivery_minutes", "delivered_at"}:
        problems.append(FieldProblem("dataset", "does not say how long orders took"))
    if problems:
        raise InvalidInput("The report cannot be made", problems=problems)


class _Asking:
    """Questions about one data set; names and values in them are checked before or quoted."""

    def __init__(self, storage: Storage, dataset: Dataset, zone: str) -> None:
        self._storage, self._dataset, self._zone = storage, dataset, _text(zone)
        self._names = {column.name for column in dataset.columns}

    async def facts(self, period: Period) -> PeriodFacts:
        """Everything the report is made of."""
        since, until = period.since, period.until
        earlier = since - (until - since)
        takings = await self._takings(since, until)
        zone, rows = self._zone, self._rows(since, until)
        currency = _text(takings[0].currency) if takings else "''"
        # Sums of money as whole numbers: a currency that is not the first counts as nothing.
        amount = f"sumIf(amount, currency = {currency})" if takings else "NULL"
        days = await self._ask(
            f"{rows} SELECT toString(toDate(at, {zone})) AS day, {amount} AS amount, {_COUNTS} "
            "FROM o GROUP BY day ORDER BY day"
        )
        hours = await self._ask(
            f"{rows} SELECT toDayOfWeek(at, 0, {zone}) - 1 AS weekday, toHour(at, {zone}) AS hour, "
            f"{_COUNTS} FROM o GROUP BY weekday, hour ORDER BY weekday, hour"
        )
        before = await self._total(earlier, since)
        return PeriodFacts(
            dataset=self._dataset.name,
            period=period,
            total=await self._total(since, until),
            before=before if before.orders else None,
            takings=takings,
            takings_before=await self._takings(earlier, since),
            days=tuple(
                Day(
                    day=date.fromisoformat(row["day"]),
                    counts=_counts(row),
                    amount_minor=row["amount"],
                )
                for row in days
            ),
            hours=tuple(
                Hour(weekday=row["weekday"], hour=row["hour"], counts=_counts(row)) for row in hours
            ),
            stores=await self._stores(since, until),
        )

    async def _total(self, since: datetime, until: datetime) -> Counts:
        (row,) = await self._ask(f"{self._rows(since, until)} SELECT {_COUNTS} FROM o")
        return _counts(row)

    async def _takings(self, since: datetime, until: datetime) -> tuple[Takings, ...]:
        if not {"subtotal_minor", "currency"} <= self._names:
            return ()
        found = await self._ask(
            f"{self._rows(since, until)} SELECT currency, sum(amount) AS total, count() AS orders "
            "FROM o WHERE amount IS NOT NULL AND currency IS NOT NULL "
            "GROUP BY currency ORDER BY total DESC, currency LIMIT 20"
        )
        return tuple(
            Takings(currency=row["currency"], amount_minor=row["total"], orders=row["orders"])
            for row in found
        )

    async def _stores(self, since: datetime, until: datetime) -> tuple[Store, ...]:
        if "store_id" not in self._names:
            return ()
        judged = "own_estimate_minutes" in self._names
        enough, worst = (
            (f"judged >= {MIN_JUDGED}", "on_time / judged")
            if judged
            else (f"orders >= {MIN_JUDGED}", "-took_p50")
        )
        found = await self._ask(
            f"{self._rows(since, until)} SELECT toString(store) AS name, {_COUNTS} FROM o "
            f"WHERE store IS NOT NULL GROUP BY name HAVING {enough} "
            f"ORDER BY {worst}, name LIMIT {_MOST_STORES}"
        )
        return tuple(Store(name=row["name"], counts=_counts(row)) for row in found)

    def _rows(self, since: datetime, until: datetime) -> str:
        """The period's orders, under the same names whichever columns the data set has."""
        has = self._names
        took = [name for name in ("delivery_minutes",) if name in has]
        if "delivered_at" in has:
            took.append("dateDiff('millisecond', placed_at, delivered_at) / 60000")
        said = "own_estimate_minutes" if "own_estimate_minutes" in has else "NULL"
        columns = {
            "at": "placed_at",
            "took": f"coalesce({', '.join(took)})",
            "said": f"toNullable({said})" if said != "NULL" else "CAST(NULL, 'Nullable(Float64)')",
            # Written out: engines differ in what the greater of a number and nothing is.
            "late": "if(isNull(took) OR isNull(said), NULL, if(took > said, took - said, 0))",
            "store": "store_id" if "store_id" in has else "NULL",
            "amount": "subtotal_minor" if "subtotal_minor" in has else "NULL",
            "currency": "currency" if "currency" in has else "NULL",
        }
        chosen = ", ".join(
            name if name == source else f"{source} AS {name}" for name, source in columns.items()
        )
        return (
            f"WITH o AS (SELECT {chosen} FROM processed_{self._dataset.name} "
            f"WHERE placed_at >= {_time(since)} AND placed_at < {_time(until)})"
        )

    async def _ask(self, sql: str) -> list[Mapping[str, Any]]:
        found = await self._storage.query(sql)
        if found.truncated:
            raise InvalidInput("The period has more parts than one answer holds; ask for less")
        names = [column.name for column in found.columns]
        return [dict(zip(names, row, strict=True)) for row in found.rows]


def _counts(row: Mapping[str, Any]) -> Counts:
    return Counts(**{name: row[name] for name in Counts.__dataclass_fields__})


def _time(moment: datetime) -> str:
    return f"toDateTime64('{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"


def _text(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
