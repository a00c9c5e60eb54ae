"""What a model remembers of the orders around: history and drift, kept up to date online."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from foodex.eta import features as f
from foodex.eta.calibration import Calibration, Drift
from foodex.eta.columns import (
    US_PER_MINUTE,
    Columns,
    Floats,
    Integers,
    columns_of_orders,
    distinct,
    length,
)
from foodex.eta.encoding import Encoder
from foodex.eta.history import MS_PER_MINUTE, NOT_YET, Events, Live, Sums

Flags = NDArray[np.bool_]

Misses = Callable[[Floats, Floats], Floats]
"""From rows (n, f) and minutes (n,) to standardised misses (n,)."""

_REMEMBERED_ORDERS = 200_000


@dataclass(frozen=True, slots=True)
class Timeline:
    """When orders were placed and delivered, in whole milliseconds; rounded so that nothing is
    seen before it was known. `delivered_ms` is `NOT_YET` where an order is not `done`."""

    minutes: Floats
    dated: Flags
    done: Flags
    placed_ms: Integers
    delivered_ms: Integers

    @classmethod
    def of(cls, columns: Columns, n: int | None = None) -> Self:
        """Of orders in columns."""
        n = length(columns) if n is None else n
        nan = np.full(n, np.nan)
        placed = columns.get("placed_at", nan)
        minutes = columns.get("delivery_minutes", nan)
        delivered = columns.get("delivered_at")
        by_minutes = placed + minutes * US_PER_MINUTE
        if delivered is None:
            delivered = by_minutes
        else:
            minutes = np.where(np.isnan(minutes), (delivered - placed) / US_PER_MINUTE, minutes)
            delivered = np.where(np.isnan(delivered), by_minutes, delivered)
        dated = ~np.isnan(placed)
        done = dated & ~np.isnan(delivered) & ~np.isnan(minutes)
        return cls(
            minutes,
            dated,
            done,
            _whole(np.floor(placed / 1000.0), 0),
            np.where(done, _whole(np.ceil(delivered / 1000.0), 0), NOT_YET),
        )

    @classmethod
    def blank(cls, n: int) -> Self:
        """Room for `n` orders, to be `put`."""
        return cls(
            np.empty(n),
            np.empty(n, dtype=np.bool_),
            np.empty(n, dtype=np.bool_),
            np.empty(n, dtype=np.int64),
            np.empty(n, dtype=np.int64),
        )

    def put(self, some: slice, part: Self) -> None:
        """Put the moments of some of the orders."""
        for name in ("minutes", "dated", "done", "placed_ms", "delivered_ms"):
            getattr(self, name)[some] = getattr(part, name)


def _whole(values: Floats, missing: int) -> Integers:
    return np.where(np.isnan(values), missing, values).astype(np.int64)


def events_of(
    encoder: Encoder, basics: f.Basics, usual: Floats, time: Timeline, codes: Mapping[str, int]
) -> Events:
    """The orders as history keeps them; `usual` are the minutes of the encoder's rough rule."""
    left = np.where(time.done, time.minutes - usual, 0.0)
    keys = encoder.key_columns(basics, codes)
    values = _whole(np.round(left * MS_PER_MINUTE), 0)
    return Events(time.placed_ms, time.delivered_ms, values, keys)


class LiveState:
    """History and drift of one model; not for several threads at once.

    `place` tells of an order under way, `observe` of delivered ones. Both may come late or in any
    order: an order asked about is shown what was known when it was placed.
    """

    def __init__(
        self,
        encoder: Encoder,
        calibration: Calibration,
        fitted_until_ms: int,
        misses: Misses | None = None,
    ) -> None:
        self.encoder = encoder
        self.codes: dict[str, int] = {}
        self.live = Live(encoder.keys, encoder.windows)
        self.drift = Drift(calibration)
        self.fitted_until_ms = fitted_until_ms
        self._misses = misses
        self.events: list[Events] = []
        self.observed = 0
        self._under_way: dict[str, None] = {}
        self._delivered: dict[str, None] = {}

    def learn_names(self, columns: Columns) -> None:
        """Give new stores and cities their codes."""
        for name in ("store_id", "city"):
            column = columns.get(name)
            if column is not None and name in self.encoder.inputs:
                for value in distinct(column):
                    if value is not None:
                        self.codes.setdefault(value, len(self.codes))

    def place(self, orders: Sequence[Mapping[str, Any]]) -> int:
        """Tell of orders just placed, so that they count as under way; returns how many are new."""
        fresh = [o for o in orders if o.get("placed_at") and self._is_new(o, self._under_way)]
        if fresh and self.encoder.keys:
            columns = columns_of_orders(fresh)
            self.learn_names(columns)
            basics = self.encoder.basics(columns)
            time = Timeline.of(columns)
            for row in range(basics.n):
                self.live.place(self._keys(basics, row), int(time.placed_ms[row]))
        for order in fresh:
            _remember(self._under_way, order.get("order_id"))
        return len(fresh)

    def fill(self, columns: Columns, time: Timeline, events: Events) -> None:
        """Take many orders at once into a state that has none."""
        known = events.take(time.dated)
        self.live.fill(known)
        self.events.append(known)
        names = columns.get("order_id")
        if names is not None:
            for row in np.flatnonzero(time.dated)[-_REMEMBERED_ORDERS:].tolist():
                _remember(self._delivered if time.done[row] else self._under_way, names[row])
        self.observed += int(time.done.sum())

    def _is_new(self, order: Mapping[str, Any], known: Mapping[str, None]) -> bool:
        name = order.get("order_id")
        return name is None or (name not in known and name not in self._delivered)

    def _keys(self, basics: f.Basics, row: int) -> dict[str, int]:
        found = self.encoder.key_columns(basics, self.codes)
        return {kind: int(column[row]) for kind, column in found.items()}

    def sums(self, basics: f.Basics, placed_ms: Integers) -> Sums:
        """What history says to each order, placed at these moments, one by one."""
        keys = self.encoder.key_columns(basics, self.codes)
        if basics.n == 1:
            only = {kind: int(column[0]) for kind, column in keys.items()}
            return self.live.sums(only, int(placed_ms[0]))
        each = [
            self.live.sums({kind: int(column[row]) for kind, column in keys.items()}, now)
            for row, now in enumerate(placed_ms.tolist())
        ]
        return {
            name: (np.array([s[name][0] for s in each]), np.array([s[name][1] for s in each]))
            for name in each[0]
        }

    def observe(self, orders: Sequence[Mapping[str, Any]]) -> int:
        """Learn from delivered orders at once; returns how many were new to the state."""
        fresh = []
        for order in orders:
            if order.get("placed_at") is not None and self._is_new(order, self._delivered):
                fresh.append(order)
                _remember(self._delivered, order.get("order_id"))
        if not fresh or not self.encoder.keys:
            return len(fresh)
        columns = columns_of_orders(fresh)
        self.learn_names(columns)
        time = Timeline.of(columns)
        basics = self.encoder.basics(columns)
        static = self.encoder.static(basics)
        usual = self.encoder.rule.predict(static)
        events = events_of(self.encoder, basics, usual, time, self.codes)
        for row in np.flatnonzero(time.done).tolist():
            keys = {kind: int(column[row]) for kind, column in events.keys.items()}
            name = fresh[row].get("order_id")
            if name is None or name not in self._under_way:
                self.live.place(keys, int(events.placed_ms[row]))
            self._under_way.pop(name or "", None)
            self.live.deliver(keys, int(events.delivered_ms[row]), int(events.values_ms[row]))
        self.events.append(events)
        self.observed += len(fresh)
        # History first: the rows below see of it only what was known when each was placed.
        unseen = time.done & (time.placed_ms >= self.fitted_until_ms)
        if self._misses is not None and unseen.any():
            rows = self.encoder.rows(static, self.sums(basics, time.placed_ms))
            found = self._misses(rows[unseen], time.minutes[unseen])
            for known_ms, miss in zip(
                time.delivered_ms[unseen].tolist(), found.tolist(), strict=True
            ):
                self.drift.add(known_ms, miss)
        return len(fresh)


def _remember(known: dict[str, None], name: Any) -> None:
    if name is not None:
        known[name] = None
        if len(known) > _REMEMBERED_ORDERS:
            del known[next(iter(known))]
