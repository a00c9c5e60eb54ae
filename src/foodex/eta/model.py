"""A trained model: from an order to its forecast, and from files and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import polars as pl

from foodex.core.errors import FieldProblem, InvalidInput, NotFound, Unavailable
from foodex.domain.forecasts import QUANTILES, Explanation, Forecast, Source
from foodex.domain.promises import PromisePolicy
from foodex.eta import features as f
from foodex.eta.calibration import KEPT, Calibration, Shifts
from foodex.eta.columns import (
    Columns,
    Floats,
    columns_of_frame,
    columns_of_orders,
    microseconds,
)
from foodex.eta.encoding import Encoder
from foodex.eta.explanation import explain
from foodex.eta.history import Sums
from foodex.eta.ladder import Ladder
from foodex.eta.linear import BentRule
from foodex.eta.links import Link
from foodex.eta.looking import Reading, read
from foodex.eta.state import LiveState, Timeline
from foodex.eta.summary import ModelSummary
from foodex.eta.threads import BLOCK_ROWS, in_blocks
from foodex.ports.inference import Predictor

FORMAT: Final = 1
ONNX_FILE: Final = "model.onnx"
JSON_FILE: Final = "model.json"
ROWS_AT_ONCE: Final = 4 * BLOCK_ROWS
"""Rows of a frame that the model is given at once."""
MISSING_SHARE: Final = 0.5
"""Beyond this share of the model's importance missing, a lower rung answers."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One order ready for the model: `rows` is (1, f); the rest is kept for decoding."""

    rows: Floats
    shift: Floats
    missing: tuple[str, ...]
    ages_seconds: dict[str, float]
    usable: bool
    hour: float | None
    distance_km: float | None
    store: str | None
    drift_minutes: float


@dataclass(frozen=True)
class Parts:
    """What a model is made of besides its trees; all of it goes to JSON."""

    encoder: Encoder
    link: Link
    offset: BentRule | None
    calibration: Calibration
    ladder: Ladder
    reference: Floats
    """The typical order (f,), from which explanations are told."""
    usual: tuple[str, ...]
    """Inputs that training orders nearly always had; without one an answer is degraded."""
    fitted_until_ms: int
    """Orders placed before were fitted, so what they miss by says nothing of drift."""
    summary: ModelSummary


class Model:
    """Forecasts of delivery minutes. Immutable; whatever changes is in a `LiveState`.

    Safe to share between threads as long as each state is used by one at a time.
    """

    def __init__(self, parts: Parts, onnx: bytes, predictor: Predictor) -> None:
        self.parts, self.onnx, self.predictor = parts, onnx, predictor
        self.encoder = parts.encoder
        self.calibration = parts.calibration

    @property
    def summary(self) -> ModelSummary:
        """How the model was made."""
        return self.parts.summary

    def save(self, folder: Path) -> None:
        """Write the model's folder: ONNX and JSON, nothing else. The same model, the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ONNX_FILE).write_bytes(self.onnx)
        text = json.dumps(parts_to_json(self.parts), ensure_ascii=False, sort_keys=True)
        (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, predictor: Predictor | None = None) -> Self:
        """The model of a folder; by default its trees run in this process, on one thread.

        Raises:
            NotFound: there is no model in the folder.
            InvalidInput: what is there cannot be read as one.
        """
        try:
            text = (folder / JSON_FILE).read_text(encoding="utf-8")
            onnx = (folder / ONNX_FILE).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"There is no model in {folder}: {error.filename} is missing") from None
        try:
            parts = parts_from_json(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = FieldProblem(JSON_FILE, f"cannot be read: {error!r}")
            raise InvalidInput(f"The model in {folder} is damaged", problems=[problem]) from error
        return cls(parts, onnx, predictor or in_process(onnx))

    def start_state(self) -> LiveState:
        """A state that knows no orders yet, only the drift at the end of training."""
        until = self.parts.fitted_until_ms
        return LiveState(self.encoder, self.calibration, until, self.misses)

    def state_of(self, frame: pl.DataFrame) -> LiveState:
        """A state that has seen the frame's orders (delivered, or still under way)."""
        state = self.start_state()
        if not self.encoder.keys or (seen := self._read(frame, state, None)).events is None:
            return state
        state.fill(seen.columns, seen.time, seen.events)
        fresh = np.flatnonzero(seen.time.done & (seen.time.placed_ms >= state.fitted_until_ms))
        newest = fresh[np.argsort(seen.time.delivered_ms[fresh], kind="stable")]
        newest = newest[-KEPT:]
        found = self.misses(np.column_stack(seen.rows_of(newest)), seen.time.minutes[newest])
        known = zip(seen.time.delivered_ms[newest].tolist(), found.tolist(), strict=True)
        for known_ms, miss in known:
            state.drift.add(known_ms, miss)
        return state

    def observe(self, state: LiveState, orders: Sequence[Mapping[str, Any]]) -> int:
        """Learn from delivered orders at once; returns how many were new to the state."""
        return state.observe(orders)

    def encode(self, columns: Columns, state: LiveState) -> Floats:
        """Rows (n, f) of orders, each as of the moment it was placed."""
        basics = self.encoder.basics(columns)
        static = self.encoder.static(basics)
        sums = state.sums(basics, Timeline.of(columns).placed_ms) if self.encoder.keys else {}
        return self.encoder.rows(static, sums)

    def place_and_scale(self, rows: Floats, raw: Floats) -> tuple[Floats, Floats]:
        """Place and scale on the link's scale, each (n,), from rows and raw outputs (n, 2)."""
        place = raw[:, 0]
        if self.parts.offset is not None:
            place = place + self.parts.offset.predict(rows)
        return place, self.calibration.scales(raw[:, 1])

    def misses(self, rows: Floats, minutes: Floats) -> Floats:
        """By how many scales each order's minutes missed its place."""
        if not len(rows):
            return np.zeros(0)
        place, scale = self.place_and_scale(rows, self.predictor.predict(rows))
        return (self.parts.link.forward(minutes) - place) / scale

    def encode_order(self, order: Mapping[str, Any], state: LiveState, now: datetime) -> Encoded:
        """The first third of a forecast: one order, placed `now` unless it says otherwise.

        Raises:
            InvalidInput: a value that its field cannot hold.
        """
        encoder = self.encoder
        now_us = microseconds("now", now)
        columns = columns_of_orders([order])
        for name in encoder.extras:
            if name in columns and columns[name].dtype == object:
                problem = FieldProblem(name, f"{order[name]!r} is no number", 0)
                raise InvalidInput("An order has a value that cannot be used", problems=[problem])
        missing = tuple(name for name in self.parts.usual if _absent(columns.get(name)))
        if "placed_at" not in columns:
            columns["placed_at"] = np.array([now_us])
            missing = tuple(
                n for n in missing if n not in ("placed_at", "hour_of_day", "day_of_week")
            )
        basics = self.dated(columns)
        static = encoder.static(basics)
        ages: dict[str, float] = {}
        shift, drift = NO_SHIFT, 0.0
        sums: Sums = {}
        if encoder.keys:
            placed_ms = int(columns["placed_at"][0] // 1000)
            keys = {k: int(v[0]) for k, v in encoder.key_columns(basics, state.codes).items()}
            sums = state.live.sums(keys, placed_ms)
            shift = state.drift.shift(placed_ms)
            for kind in encoder.keys:
                if kind in AGED and (last := state.live.last_ms(kind, keys[kind], placed_ms)):
                    ages[AGED[kind]] = (placed_ms - last) / 1000.0
            count, total = sums["area_last_day"]
            drift = total / 60_000 / (count + 20.0)
        hour, distance = float(basics.hour[0]), float(basics.distance_km[0])
        return Encoded(
            encoder.rows(static, sums),
            shift,
            missing,
            ages,
            self.missing_share(missing) <= MISSING_SHARE,
            None if hour != hour else hour,
            None if distance != distance else distance,
            encoder.store_name(basics, 0),
            drift,
        )

    def decode(self, encoded: Encoded, raw: Floats | None) -> Forecast:
        """The last third: raw outputs (1, 2), or None if there are none, to the forecast."""
        if raw is not None and encoded.usable and np.isfinite(raw).all():
            place, scale = self.place_and_scale(encoded.rows, raw)
            quantiles = self.minutes(place, scale, encoded.shift)[0]
            source = Source.MODEL
        else:
            source, quantiles = self.parts.ladder.quantiles(
                encoded.hour, encoded.store, encoded.distance_km, encoded.drift_minutes
            )
        return Forecast(
            quantiles_minutes=tuple(quantiles.tolist()),
            source=source,
            degraded=source is not Source.MODEL or bool(encoded.missing),
            missing=encoded.missing,
            input_ages_seconds=encoded.ages_seconds,
        )

    def forecast(
        self,
        order: Mapping[str, Any],
        state: LiveState,
        *,
        now: datetime,
        explain: bool = False,
        policy: PromisePolicy | None = None,
    ) -> Forecast:
        """What is to be said of one order placed `now`; with a policy, the promise too.

        The ladder answers where the model cannot: its server is away, or most of what it goes by
        is missing.

        Raises:
            InvalidInput: a value that its field cannot hold.
        """
        encoded = self.encode_order(order, state, now)
        try:
            raw = self.predictor.predict(encoded.rows) if encoded.usable else None
        except Unavailable:
            raw = None
        forecast = self.decode(encoded, raw)
        if explain and forecast.source is Source.MODEL:
            forecast = replace(forecast, explanation=self.explain(encoded))
        if policy is not None:
            forecast = replace(forecast, promise=policy.promise(forecast.quantiles_minutes))
        return forecast

    def explain(self, encoded: Encoded) -> Explanation:
        """What each factor added to the median, in minutes."""

        def median(rows: Floats) -> Floats:
            place, scale = self.place_and_scale(rows, self.predictor.predict(rows))
            return self.minutes(place, scale, encoded.shift)[:, _MIDDLE]

        return explain(median, encoded.rows[0], self.parts.reference, self._groups)

    def forecast_frame(self, frame: pl.DataFrame, state: LiveState | None = None) -> pl.DataFrame:
        """Quantiles of every order, in columns `q05` to `q95`, in the frame's order of rows.

        Each order sees only what had been delivered before it was placed: of the frame's own
        orders, and of the state's where one is given (then the frame's must not be in it).
        """
        seen = self._read(frame, self.start_state(), state)
        return pl.DataFrame(dict(zip(QUANTILE_COLUMNS, self.quantiles_of(seen), strict=True)))

    def quantiles_of(self, seen: Reading) -> list[Floats]:
        """Quantiles of orders that have been read: the minutes (n,) of each level."""
        n = len(seen)
        place, scale = np.empty(n), np.empty(n)
        # The same memory over and over: new memory costs more than what is written to it.
        room = np.empty((min(n, ROWS_AT_ONCE), len(self.encoder.names)))
        for start in range(0, n, ROWS_AT_ONCE):
            some = slice(start, min(start + ROWS_AT_ONCE, n))
            rows = room[: some.stop - start]
            said = seen.write(rows, start, self.parts.offset)
            raw = self.predictor.predict(rows)
            place[some] = raw[:, 0] if said is None else raw[:, 0] + said
            scale[some] = self.calibration.scales(raw[:, 1])
        time, shifts = seen.time, Shifts.none()
        if self.encoder.keys:
            fresh = np.flatnonzero(time.done & (time.placed_ms >= self.parts.fitted_until_ms))
            target = self.parts.link.forward(time.minutes[fresh])
            missed = (target - place[fresh]) / scale[fresh]
            known_ms = np.concatenate([seen.drift_ms, time.delivered_ms[fresh]])
            misses = np.concatenate([seen.drift_misses, missed])
            shifts = Shifts.of(self.calibration, known_ms, misses)
        found = [np.empty(n) for _ in QUANTILES]

        def fill(some: slice) -> None:
            steps = shifts.steps(time.placed_ms[some])
            levels = self.calibration.levels(place[some], scale[some], shifts.table.T[:, steps])
            for level, values in zip(found, levels, strict=True):
                level[some] = self.parts.link.inverse(values)

        in_blocks(fill, len(place))
        return found

    def minutes(self, place: Floats, scale: Floats, shifts: Floats) -> Floats:
        """Quantiles of the minutes (n, q); `shifts` is (n, q) or (q,)."""
        return self.parts.link.inverse(self.calibration.quantiles(place, scale, shifts))

    def _read(self, frame: pl.DataFrame, fresh: LiveState, past: LiveState | None) -> Reading:
        columns = columns_of_frame(frame)
        state = fresh if past is None else past
        state.learn_names(columns)
        return read(self.encoder, columns, len(frame), state)

    def dated(self, columns: Columns) -> f.Basics:
        """Basics, with the clock's hour also where the model was given hours without dates."""
        encoder = self.encoder
        if "placed_at" in encoder.inputs:
            return encoder.basics(columns)
        placed = columns["placed_at"]
        full = f.basics({"placed_at": placed}, len(placed), encoder.time_zone)
        dated = dict(columns)
        for name, clock in (("hour_of_day", full.hour), ("day_of_week", full.weekday)):
            if name in encoder.inputs:
                given = dated.get(name)
                dated[name] = clock if given is None else np.where(np.isnan(given), clock, given)
        return encoder.basics(dated)

    @cached_property
    def _groups(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, factor in enumerate(self.encoder.factors):
            found.setdefault(factor, []).append(index)
        return found

    def missing_share(self, missing: tuple[str, ...]) -> float:
        """The share of the model's importance that is lost without these inputs."""
        if not missing:
            return 0.0
        lost = self.encoder.lost_without(frozenset(missing))
        importance = self.summary.importance
        return sum(importance.get(name, 0.0) for name in lost)


NO_SHIFT: Final = np.zeros(len(QUANTILES))
_MIDDLE: Final = QUANTILES.index(0.5)
AGED: Final = {"area": "recent", "store": "store_history", "zone": "zone_history"}
QUANTILE_COLUMNS: Final = tuple(f"q{round(level * 100):02d}" for level in QUANTILES)


def _absent(column: np.ndarray | None) -> bool:
    return column is None or column[0] is None or column[0] != column[0]


def in_process(onnx: bytes) -> Predictor:
    """The default predictor; imported late because a server of remote models needs none of it."""
    from foodex.eta.runtime import OnnxPredictor

    return OnnxPredictor(onnx)


def parts_to_json(parts: Parts) -> dict[str, Any]:
    """As JSON values."""
    return {
        "format": FORMAT,
        "encoder": parts.encoder.to_json(),
        "link": parts.link.to_json(),
        "offset": None if parts.offset is None else parts.offset.to_json(),
        "calibration": parts.calibration.to_json(),
        "ladder": parts.ladder.to_json(),
        "reference": [None if v != v else v for v in parts.reference.tolist()],
        "usual": list(parts.usual),
        "fitted_until_ms": parts.fitted_until_ms,
        "summary": parts.summary.to_json(),
    }


def parts_from_json(value: Mapping[str, Any]) -> Parts:
    """Back from JSON values; raises what a damaged file makes it raise."""
    if value["format"] != FORMAT:
        raise ValueError(f"format {value['format']} is not {FORMAT}")
    offset = value["offset"]
    return Parts(
        encoder=Encoder.from_json(value["encoder"]),
        link=Link.from_json(value["link"]),
        offset=None if offset is None else BentRule.from_json(offset),
        calibration=Calibration.from_json(value["calibration"]),
        ladder=Ladder.from_json(value["ladder"]),
        reference=np.array([np.nan if v is None else v for v in value["reference"]]),
        usual=tuple(value["usual"]),
        fitted_until_ms=int(value["fitted_until_ms"]),
        summary=ModelSummary.from_json(value["summary"]),
    )
