"""Applying a mapping: rows as they came become canonical rows, or rejections with their reasons."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import polars as pl

from foodex.domain.deliveries import FIELD, FIELDS, MAX_DELIVERY_MINUTES, Kind
from foodex.domain.mappings import FieldRule, RecordMapping, conversion
from foodex.services.collector import times
from foodex.services.collector.values import clean, numbers, weekdays

ROW: Final = "row"
"""The row's number in its source (int64, from 1)."""
REJECTED: Final = {
    ROW: pl.Int64,
    "rule": pl.String,
    "field": pl.String,
    "reason": pl.String,
}
"""The schema of rejections."""

FAR_KM: Final = 500.0
NULL_ISLAND_DEGREES: Final = 1.0
"""Around (0, 0) is only sea: the nearest land is more than five degrees away."""

DTYPES: Final = {
    Kind.TEXT: pl.String(),
    Kind.CATEGORY: pl.String(),
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.TIME: times.INSTANT,
}
_ENDS: Final = (("store_lat", "store_lon"), ("customer_lat", "customer_lon"))
_COORDINATES: Final = tuple(name for pair in _ENDS for name in pair)
_EARTH_KM: Final = 6371.0088


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of some rows: `kept` has `row` and the canonical columns, in order of row.

    `repaired` counts values that could not be and were taken for missing, by rule and field.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    repaired: dict[str, int]


def columns_of(mapping: RecordMapping) -> dict[str, Kind]:
    """The columns that a mapping fills, with their kinds, in the order of the record."""
    has = {rule.name for rule in mapping.fields}
    if {"placed_at", "delivered_at"} <= has:
        has.add("delivery_minutes")
    if {"placed_at", "delivery_minutes"} <= has:
        has.add("delivered_at")
    if {"delivered_at", "delivery_minutes"} <= has:
        has.add("placed_at")
    found = {item.name: item.kind for item in FIELDS if item.name in has}
    return found | {rule.name: rule.kind for rule in mapping.extras}


def apply(mapping: RecordMapping, raw: pl.DataFrame) -> Applied:
    """Turn rows as they came (`row` and columns of texts) into canonical ones.

    A row with several faults is one rejection, under the first by the order of fields; its
    reason tells them all. What is decided about a row depends on that row alone. A source column
    that the frame lacks is missing in every row.
    """
    return Application(mapping, raw).result()


@dataclass(slots=True)
class _Fault:
    order: int
    rule: str
    field: str
    rows: pl.Series
    reasons: pl.Series


@dataclass(slots=True)
class Application:
    """A mapping being applied to some rows."""

    mapping: RecordMapping
    raw: pl.DataFrame
    values: dict[str, pl.Series] = field(default_factory=dict)
    faults: list[_Fault] = field(default_factory=list)
    bad: dict[str, pl.Series] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)

    def result(self) -> Applied:
        self.leave_out()
        rules = sorted(self.mapping.fields, key=lambda rule: rule.minutes_after is not None)
        for rule in (*rules, *self.mapping.extras):
            self.values[rule.name] = self.read(rule)
        self.roll_over_midnight()
        self.bound()
        self.check_coordinates()
        self.complete()
        self.check_duration()
        self.require()
        rejected = self.rejected()
        columns = [self.raw[ROW]]
        for name, kind in columns_of(self.mapping).items():
            columns.append(self.values[name].cast(DTYPES[kind]).alias(name))
        kept = pl.DataFrame(columns)
        if len(rejected):
            kept = kept.filter(~kept[ROW].is_in(rejected[ROW].implode()))
        return Applied(kept, rejected, self.repaired)

    def texts(self, column: str, rule: FieldRule) -> pl.Series:
        if column not in self.raw.columns:
            return self.constant(None, pl.String())
        return clean(self.raw[column], rule, self.mapping.missing)

    def constant(self, value: str | bool | None, dtype: pl.DataType) -> pl.Series:
        return pl.Series([value], dtype=dtype).new_from_index(0, len(self.raw))

    def read(self, rule: FieldRule) -> pl.Series:
        if (found := self.plain_numbers(rule)) is not None:
            return self.converted(rule, found)
        if rule.value is not None:
            texts = self.constant(rule.value, pl.String())
        elif rule.column is not None:
            texts = self.texts(rule.column, rule)
        else:
            return self.date_and_time(rule)
        if rule.kind in (Kind.TEXT, Kind.CATEGORY):
            return texts
        if rule.kind is Kind.TIME and rule.minutes_after is None:
            zone = rule.time_zone or self.mapping.time_zone
            found = times.instants(texts, rule.formats, zone)
            return self.judged(rule, texts, found, "bad_time", "is no time that can be read")
        if rule.name == "day_of_week":
            found = weekdays(texts, rule.numbering)
            return self.judged(rule, texts, found, "bad_weekday", "is no day of the week")
        if rule.name == "hour_of_day" and rule.time_formats:
            found = times.clocks(texts, rule.time_formats) / 3.6e9
            return self.judged(rule, texts, found, "bad_time", "is no time of day")
        found = self.judged(rule, texts, self.number(rule, texts), "bad_number", "is no number")
        if rule.kind is Kind.TIME:
            start = self.values[rule.minutes_after or ""].cast(pl.Int64)
            moved = start + (found * 60e6).round().cast(pl.Int64)
            return moved.cast(times.INSTANT)
        return found

    def plain_numbers(self, rule: FieldRule) -> pl.Series | None:
        """The numbers of a column in which every text is one as it stands, which is soon seen."""
        if (
            rule.kind not in (Kind.NUMBER, Kind.INTEGER)
            or rule.column not in self.raw.columns
            or rule.name == "day_of_week"
            or rule.time_formats
            or rule.unit == "clock"
            or rule.values
            or rule.strip
            or (rule.decimal or self.mapping.decimal) != "."
            or _has_numbers(self.mapping.missing if rule.missing is None else rule.missing)
        ):
            return None
        found = self.raw[rule.column].cast(pl.Float64, strict=False)
        return found if found.null_count() == 0 and _all_finite(found) else None

    def number(self, rule: FieldRule, texts: pl.Series) -> pl.Series:
        if rule.unit == "clock":
            return times.clocks(texts, ()) / 60e6
        decimal = rule.decimal or self.mapping.decimal
        found = numbers(texts, decimal=decimal, in_text=rule.number_in_text)
        return self.converted(rule, found)

    def converted(self, rule: FieldRule, found: pl.Series) -> pl.Series:
        """Numbers in the unit of their field."""
        if rule.unit is None:
            scale, offset = 1.0, 0.0
        elif rule.kind is Kind.TIME:
            scale, offset = conversion("delivery_minutes", rule.unit)
        else:
            currency = self.mapping.rule("currency")
            scale, offset = conversion(rule.name, rule.unit, currency.value if currency else None)
        found = found if (scale, offset) == (1.0, 0.0) else found * scale + offset
        if rule.kind is Kind.INTEGER:
            fits = found.abs() < 2**53
            found = found.set(~fits, None).round()
        return found

    def date_and_time(self, rule: FieldRule) -> pl.Series:
        day_texts = self.texts(rule.date or "", rule)
        clock_texts = self.texts(rule.time or "", rule)
        day = times.days(day_texts, rule.date_formats)
        clock = times.clocks(clock_texts, rule.time_formats)
        found = times.joined(day, clock, rule.time_zone or self.mapping.time_zone)
        given = pl.select(
            pl.when(day_texts.is_not_null() & clock_texts.is_not_null()).then(
                pl.concat_str([day_texts, clock_texts], separator=" ")
            )
        ).to_series()
        return self.judged(rule, given, found, "bad_time", "is no time that can be read")

    def judged(
        self, rule: FieldRule, given: pl.Series, found: pl.Series, name: str, complaint: str
    ) -> pl.Series:
        wrong = given.is_not_null() & found.is_null()
        if not wrong.any():
            return found
        reason = pl.format("{} {}", pl.format("'{}'", given.str.slice(0, 80)), pl.lit(complaint))
        self.fault(rule.name, name, wrong, reason, soft=rule.on_bad == "missing")
        return found

    def fault(
        self, name: str, rule: str, where: pl.Series, reason: pl.Expr, *, soft: bool = False
    ) -> None:
        """Note that the rows `where` are wrong in field `name`, or only count them if `soft`."""
        where = where.fill_null(value=False)
        if not where.any():
            return
        if soft:
            key = f"{rule}:{name}"
            self.repaired[key] = self.repaired.get(key, 0) + int(where.sum())
            return
        order = list(FIELD).index(name) if name in FIELD else len(FIELD)
        picked = where.arg_true()
        reasons = pl.select(reason).to_series()
        reasons = (
            reasons.gather(picked)
            if len(reasons) > 1
            else reasons.extend_constant(reasons[0], len(picked) - 1)
        )
        self.faults.append(_Fault(order, rule, name, self.raw[ROW].gather(picked), reasons))
        self.bad[name] = where | self.bad[name] if name in self.bad else where

    def leave_out(self) -> None:
        for rule in self.mapping.skip:
            if rule.column not in self.raw.columns:
                continue
            values = self.raw[rule.column].str.strip_chars()
            named = values.is_in(list(rule.values)).fill_null(value="" in rule.values)
            where = ~named if rule.unless else named
            if where.any():
                reason = pl.format("'{}' is left out", values.fill_null(""))
                self.fault("", "skipped", where, reason)
                self.faults[-1].order = -1
                self.faults[-1].field = rule.column

    def roll_over_midnight(self) -> None:
        for rule in self.mapping.fields:
            if rule.not_before is None:
                continue
            late, early = self.values[rule.name], self.values[rule.not_before]
            before = (late < early).fill_null(value=False)
            if before.any():
                moved = (late.cast(pl.Int64) + times.DAY_US).cast(times.INSTANT)
                self.values[rule.name] = late.zip_with(~before, moved)

    def bound(self) -> None:
        for rule in self.mapping.fields:
            limits = FIELD[rule.name]
            if limits.low is None or limits.high is None or rule.kind is Kind.TIME:
                continue
            place = rule.name in _COORDINATES
            soft = (self.mapping.impossible_coordinates if place else rule.on_bad) == "missing"
            values = self.values[rule.name]
            if _all_within(values, limits.low, limits.high):
                continue
            inside = values.is_between(limits.low, limits.high)
            if rule.name == "delivery_minutes":
                inside = inside | (values < 0)
            outside = (~inside).fill_null(value=False)
            if not outside.any():
                continue
            span = f"{limits.low:g} to {limits.high:g} {limits.unit}".strip()
            what = "impossible_coordinate" if place else "out_of_range"
            reason = pl.format("{} is outside {}", _written(values), pl.lit(span))
            self.fault(rule.name, what, outside, reason, soft=soft)
            self.values[rule.name] = values.set(outside, None)

    def check_coordinates(self) -> None:
        policy = self.mapping.doubtful_coordinates
        if policy == "keep":
            return
        for lat, lon in _ENDS:
            if lat in self.values and lon in self.values:
                nowhere = (self.values[lat].abs() <= NULL_ISLAND_DEGREES) & (
                    self.values[lon].abs() <= NULL_ISLAND_DEGREES
                )
                self.doubt(lat, lon, nowhere, "is in the empty sea around (0, 0)", policy)
        if all(name in self.values for name in _COORDINATES):
            far = _apart_km(*(self.values[name] for name in _COORDINATES)) > FAR_KM
            for lat, lon in _ENDS:
                complaint = f"is more than {FAR_KM:g} km from the order's other end"
                self.doubt(lat, lon, far, complaint, policy)

    def doubt(self, lat: str, lon: str, where: pl.Series, complaint: str, policy: str) -> None:
        where = where.fill_null(value=False)
        if not where.any():
            return
        place = pl.format("({}, {})", _written(self.values[lat]), _written(self.values[lon]))
        reason = pl.format("{} {}", place, pl.lit(complaint))
        self.fault(lat, "doubtful_coordinate", where, reason, soft=policy == "missing")
        for name in (lat, lon):
            self.values[name] = self.values[name].set(where, None)

    def complete(self) -> None:
        """Fill in, of the order's time, its end and its duration, the one that is not there."""
        placed, ended, lasted = (
            self.values.get(name) for name in ("placed_at", "delivered_at", "delivery_minutes")
        )
        if ended is not None and placed is not None:
            between = (ended.cast(pl.Int64) - placed.cast(pl.Int64)) / 60e6
            self.fill("delivery_minutes", between)
        elif placed is not None and lasted is not None:
            self.fill("delivered_at", _moved(placed, lasted))
        elif ended is not None and lasted is not None:
            self.fill("placed_at", _moved(ended, -lasted))

    def fill(self, name: str, derived: pl.Series) -> None:
        own = self.values.get(name)
        self.values[name] = derived if own is None else own.zip_with(own.is_not_null(), derived)

    def check_duration(self) -> None:
        lasted = self.values["delivery_minutes"]
        reason = pl.format("{} minutes is negative", _written(lasted))
        self.fault("delivery_minutes", "negative_duration", lasted < 0, reason)
        if "delivery_minutes" not in {rule.name for rule in self.mapping.fields}:
            span = f"0 to {MAX_DELIVERY_MINUTES:g} min"
            reason = pl.format("{} is outside {}", _written(lasted), pl.lit(span))
            self.fault("delivery_minutes", "out_of_range", lasted > MAX_DELIVERY_MINUTES, reason)
        placed, ended = self.values.get("placed_at"), self.values.get("delivered_at")
        if placed is not None and ended is not None:
            before = (ended < placed) & (lasted >= 0)
            reason = pl.format("{} is before the order", ended.dt.to_string("iso:strict"))
            self.fault("delivered_at", "negative_duration", before, reason)

    def require(self) -> None:
        def absent(*names: str) -> pl.Series:
            found = self.constant(False, pl.Boolean())
            for name in names:
                values = self.values.get(name)
                found |= self.constant(True, pl.Boolean()) if values is None else values.is_null()
            return found

        def spoken_of(*names: str) -> pl.Series:
            found = self.constant(False, pl.Boolean())
            for name in names:
                if name in self.bad:
                    found |= self.bad[name]
            return found

        no_time = absent("placed_at") & absent("hour_of_day", "day_of_week")
        no_time &= ~spoken_of("placed_at", "hour_of_day", "day_of_week")
        where = "placed_at" if "placed_at" in self.values else "hour_of_day"
        self.fault(where, "missing_time", no_time, pl.lit("the time of the order is missing"))
        no_end = absent("delivery_minutes") & ~spoken_of("delivery_minutes", "delivered_at")
        no_end &= ~(no_time | spoken_of("placed_at"))
        reason = pl.lit("the delivery's duration is missing")
        self.fault("delivery_minutes", "missing_duration", no_end, reason)

    def rejected(self) -> pl.DataFrame:
        if not self.faults:
            return pl.DataFrame(schema=REJECTED)
        parts = []
        for fault in sorted(self.faults, key=lambda fault: fault.order):
            columns = {
                ROW: fault.rows,
                "rule": pl.repeat(fault.rule, len(fault.rows), dtype=pl.String, eager=True),
                "field": pl.repeat(fault.field, len(fault.rows), dtype=pl.String, eager=True),
                "reason": fault.reasons,
            }
            parts.append(pl.DataFrame(columns, schema=REJECTED))
        together = pl.concat(parts).with_columns(
            pl.when(pl.len().over(ROW) > 1)
            .then(pl.format("{}: {}", "field", "reason"))
            .otherwise("reason")
            .alias("reason")
        )
        return (
            together.group_by(ROW, maintain_order=True)
            .agg(pl.first("rule", "field"), pl.col("reason").str.join("; "))
            .sort(ROW)
        )


@lru_cache(maxsize=64)
def _has_numbers(words: tuple[str, ...]) -> bool:
    texts = pl.Series(words, dtype=pl.String).str.strip_chars()
    return bool(texts.cast(pl.Float64, strict=False).is_finite().any())


def _written(values: pl.Series) -> pl.Series:
    return values.round(6).cast(pl.String)


def _moved(start: pl.Series, minutes: pl.Series) -> pl.Series:
    # A negative or endless duration is refused elsewhere; here it must only not overflow.
    span = (minutes.clip(-1e6, 1e6) * 60e6).round().cast(pl.Int64)
    return (start.cast(pl.Int64) + span).cast(times.INSTANT)


def _apart_km(lat_a: pl.Series, lon_a: pl.Series, lat_b: pl.Series, lon_b: pl.Series) -> pl.Series:
    """Great-circle distance (haversine formula, mean Earth radius)."""
    frame = pl.DataFrame({"a": lat_a, "x": lon_a, "b": lat_b, "y": lon_b})
    half_lat = ((pl.col("b") - pl.col("a")).radians() / 2).sin() ** 2
    half_lon = ((pl.col("y") - pl.col("x")).radians() / 2).sin() ** 2
    chord = half_lat + pl.col("a").radians().cos() * pl.col("b").radians().cos() * half_lon
    return frame.select(2 * _EARTH_KM * chord.clip(0, 1).sqrt().arcsin()).to_series()


def _all_within(values: pl.Series, low: float, high: float) -> bool:
    """Whether that is so, soon seen: expressions on short columns cost more than their work."""
    least: Any = values.min()
    most: Any = values.max()
    return least is None or (low <= least and most <= high and _all_finite(values))


def _all_finite(values: pl.Series) -> bool:
    given = values.drop_nulls() if values.null_count() else values
    return bool(np.isfinite(given.to_numpy()).all())
