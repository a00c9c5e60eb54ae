# ruff: noqa: S608 -- names and values in the questions are checked before, or quoted
"""The report on a period, from the sums of a data set asked of storage in SQL."""

import asyncio
from datetime import UTC, date, datetime
from typing import Final
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
from foodex.services.gateway.order_questions import COUNTS, Questions, counts_of, quoted

MOST_DAYS: Final = 400
_MOST_STORES: Final = 10


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
    facts = await period_facts(storage, known, since, until, time_zone=time_zone)
    return period_report_of(facts, made_at=made_at)


async def period_facts(
    storage: Storage,
    dataset: Dataset,
    since: datetime,
    until: datetime,
    *,
    time_zone: str | None = None,
) -> PeriodFacts:
    """The sums such a report is made of; raises as `period_report` does."""
    zone = time_zone or dataset.time_zone
    _check(dataset, since, until, zone)
    period = Period(since=since.astimezone(UTC), until=until.astimezone(UTC), time_zone=zone)
    return await _Asking(storage, dataset, zone).facts(period)


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
    """Questions about one data set, by the clock of a time zone."""

    def __init__(self, storage: Storage, dataset: Dataset, zone: str) -> None:
        self._questions, self._name = Questions(storage, dataset), dataset.name
        self._names, self._zone = self._questions.names, quoted(zone)
        self._ask, self._rows = self._questions.ask, self._questions.orders

    async def facts(self, period: Period) -> PeriodFacts:
        """Everything the report is made of."""
        since, until = period.since, period.until
        earlier = since - (until - since)
        # Side by side: most of a question's time goes by before it reads a row.
        takings, takings_before, total, before, hours, stores = await asyncio.gather(
            self._takings(since, until),
            self._takings(earlier, since),
            self._total(since, until),
            self._total(earlier, since),
            self._hours(since, until),
            self._stores(since, until),
        )
        return PeriodFacts(
            dataset=self._name,
            period=period,
            total=total,
            before=before if before.orders else None,
            takings=takings,
            takings_before=takings_before,
            days=await self._days(since, until, takings[0].currency if takings else None),
            hours=hours,
            stores=stores,
        )

    async def _days(
        self, since: datetime, until: datetime, currency: str | None
    ) -> tuple[Day, ...]:
        # Sums of money as whole numbers: a currency that is not the first counts as nothing.
        amount = f"sumIf(amount, currency = {quoted(currency)})" if currency else "NULL"
        found = await self._ask(
            f"{self._rows(since, until)} SELECT toString(toDate(at, {self._zone})) AS day, "
            f"{amount} AS amount, {COUNTS} FROM o GROUP BY day ORDER BY day"
        )
        return tuple(
            Day(
                day=date.fromisoformat(row["day"]),
                counts=counts_of(row),
                amount_minor=row["amount"],
            )
            for row in found
        )

    async def _hours(self, since: datetime, until: datetime) -> tuple[Hour, ...]:
        zone = self._zone
        found = await self._ask(
            f"{self._rows(since, until)} SELECT toDayOfWeek(at, 0, {zone}) - 1 AS weekday, "
            f"toHour(at, {zone}) AS hour, {COUNTS} FROM o "
            "GROUP BY weekday, hour ORDER BY weekday, hour"
        )
        return tuple(
            Hour(weekday=row["weekday"], hour=row["hour"], counts=counts_of(row)) for row in found
        )

    async def _total(self, since: datetime, until: datetime) -> Counts:
        (row,) = await self._ask(f"{self._rows(since, until)} SELECT {COUNTS} FROM o")
        return counts_of(row)

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
            f"{self._rows(since, until)} SELECT toString(store) AS name, {COUNTS} FROM o "
            f"WHERE store IS NOT NULL GROUP BY name HAVING {enough} "
            f"ORDER BY {worst}, name LIMIT {_MOST_STORES}"
        )
        return tuple(Store(name=row["name"], counts=counts_of(row)) for row in found)
