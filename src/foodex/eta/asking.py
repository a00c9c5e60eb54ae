"""Many orders asked about at once, none of which knows of the others.

`Model.forecast_frame` replays a history, in which each order sees those before it. Here a file of
orders is answered as if each had been asked about alone, by the same model in the same state:
the answers are those of `Model.forecast`, bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foodex.domain.forecasts import QUANTILES, Source
from foodex.eta import features as f
from foodex.eta.columns import Columns, Floats, Integers, columns_of_frame, cut, microseconds
from foodex.eta.history import Events, Sums
from foodex.eta.model import MISSING_SHARE, NO_SHIFT, Model
from foodex.eta.past import Past
from foodex.eta.state import LiveState

SOURCES: Final = tuple(Source)
"""What the codes of `Answered.sources` stand for."""
BLOCK_ROWS: Final = 16_384

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answered:
    """Quantiles of the minutes (n, q), aligned with `QUANTILES`, and by code where from (n,)."""

    quantiles: Floats
    sources: NDArray[np.int8]


class Asking:
    """Answers frames of orders from one state, which must not change meanwhile."""

    def __init__(self, model: Model, state: LiveState) -> None:
        self._model, self._state = model, state
        self._encoder = model.encoder
        self._known_ms, _ = state.drift.misses()
        self._past: Past | None = None
        if self._encoder.keys:
            self._past = Past(_all_of(state), self._encoder.windows, keep=True)
        self._shares: dict[tuple[str, ...], bool] = {}

    def answer(self, frame: pl.DataFrame, now: datetime) -> Answered:
        """Forecast the orders of a canonical frame; those without `placed_at` are placed `now`.

        Raises:
            InvalidInput: a column whose values are of the wrong kind.
        """
        n = len(frame)
        seen = self._encoder.inputs | {"placed_at"}
        columns = columns_of_frame(frame.select(name for name in frame.columns if name in seen))
        now_us = microseconds("now", now)
        placed = columns.get("placed_at")
        columns["placed_at"] = (
            np.full(n, now_us) if placed is None else np.where(np.isnan(placed), now_us, placed)
        )
        usable = self._usable(frame)
        found = Answered(np.empty((n, len(QUANTILES))), np.empty(n, dtype=np.int8))
        for start in range(0, n, BLOCK_ROWS):
            some = slice(start, min(start + BLOCK_ROWS, n))
            self._fill(found, some, cut(columns, some), usable[some])
        return found

    def _fill(self, found: Answered, some: slice, columns: Columns, usable: Flags) -> None:
        model, n = self._model, some.stop - some.start
        basics = model.dated(columns)
        sums: Sums = {}
        shifts: Floats = NO_SHIFT
        drift = np.zeros(n)
        if self._past is not None:
            placed_ms = (columns["placed_at"] // 1000).astype(np.int64)
            keys = self._encoder.key_columns(basics, self._state.codes)
            sums = self._past.sums(keys, placed_ms)
            shifts = self._shifts(placed_ms)
            count, total = sums["area_last_day"]
            drift = total / 60_000 / (count + 20.0)
        rows = self._rows(basics, sums)
        raw = self._predict(rows, usable)
        place, scale = model.place_and_scale(rows, raw)
        found.quantiles[some] = model.minutes(place, scale, shifts)
        found.sources[some] = SOURCES.index(Source.MODEL)
        for row in np.flatnonzero(~(usable & np.isfinite(raw).all(axis=1))).tolist():
            source, minutes = self._laddered(basics, row, float(drift[row]))
            found.quantiles[some.start + row] = minutes
            found.sources[some.start + row] = SOURCES.index(source)

    def _rows(self, basics: f.Basics, sums: Sums) -> Floats:
        columns = self._encoder.columns(self._encoder.features(basics), sums)
        rows = np.empty((basics.n, len(columns)))
        for index, column in enumerate(columns):
            rows[:, index] = column
        return rows

    def _predict(self, rows: Floats, usable: Flags) -> Floats:
        predictor = self._model.predictor
        if usable.all():
            return predictor.predict(rows)
        raw = np.full((len(rows), 2), np.nan)
        if usable.any():
            raw[usable] = predictor.predict(rows[usable])
        return raw

    def _shifts(self, placed_ms: Integers) -> Floats:
        # Orders that saw the same misses are moved by the same.
        seen = self._known_ms.searchsorted(placed_ms, side="left")
        _, first, which = np.unique(seen, return_index=True, return_inverse=True)
        table = [self._state.drift.shift(int(placed_ms[row])) for row in first.tolist()]
        return table[0] if len(table) == 1 else np.array(table)[which]

    def _usable(self, frame: pl.DataFrame) -> Flags:
        """Which orders have enough of what the model goes by."""
        n = len(frame)
        gaps: dict[str, Flags] = {}
        for name in self._model.parts.usual:
            if name == "placed_at":
                # Who does not say when is placed now.
                continue
            gap = _absent(frame[name]) if name in frame.columns else np.ones(n, dtype=np.bool_)
            if gap.any():
                gaps[name] = gap
        if not gaps:
            return np.ones(n, dtype=np.bool_)
        pattern: Integers = np.zeros(n, dtype=np.int64)
        for gap in gaps.values():
            # Renumbered each time, so that however many inputs there are, no number grows large.
            pattern = np.unique(pattern * 2 + gap, return_inverse=True)[1]
        _, first = np.unique(pattern, return_index=True)
        table = [
            self._enough(tuple(name for name, gap in gaps.items() if gap[row])) for row in first
        ]
        return np.array(table, dtype=np.bool_)[pattern]

    def _enough(self, missing: tuple[str, ...]) -> bool:
        known = self._shares.get(missing)
        if known is None:
            known = self._shares[missing] = self._model.missing_share(missing) <= MISSING_SHARE
        return known

    def _laddered(self, basics: f.Basics, row: int, drift: float) -> tuple[Source, Floats]:
        hour, km = float(basics.hour[row]), float(basics.distance_km[row])
        return self._model.parts.ladder.quantiles(
            None if hour != hour else hour,
            self._encoder.store_name(basics, row),
            None if km != km else km,
            drift,
        )


def _all_of(state: LiveState) -> Events:
    nothing = np.zeros(0, dtype=np.int64)
    empty = Events(nothing, nothing, nothing, dict.fromkeys(state.encoder.keys, nothing))
    join: Callable[[Events, Events], Events] = Events.joined
    return reduce(join, state.events, empty)


def _absent(series: pl.Series) -> Flags:
    found: Flags
    if series.dtype.is_float():
        found = np.isnan(series.to_numpy())
    elif series.null_count():
        found = series.is_null().to_numpy()
    else:
        found = np.zeros(len(series), dtype=np.bool_)
    return found
