"""Several orders at once: encoded and decoded together, each as it would be alone.

Most of what one order costs is the price of calling numpy on arrays of one. A few orders that
wait at the same time pay it once. The answers are those of `Model.encode_order` and
`Model.decode`, bit for bit.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Final

import numpy as np

from foodex.core.errors import InvalidInput
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.forecasts import Forecast, Source
from foodex.eta import features as f
from foodex.eta.columns import Columns, Floats, Integers, microseconds
from foodex.eta.history import COUNTED_KINDS, EMPTY, PLACED_LATELY, Sums, Window
from foodex.eta.model import AGED, MISSING_SHARE, NO_SHIFT, Encoded, Model
from foodex.eta.state import LiveState

Order = Mapping[str, Any]

_FIELDS_OF_NUMBERS: Final = {
    name
    for name, field in FIELD.items()
    if field.known_at_order and field.kind in (Kind.NUMBER, Kind.INTEGER)
}
_FIELDS_OF_TEXT: Final = {
    name
    for name, field in FIELD.items()
    if field.known_at_order and field.kind in (Kind.TEXT, Kind.CATEGORY)
}
_UNSEEN: Final = {"order_id"}
_NUMBER_TYPES: Final = frozenset({float, int})
_NOTHING: Final = type(None)
_MOST_REMEMBERED: Final = 1000
_PLACED_LATELY_MS: Final = PLACED_LATELY.milliseconds


@dataclass(frozen=True, slots=True)
class Batch:
    """Orders ready for the model, in columns; `places` says which order each row is.

    `rows` is (n, f); the lists are as long as the rows and mean what they mean in `Encoded`.
    Orders placed between two recomputations of the drift share one array of `shifts`.
    """

    places: Sequence[int]
    rows: Floats
    shifts: Sequence[Floats]
    missing: Sequence[tuple[str, ...]]
    ages_seconds: Sequence[dict[str, float]]
    usable: Sequence[bool]
    hours: Sequence[float | None]
    distances_km: Sequence[float | None]
    stores: Sequence[str | None]
    drift_minutes: Sequence[float]

    def __len__(self) -> int:
        return len(self.places)

    def encoded(self, row: int) -> Encoded:
        """One order of the batch as if it had been encoded alone."""
        return Encoded(
            self.rows[row : row + 1],
            self.shifts[row],
            self.missing[row],
            self.ages_seconds[row],
            self.usable[row],
            self.hours[row],
            self.distances_km[row],
            self.stores[row],
            self.drift_minutes[row],
        )


class Batcher:
    """Encodes and decodes for one model. Remembers nothing of the orders it saw."""

    def __init__(self, model: Model) -> None:
        self._model, self._encoder = model, model.encoder
        seen = self._encoder.inputs | set(model.parts.usual)
        self._numbers = tuple(sorted(_FIELDS_OF_NUMBERS | set(self._encoder.extras)))
        self._texts = tuple(
            sorted(seen & _FIELDS_OF_TEXT - _UNSEEN | set(self._encoder.categories))
        )
        self._known = frozenset({*self._numbers, *self._texts, *_FIELDS_OF_TEXT, "placed_at"})
        self._usual = model.parts.usual
        self._usual_numbers = [i for i, name in enumerate(self._numbers) if name in self._usual]
        self._usual_texts = [name for name in self._texts if name in self._usual]
        self._share: dict[tuple[str, ...], float] = {}

    def encode(
        self, orders: Sequence[Order], state: LiveState, now: datetime
    ) -> tuple[Batch, dict[int, InvalidInput]]:
        """Encode orders placed `now` unless they say otherwise, and tell what is wrong with which.

        Orders with only the fields the model knows, each of its plain type, are encoded together;
        any other order is encoded alone, and so is a single one, which takes half as long.
        """
        if len(orders) > 1:
            together = self._together(range(len(orders)), orders, state, now)
            if together is not None:
                return together, {}
        parts: list[Batch] = []
        errors: dict[int, InvalidInput] = {}
        plain = [place for place, order in enumerate(orders) if self._is_plain(order)]
        if 1 < len(plain) < len(orders):
            some = self._together(plain, [orders[p] for p in plain], state, now)
            if some is not None:
                parts.append(some)
        done = {place for part in parts for place in part.places}
        for place, order in enumerate(orders):
            if place not in done:
                try:
                    alone = self._model.encode_order(order, state, now)
                except InvalidInput as error:
                    errors[place] = error
                else:
                    parts.append(_alone(place, alone))
        return _joined(parts, len(self._encoder.names)), errors

    def quantiles(self, batch: Batch, raw: Floats | None) -> list[tuple[Source, tuple[float, ...]]]:
        """Where each answer comes from, and its quantiles of the minutes.

        Args:
            batch: what was encoded.
            raw: (n, 2) outputs of the model, NaN where it was not asked; None if it gave none.
        """
        found: list[tuple[Source, tuple[float, ...]]]
        if raw is None or not len(batch):
            return [self._laddered(batch, row) for row in range(len(batch))]
        model = self._model
        place, scale = model.place_and_scale(batch.rows, raw)
        minutes = model.minutes(place, scale, _stacked(batch.shifts))
        found = [(Source.MODEL, tuple(quantiles)) for quantiles in minutes.tolist()]
        finite = np.isfinite(raw).all(axis=1) & np.array(batch.usable)
        if not finite.all():
            for row, good in enumerate(finite.tolist()):
                if not good:
                    found[row] = self._laddered(batch, row)
        return found

    def decode(self, batch: Batch, raw: Floats | None) -> list[Forecast]:
        """As `Model.decode` for each row of the batch."""
        return [
            Forecast(
                quantiles_minutes=quantiles,
                source=source,
                degraded=source is not Source.MODEL or bool(batch.missing[row]),
                missing=batch.missing[row],
                input_ages_seconds=batch.ages_seconds[row],
            )
            for row, (source, quantiles) in enumerate(self.quantiles(batch, raw))
        ]

    def predict(self, batch: Batch) -> Floats:
        """Raw outputs (n, 2) of the model, NaN for orders that have too little for it."""
        predictor = self._model.predictor
        if all(batch.usable):
            return predictor.predict(batch.rows)
        usable = np.flatnonzero(batch.usable)
        raw = np.full((len(batch), 2), np.nan)
        if len(usable):
            raw[usable] = predictor.predict(batch.rows[usable])
        return raw

    def _laddered(self, batch: Batch, row: int) -> tuple[Source, tuple[float, ...]]:
        source, quantiles = self._model.parts.ladder.quantiles(
            batch.hours[row], batch.stores[row], batch.distances_km[row], batch.drift_minutes[row]
        )
        return source, tuple(quantiles.tolist())

    def _is_plain(self, order: Order) -> bool:
        """Whether every value is of the type that `_together` reads."""
        if not order.keys() <= self._known:
            return False
        for name, value in order.items():
            if value is None:
                continue
            if name == "placed_at":
                plain = type(value) is datetime and value.tzinfo is not None
            elif name in self._numbers:
                plain = type(value) in _NUMBER_TYPES
            else:
                plain = type(value) is str
            if not plain:
                return False
        return True

    def _together(
        self, places: Sequence[int], orders: Sequence[Order], state: LiveState, now: datetime
    ) -> Batch | None:
        """The orders encoded at once, or None if not all of them are plain."""
        known = self._known
        if not orders or not all(order.keys() <= known for order in orders):
            return None
        read = self._columns(orders)
        if read is None:
            return None
        columns, gaps = read
        given = [order.get("placed_at") for order in orders]
        now_us = microseconds("now", now)
        try:
            placed = np.array(
                [now_us if t is None else microseconds("placed_at", t) for t in given]
            )
        except InvalidInput:
            return None
        columns["placed_at"] = placed
        missing = self._missing(orders) if gaps else [()] * len(orders)
        basics = self._model.dated(columns)
        static = self._encoder.static(basics)
        n = len(orders)
        ages: list[dict[str, float]]
        if self._encoder.keys:
            placed_ms = (placed // 1000).astype(np.int64)
            sums, ages = self._history(state, basics, placed_ms)
            shifts = [state.drift.shift(ms) for ms in placed_ms.tolist()]
            counts, totals = (part.tolist() for part in sums["area_last_day"])
            drift = [
                total / 60_000 / (count + 20.0) for count, total in zip(counts, totals, strict=True)
            ]
        else:
            sums, ages, shifts, drift = {}, [{} for _ in range(n)], [NO_SHIFT] * n, [0.0] * n
        store = self._encoder.store_name
        return Batch(
            places,
            self._encoder.rows(static, sums),
            shifts,
            missing,
            ages,
            [self._missing_share(one) <= MISSING_SHARE for one in missing],
            [None if hour != hour else hour for hour in basics.hour.tolist()],
            [None if km != km else km for km in basics.distance_km.tolist()],
            [store(basics, row) for row in range(n)],
            drift,
        )

    def _columns(self, orders: Sequence[Order]) -> tuple[Columns, bool] | None:
        """The orders' columns but for the time, and whether anything usual is missing."""
        numbers = [[get(name) for name in self._numbers] for get in (o.get for o in orders)]
        types = set(map(type, chain.from_iterable(numbers)))
        if not types <= _NUMBER_TYPES | {_NOTHING}:
            return None
        try:
            # None reads as NaN. One array a column, so that each is walked in order.
            matrix = np.array(numbers, dtype=np.float64).T.copy()
        except (OverflowError, ValueError, TypeError):
            return None
        columns: Columns = dict(zip(self._numbers, matrix, strict=True))
        for name in self._texts:
            values = [order.get(name) for order in orders]
            if not set(map(type, values)) <= {str, _NOTHING}:
                return None
            column = np.empty(len(orders), dtype=object)
            column[:] = values
            columns[name] = column
        gaps = bool(np.isnan(matrix[self._usual_numbers]).any()) or any(
            None in columns[name].tolist() for name in self._usual_texts
        )
        return columns, gaps

    def _missing(self, orders: Sequence[Order]) -> list[tuple[str, ...]]:
        usual = self._usual
        found = []
        for order in orders:
            values = map(order.get, usual)
            lost = [n for n, v in zip(usual, values, strict=True) if v is None or v != v]
            if lost and order.get("placed_at") is None:
                lost = [n for n in lost if n not in ("placed_at", "hour_of_day", "day_of_week")]
            found.append(tuple(lost))
        return found

    def _missing_share(self, missing: tuple[str, ...]) -> float:
        if not missing:
            return 0.0
        share = self._share.get(missing)
        if share is None:
            if len(self._share) >= _MOST_REMEMBERED:
                self._share.clear()
            share = self._share[missing] = self._model.missing_share(missing)
        return share

    @cached_property
    def _windows(self) -> dict[str, list[Window]]:
        keys, windows = self._encoder.keys, self._encoder.windows
        # Those by count first, as `_Asked` answers them.
        ordered = sorted(windows, key=lambda w: w.count is None)
        return {kind: [w for w in ordered if w.key == kind] for kind in keys}

    def _history(
        self, state: LiveState, basics: f.Basics, placed_ms: Integers
    ) -> tuple[Sums, list[dict[str, float]]]:
        """What history says to each order, and how old it is."""
        keys = self._encoder.key_columns(basics, state.codes)
        moments = placed_ms.tolist()
        ages: list[dict[str, float]] = [{} for _ in moments]
        sums: Sums = {}
        for kind in self._encoder.keys:
            windows, aged = self._windows[kind], AGED.get(kind)
            ask = _Asked(state, kind, windows)
            # Orders placed in one instant ask the same of an area.
            asked: dict[tuple[int, int], tuple[list[int], list[int], int | None]] = {}
            answers = []
            for question in zip(keys[kind].tolist(), moments, strict=True):
                answer = asked.get(question)
                if answer is None:
                    answer = asked[question] = ask(*question)
                answers.append(answer)
            if aged is not None:
                for age, (_, _, last), now_ms in zip(ages, answers, moments, strict=True):
                    if last:
                        age[aged] = (now_ms - last) / 1000.0
            counts = np.array([answer[0] for answer in answers], dtype=np.int64).T
            totals = np.array([answer[1] for answer in answers], dtype=np.int64).T
            for index, window in enumerate(windows):
                sums[window.name] = (counts[index], totals[index])
            if kind in COUNTED_KINDS:
                sums[f"{kind}_open"] = (counts[-2], 0)
                sums[f"{kind}_placed_lately"] = (counts[-1], 0)
        return sums, ages


class _Asked:
    """`Live.sums` for one kind of key, with each place in time looked up once."""

    def __init__(self, state: LiveState, kind: str, windows: Sequence[Window]) -> None:
        self._delivered, self._placed = state.live.series(kind)
        self._last = tuple(w.count for w in windows if w.count is not None)
        self._spans_ms = tuple(w.milliseconds for w in windows if w.count is None)
        assert [w.count is None for w in windows] == sorted(w.count is None for w in windows)

    def __call__(self, key: int, now_ms: int) -> tuple[list[int], list[int], int | None]:
        """Counts, sums (ms), and when the newest delivery was."""
        done = self._delivered.get(key, EMPTY)
        times, running = done.times, done.sums
        high = bisect_left(times, now_ms)
        lows = [high - count if high > count else 0 for count in self._last]
        if self._spans_ms:
            lows += [bisect_left(times, now_ms - span, 0, high) for span in self._spans_ms]
        upto = running[high]
        counts = [high - low for low in lows]
        totals = [upto - running[low] for low in lows]
        if self._placed is not None:
            placed = self._placed.get(key, EMPTY).times
            seen = bisect_left(placed, now_ms)
            lately = seen - bisect_left(placed, now_ms - _PLACED_LATELY_MS, 0, seen)
            counts += (seen - high, lately)
        return counts, totals, times[high - 1] if high else None


def _stacked(each: Sequence[Floats]) -> Floats:
    first = each[0]
    if all(shift is first for shift in each):
        return first
    return np.array(each)


def _alone(place: int, one: Encoded) -> Batch:
    return Batch(
        [place],
        one.rows,
        [one.shift],
        [one.missing],
        [one.ages_seconds],
        [one.usable],
        [one.hour],
        [one.distance_km],
        [one.store],
        [one.drift_minutes],
    )


def _joined(parts: Sequence[Batch], width: int) -> Batch:
    """One batch of several, in the order of their places."""
    if not parts:
        return Batch([], np.empty((0, width)), [], [], [], [], [], [], [], [])
    if len(parts) == 1:
        return parts[0]
    ones = sorted(
        (place, part.encoded(row)) for part in parts for row, place in enumerate(part.places)
    )
    encoded = [one for _, one in ones]
    return Batch(
        [place for place, _ in ones],
        np.concatenate([one.rows for one in encoded]),
        [one.shift for one in encoded],
        [one.missing for one in encoded],
        [one.ages_seconds for one in encoded],
        [one.usable for one in encoded],
        [one.hour for one in encoded],
        [one.distance_km for one in encoded],
        [one.store for one in encoded],
        [one.drift_minutes for one in encoded],
    )
