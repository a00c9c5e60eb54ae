"""What the overview shows, made of what the API tells: trends, charts and words for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from foodex.services.dashboard import charts
from foodex.services.dashboard.charts import Option

Texts = Callable[..., str]
Facts = Mapping[str, Any]

PERIODS: Final = (7, 28, 90, 365)
BOUGHT_DAYS: Final = 30
"""Of UTC, as the API counts what was used."""
_HOURS: Final = tuple(range(24))
_A_MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What somebody chose to look at; whatever is empty is chosen for them."""

    dataset: str = ""
    days: int = PERIODS[0]
    first_day: str = ""
    last_day: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """From the words of an address; what makes no sense is as not said."""
        days = given.get("days", "")
        return cls(
            dataset=given.get("dataset", ""),
            days=int(days) if days in map(str, PERIODS) else PERIODS[0],
            first_day=_day(given.get("first_day", "")),
            last_day=_day(given.get("last_day", "")),
        )

    @property
    def own_days(self) -> bool:
        """Whether they chose days of their own."""
        return bool(self.first_day or self.last_day)

    def query(self) -> dict[str, Any]:
        """As the API is asked, and as the page's own parts are."""
        found: dict[str, Any] = {"dataset": self.dataset}
        if self.own_days:
            found |= {"first_day": self.first_day, "last_day": self.last_day}
        else:
            found["days"] = self.days
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A key figure and the change of it since the period before; None where it is not known."""

    value: float | None
    trend: float | None = None


class Shown:
    """A period's figures as the page shows them."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        total, before = facts["total"], facts["before"] or {}
        self.orders = _figure(total["orders"], before.get("orders"))
        self.minutes = _figure(total["took_p50"], before.get("took_p50"))
        self.late = _figure(_late(total), _late(before))
        takings = facts["takings"]
        self.currency: str | None = takings[0]["currency"] if takings else None
        self.takings = _figure(
            takings[0]["amount_minor"] if takings else None,
            next(
                (t["amount_minor"] for t in facts["takings_before"] if _same(t, self.currency)),
                None,
            ),
        )
        self.other_currencies = [one["currency"] for one in takings[1:]]
        self.has_days = len(facts["days"]) > 1

    def period(self, t: Texts) -> str:
        """From which day to which, by the clock of the data set."""
        period = self._facts["period"]
        zone = ZoneInfo(period["time_zone"])
        first = datetime.fromisoformat(period["since"]).astimezone(zone).date()
        until = datetime.fromisoformat(period["until"]).astimezone(zone) - _A_MOMENT
        last = until.date()
        year = "" if first.year == last.year else f" {first.year}"
        return t(
            "overview.of_days",
            first=f"{day_name(first.isoformat(), t)}{year}",
            last=f"{day_name(last.isoformat(), t)} {last.year}",
        )

    def orders_by_hour(self, t: Texts) -> Option:
        """Orders by hour of the day and weekday."""
        return self._heat(t, lambda counts: float(counts["orders"]), "count")

    def minutes_by_hour(self, t: Texts) -> Option:
        """Median minutes by hour of the day and weekday."""
        return self._heat(t, lambda counts: counts["took_p50"], "minutes")

    def orders_by_day(self, t: Texts) -> Option:
        """Orders of every day."""
        values = [day["counts"]["orders"] for day in self._facts["days"]]
        return charts.bars(self._days(t), {t("overview.orders"): values})

    def minutes_by_day(self, t: Texts) -> Option:
        """How long half and nine in ten orders of every day took at most."""
        counts = [day["counts"] for day in self._facts["days"]]
        series = {
            t("overview.half"): [_rounded(one["took_p50"]) for one in counts],
            t("overview.nine_in_ten"): [_rounded(one["took_p90"]) for one in counts],
        }
        option = charts.lines(self._days(t), series, unit="minutes")
        option["xAxis"]["boundaryGap"] = True
        return option

    def _days(self, t: Texts) -> list[str]:
        return [day_name(day["day"], t) for day in self._facts["days"]]

    def _heat(self, t: Texts, of: Callable[[Facts], float | None], unit: str) -> Option:
        hours = self._facts["hours"]
        there = sorted({one["hour"] for one in hours}) or list(_HOURS)
        shown = list(range(there[0], there[-1] + 1))
        cells = [
            (one["hour"] - shown[0], one["weekday"], round(value, 1))
            for one in hours
            if (value := of(one["counts"])) is not None
        ]
        weekdays = [t(f"overview.weekday_{number}") for number in range(7)]
        return charts.heat([f"{hour:02}" for hour in shown], weekdays, cells, unit=unit)


class Model:
    """The version in production beside the company, as the page shows it."""

    def __init__(self, against: Facts) -> None:
        self.against, self.forecast = against, against["forecast"]
        self.company: Facts | None = against["company"]
        self.closer: float | None = None
        if self.company and self.company["mae_minutes"]:
            self.closer = 1 - self.forecast["mae_minutes"] / self.company["mae_minutes"]

    @property
    def has_errors(self) -> bool:
        """Whether it is known how errors lie."""
        return bool(self.forecast["errors"] and self.against["from_minutes"])

    def errors(self, t: Texts) -> Option:
        """The share of orders by how much later than told they came."""
        starts: Sequence[int] = self.against["from_minutes"]
        width = starts[1] - starts[0] if len(starts) > 1 else 1
        # What is told less what it took, turned round: later is to the right.
        later = [f"{-start - width / 2:+g}" for start in reversed(starts)]
        later[0] = t("overview.or_less", minutes=f"{-starts[-1]:+g}")
        later[-1] = t("overview.or_more", minutes=f"{-starts[0] - width:+g}")
        series = {t("overview.forecast"): _shares(self.forecast["errors"])}
        if self.company and self.company["errors"]:
            series[t("overview.company")] = _shares(self.company["errors"])
        option = charts.lines(
            later,
            {name: list(reversed(shares)) for name, shares in series.items()},
            unit="percent",
            area=True,
        )
        option["xAxis"]["name"] = t("overview.minutes_later")
        for one in option["series"]:
            one |= {"showSymbol": False, "smooth": 0.3}
        return option


class Bought:
    """What a client bought of late, by day."""

    def __init__(self, usage: Sequence[Facts], today: date) -> None:
        self.spent_minor = sum(one["charged_minor"] for one in usage)
        self.predictions = sum(one["quantity"] for one in usage)
        self._spent: dict[str, int] = {
            (today - timedelta(days=ago)).isoformat(): 0 for ago in reversed(range(BOUGHT_DAYS))
        }
        for one in usage:
            if one["day"] in self._spent:
                self._spent[one["day"]] += one["charged_minor"]

    def by_day(self, t: Texts) -> Option:
        """What was spent on each of the last days."""
        return charts.bars(
            [day_name(day, t) for day in self._spent],
            {t("overview.spent"): [spent / 100 for spent in self._spent.values()]},
            unit="money",
        )


def day_name(day: str, t: Texts) -> str:
    """A day as `14 Nov`."""
    there = date.fromisoformat(day)
    return t("overview.day", day=there.day, month=t(f"overview.month_{there.month}"))


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _figure(value: float | None, before: float | None) -> Figure:
    trend = value / before - 1 if value is not None and before else None
    return Figure(value=value, trend=trend)


def _late(counts: Facts) -> float | None:
    judged = counts.get("judged")
    return 1 - counts["on_time"] / judged if judged else None


def _same(takings: Facts, currency: str | None) -> bool:
    return bool(takings["currency"] == currency)


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts) or 1
    return [round(count / whole, 4) for count in counts]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
