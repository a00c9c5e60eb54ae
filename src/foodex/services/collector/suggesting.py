"""A first mapping for a file nobody has described: good guesses, and questions where it cannot
know."""

import re
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from foodex.core.errors import InvalidInput
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.mappings import UNKNOWN_ZONE, Guess, Suggestion
from foodex.services.collector.applying import ROW, apply
from foodex.services.collector.columns import plain_name
from foodex.services.collector.leaks import outcome_told, told_by_name
from foodex.services.collector.naming import by_name, concepts_of, speaks_of
from foodex.services.collector.profiling import Profile, profile
from foodex.services.collector.suggestion_toml import Draft, Entry, write
from foodex.services.collector.units import unit_of

SAMPLE_ROWS: Final = 20_000
DOUBTFUL: Final = 0.6
_LEAST: Final = 0.45
_FEW: Final = 60
_MONEY: Final = frozenset("€$£¥₹₽₩₺₴")
_NOT_DELIVERED: Final = re.compile(
    r"(?i)^(order[ _-]?)?(cancel|abort|reject|refus|fail|undeliver|not[ _-]deliver|refund)"
)

_TIME_FIELDS: Final = tuple(name for name, item in FIELD.items() if item.kind is Kind.TIME)
_NEEDED: Final = ("hour_of_day", "day_of_week", "delivery_minutes")
_OPTIONAL: Final = tuple(
    name
    for name, item in FIELD.items()
    if item.kind in (Kind.NUMBER, Kind.INTEGER) and name not in _NEEDED
)
_SHAPES: Final = {
    "hour_of_day": ("number", "clock"),
    "day_of_week": ("weekday", "number"),
    "delivery_minutes": ("number", "clock"),
    "own_estimate_minutes": ("number", "clock"),
    "travel_minutes_estimate": ("number", "clock"),
}


def suggest(
    rows: pl.DataFrame, *, file: str, delimiter: str | None, headerless: bool
) -> Suggestion:
    """Guess the mapping of a sample of rows as they came (`row` and columns of texts)."""
    return _Guessing(rows, file, delimiter, headerless).suggestion()


def looks_headerless(names: tuple[str, ...]) -> bool:
    """Whether what should be a header is a row of values."""
    valued = [name for name in names if re.fullmatch(r"[-+]?\d[\d.,:/ TZ+-]*(_\d+)?", name)]
    return len(valued) * 3 >= len(names)


@dataclass
class _Guessing:
    rows: pl.DataFrame
    file: str
    delimiter: str | None
    headerless: bool
    profiles: dict[str, Profile] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    draft: Draft = field(default_factory=Draft)
    guesses: list[Guess] = field(default_factory=list)

    def suggestion(self) -> Suggestion:
        comma = self.delimiter != ","
        for column in self.rows.iter_columns():
            if column.name != ROW:
                self.profiles[column.name] = profile(column, comma_possible=comma)
        self.draft.file = self.file
        self.draft.delimiter = self.delimiter
        self.draft.headerless = tuple(self.profiles) if self.headerless else ()
        families = self.families()
        scores = self.scores(families)
        self.assign(scores)
        self.skip_cancelled()
        self.order_time(scores)
        self.later_times(scores)
        self.ask_for_the_rest()
        self.sort_the_rest()
        self.ask_zone()
        guesses = sorted(self.guesses, key=lambda guess: list(self.profiles).index(guess.column))
        return Suggestion(
            toml=write(self.draft), guesses=tuple(guesses), questions=tuple(self.draft.questions)
        )

    def families(self) -> set[str]:
        """Columns that are one of several alike: `item_01`, `item_02`, ..."""
        stems: dict[str, list[str]] = {}
        for name in self.profiles:
            stem = re.sub(r"\d+$", "", name)
            if stem != name:
                stems.setdefault(stem, []).append(name)
        return {name for names in stems.values() if len(names) >= 3 for name in names}

    def scores(self, families: set[str]) -> list[tuple[float, str, str]]:
        found = []
        for name, item in self.profiles.items():
            if item.shape == "empty" or name in families:
                continue
            named = by_name(name)
            if not item.whole and (set(item.around) & _MONEY or concepts_of(name) == ["count"]):
                named.setdefault("subtotal_minor", 0.65)
            for target, sure in named.items():
                fit = _fit(target, item, len(self.rows))
                if sure * fit >= _LEAST:
                    found.append((round(sure * fit, 3), name, target))
        return sorted(found, key=lambda score: -score[0])

    def assign(self, scores: list[tuple[float, str, str]]) -> None:
        """Give each field its best column and each column its best field, the surest first."""
        for sure, name, target in scores:
            if target in _TIME_FIELDS and self.profiles[name].shape != "instant":
                continue
            if name not in self.taken and target not in self.draft.fields:
                self.take(name, target, sure)

    def take(self, name: str, target: str, sure: float, **keys: object) -> None:
        item = self.profiles[name]
        entry = Entry(columns=(name,), sure=sure)
        entry.keys = {"column": name} if not keys else dict(keys)
        if item.strip:
            entry.keys["strip"] = list(item.strip)
        if FIELD[target].kind is Kind.TIME and not keys:
            entry.keys["formats"] = list(item.formats)
            if item.doubt:
                entry.doubt = item.doubt
                self.draft.questions.append(f"{name}: {item.doubt}")
        if FIELD[target].kind in (Kind.NUMBER, Kind.INTEGER):
            _as_number(item, entry)
        if target == "day_of_week" and item.shape == "number":
            low, high = item.quantile(0), item.quantile(1)
            entry.keys["numbering"] = "monday_1" if high == 7 or low == 1 else "monday_0"
            self.draft.questions.append(f"{name}: is Monday {int(low)}, as assumed, or Sunday?")
        if target == "hour_of_day" and item.shape == "clock":
            entry.keys["time_formats"] = list(item.formats)
        elif FIELD[target].kind is not Kind.TIME:
            self.unit(target, item, entry)
        if target in _OPTIONAL and _some_wrong(target, item):
            # What is not needed shall not cost an order.
            entry.keys["on_bad"] = "missing"
        self.draft.fields[target] = entry
        self.taken[name] = target
        why = "by its name and its values" if sure >= 0.8 else "mostly by its name"
        self.guesses.append(Guess(column=name, field=target, confidence=sure, reason=why))

    def unit(self, target: str, item: Profile, entry: Entry) -> None:
        unit = unit_of(FIELD[target].unit, item)
        if unit is None or (unit.name == FIELD[target].unit and not unit.doubt):
            return
        entry.keys["unit"] = unit.name
        if unit.doubt:
            entry.doubt = unit.doubt
            self.draft.questions.append(f"{item.name}: {unit.doubt} (taken for {unit.name})")

    def order_time(self, scores: list[tuple[float, str, str]]) -> None:
        """The time of the order from a date and a time of day, where no column has both."""
        if "placed_at" in self.draft.fields:
            for target in ("hour_of_day", "day_of_week"):
                self.give_up(target, "follows from the time of the order")
            return
        day = self.best("date", scores, ("placed_at",))
        clock = self.best("clock", scores, ("placed_at", "hour_of_day"))
        if day is None and self.instants():
            self.take(self.instants()[0], "placed_at", 0.45)
            return
        hour = self.draft.fields.get("hour_of_day")
        if day and (clock or hour):
            if clock is None and hour is not None:
                clock = (hour.sure, hour.columns[0])
                self.give_up("hour_of_day", "used for the time of the order")
            assert clock is not None
            self.join("placed_at", day[1], clock[1], min(day[0], clock[0]))
            for target in ("hour_of_day", "day_of_week"):
                self.give_up(target, "follows from the time of the order")

    def join(self, target: str, day: str, clock: str, sure: float) -> None:
        formats = list(self.profiles[clock].formats) or ["decimal_hour"]
        keys: dict[str, object] = {"date": day, "time": clock}
        keys["date_formats"] = list(self.profiles[day].formats)
        keys["time_formats"] = formats
        if target != "placed_at":
            keys["not_before"] = "placed_at"
        self.take(clock, target, sure, **keys)
        entry = self.draft.fields[target]
        if day not in self.taken:
            self.taken[day] = target
            self.guesses.append(
                Guess(column=day, field=target, confidence=sure, reason="the day of this time")
            )
            if self.profiles[day].doubt:
                entry.doubt = self.profiles[day].doubt
                self.draft.questions.append(f"{day}: {entry.doubt}")

    def later_times(self, scores: list[tuple[float, str, str]]) -> None:
        """Other times of day, on the day of the order or after midnight."""
        placed = self.draft.fields.get("placed_at")
        if placed is None or "date" not in placed.keys:
            return
        for sure, name, target in scores:
            if (
                target in _TIME_FIELDS
                and target not in self.draft.fields
                and name not in self.taken
                and self.profiles[name].shape == "clock"
            ):
                self.join(target, str(placed.keys["date"]), name, sure)

    def best(
        self, shape: str, scores: list[tuple[float, str, str]], targets: tuple[str, ...]
    ) -> tuple[float, str] | None:
        named = [
            (sure, name)
            for sure, name, target in scores
            if target in targets and self.profiles[name].shape == shape and name not in self.taken
        ]
        if named:
            return named[0]
        alone = [name for name, item in self.profiles.items() if item.shape == shape]
        return (0.5, alone[0]) if len(alone) == 1 and alone[0] not in self.taken else None

    def instants(self) -> list[str]:
        return [
            name
            for name, item in self.profiles.items()
            if item.shape == "instant" and name not in self.taken and not told_by_name(name)
        ]

    def skip_cancelled(self) -> None:
        """Orders that were never delivered are no deliveries."""
        for name, item in self.profiles.items():
            if name in self.taken or item.numbers is not None or item.distinct > _FEW:
                continue
            words = [str(word) for word in item.texts.drop_nulls().unique().sort()]
            gone = [word for word in words if _NOT_DELIVERED.search(word)]
            if gone and len(gone) < len(words):
                self.draft.skip.append((name, gone))
                self.leave_out(name, "used to leave out orders that were not delivered")

    def give_up(self, target: str, why: str) -> None:
        entry = self.draft.fields.pop(target, None)
        if entry is None:
            return
        for name in entry.columns:
            self.taken.pop(name, None)
            self.guesses = [guess for guess in self.guesses if guess.column != name]
            self.leave_out(name, why)

    def ask_for_the_rest(self) -> None:
        has = self.draft.fields
        if "placed_at" not in has and not {"hour_of_day", "day_of_week"} <= set(has):
            self.draft.questions.append(
                "Which column tells when the order was placed? Its time is needed: placed_at, or "
                "hour_of_day together with day_of_week"
            )
        if "delivery_minutes" not in has and not {"delivered_at", "placed_at"} <= set(has):
            self.draft.questions.append(
                "Which column tells how long the delivery took (delivery_minutes), or when it "
                "ended (delivered_at)?"
            )

    def sort_the_rest(self) -> None:
        """Columns without a field: extras, or left out with the reason."""
        left = {name: item for name, item in self.profiles.items() if name not in self.taken}
        left = {name: item for name, item in left.items() if not self.left_out(name)}
        told = self.told(left)
        for name, item in left.items():
            why = told.get(name) or told_by_name(name) or _useless(item, len(self.rows))
            if why:
                self.leave_out(name, why)
                continue
            kind = "category" if item.numbers is None else "number"
            entry = Entry(columns=(name,), sure=0.5)
            entry.keys = {"column": name, "kind": kind}
            if item.strip:
                entry.keys["strip"] = list(item.strip)
            _as_number(item, entry)
            if item.is_split:
                entry.doubt = "which rows to train on and which to score"
            elif item.numbers is not None and speaks_of(name, "prep", "duration", "picked"):
                entry.doubt = "leave it out if it is not known when an order is placed"
            self.draft.extras[plain_name(name, {*FIELD, *self.draft.extras})] = entry
            reason = f"no field of the record; kept as an extra {kind}"
            self.guesses.append(Guess(column=name, field=None, confidence=0.5, reason=reason))

    def told(self, left: dict[str, Profile]) -> dict[str, str]:
        values = self.outcome()
        if values is None:
            return {}
        assigned = {
            name: self.profiles[name]
            for name, target in self.taken.items()
            if target != "delivery_minutes"
        }
        return outcome_told(values, left, assigned)

    def outcome(self) -> pl.Series | None:
        """The minutes of the sample, by the mapping as drafted so far."""
        zone, self.draft.time_zone = self.draft.time_zone, "UTC"
        try:
            kept = apply(read_mapping(write(self.draft)), self.rows).kept
        except InvalidInput:
            return None
        finally:
            self.draft.time_zone = zone
        minutes = kept.select(ROW, "delivery_minutes")
        return self.rows.select(ROW).join(minutes, on=ROW, how="left", maintain_order="left")[
            "delivery_minutes"
        ]

    def left_out(self, name: str) -> bool:
        return any(column == name for column, _ in self.draft.left_out)

    def leave_out(self, name: str, why: str) -> None:
        self.draft.left_out.append((name, why))
        self.guesses.append(
            Guess(column=name, field=None, confidence=0.8, reason=f"left out: {why}")
        )

    def ask_zone(self) -> None:
        used = [entry for name, entry in self.draft.fields.items() if name in _TIME_FIELDS]
        if not used:
            return
        zoned = all(self.profiles[entry.columns[0]].zoned for entry in used)
        self.draft.time_zone = UNKNOWN_ZONE
        question = 'In which time zone does the business live? For example "Europe/Helsinki". '
        if zoned:
            # The instants are known; only the local hours would be those of UTC.
            self.draft.time_zone = "UTC"
            self.draft.questions.insert(
                0, question + "The times carry their offset; until you say, local hours are UTC's"
            )
            return
        self.draft.questions.insert(
            0,
            question
            + "If the times are written in another zone (often UTC), add that to each of them: "
            'time_zone = "UTC"',
        )


def _fit(target: str, item: Profile, rows: int) -> float:
    """How well a column's values suit a field, from 0 to 1."""
    kind, limits = FIELD[target].kind, FIELD[target]
    if kind is Kind.TIME:
        return 1.0 if item.shape in ("instant", "date", "clock") else 0.0
    if target in _SHAPES and item.shape not in (*_SHAPES[target], "constant"):
        return 0.0
    if kind is Kind.TEXT:
        share = item.distinct / max(item.count, 1)
        if target == "order_id":
            return 1.0 if share > 0.98 else 0.7 if share > 0.8 else 0.0
        if item.shape == "number" and not item.whole:
            return 0.0
        return 1.0 if share < 0.5 or item.count < 50 else 0.5
    if kind is Kind.CATEGORY:
        if item.shape == "number" and not (item.whole and item.distinct <= _FEW):
            return 0.0
        return 1.0 if item.distinct <= max(_FEW, item.count // 10) else 0.3
    if target == "day_of_week":
        inside = item.shape == "weekday" or (
            item.whole and item.quantile(0) >= 0 and item.quantile(1) <= 7
        )
        return 1.0 if inside else 0.0
    if item.numbers is None:
        return 1.0 if item.shape == "clock" and target in _SHAPES else 0.0
    if target == "hour_of_day":
        return 1.0 if item.quantile(0) >= 0 and item.quantile(1) <= 24 else 0.0
    if target in ("items", "distinct_items", "batched_orders") and not item.whole:
        return 0.3
    if target == "traffic_ratio" and item.quantile(1) > 100:
        return 0.0
    low, high = item.quantile(0.15), item.quantile(0.85)
    if target.endswith(("_lat", "_lon")):
        assert limits.low is not None
        assert limits.high is not None
        return 1.0 if limits.low <= low and high <= limits.high else 0.0
    if limits.low == 0 and low < 0:
        return 0.2
    return 1.0


def _some_wrong(target: str, item: Profile) -> bool:
    """Whether some values of the sample are no numbers, or negative where none can be."""
    if item.numbers is None:
        return False
    unread = item.numbers.null_count() > item.texts.null_count()
    return unread or (FIELD[target].low == 0 and item.quantile(0) < 0)


def _as_number(item: Profile, entry: Entry) -> None:
    if item.number_in_text:
        entry.keys["number_in_text"] = True
    if item.numbers is not None and item.decimal != ".":
        entry.keys["decimal"] = item.decimal


def _useless(item: Profile, rows: int) -> str:
    if item.shape == "empty":
        return "it is empty"
    if item.shape == "constant":
        return "it has one value only"
    if item.shape in ("instant", "date", "clock"):
        return "a time that belongs to no field of the record"
    if item.numbers is None and item.distinct > _FEW and item.distinct > 0.2 * item.count:
        return "nearly every row has its own text"
    if item.numbers is not None and item.whole and item.distinct == item.count and rows > 20:
        steps = item.present.diff().drop_nulls()
        if (steps == 1).all():
            return "it numbers the rows"
    if speaks_of(item.name, "id") and item.distinct > 0.5 * item.count:
        return "an identifier that belongs to no field of the record"
    return ""
