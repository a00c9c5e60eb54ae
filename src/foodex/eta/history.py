"""Causal history: what had been delivered before a moment, counted and summed.

Everything is kept in whole milliseconds, so a sum does not depend on the order of its terms: the
statistic of one order, asked online, and the same among a million, asked in bulk, are equal bit
for bit. An event is visible to an order only if it was delivered strictly before the order was
placed.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from foodex.eta.columns import Integers

MS_PER_MINUTE: Final = 60_000


@dataclass(frozen=True, slots=True)
class Window:
    """Which of a key's visible events are summed: the last `count`, or those of `minutes`."""

    name: str
    key: str
    count: int | None = None
    minutes: float | None = None

    @property
    def milliseconds(self) -> int:
        """The span in milliseconds; zero where the window is by count or endless."""
        return 0 if self.minutes is None else round(self.minutes * MS_PER_MINUTE)


class Series:
    """One key's events in order of time, with prefix sums; appending is cheap."""

    __slots__ = ("sums", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.sums = array("q", [0])

    def add(self, time_ms: int, value_ms: int) -> None:
        """Add one event; a late one is put where it belongs."""
        if not self.times or time_ms >= self.times[-1]:
            self.times.append(time_ms)
            self.sums.append(self.sums[-1] + value_ms)
            return
        place = bisect_right(self.times, time_ms)
        self.times.insert(place, time_ms)
        self.sums.insert(place + 1, self.sums[place])
        for index in range(place + 1, len(self.sums)):
            self.sums[index] += value_ms

    def sum(self, window: Window, now_ms: int) -> tuple[int, int]:
        """Count and sum (ms) of the events visible at `now_ms` within the window."""
        high = bisect_left(self.times, now_ms)
        low = 0
        if window.count is not None:
            low = max(0, high - window.count)
        elif window.minutes is not None:
            low = bisect_left(self.times, now_ms - window.milliseconds)
        return high - low, self.sums[high] - self.sums[low]

    def last(self, now_ms: int) -> int | None:
        """When the newest visible event was, in ms."""
        high = bisect_left(self.times, now_ms)
        return self.times[high - 1] if high else None


Sums = dict[str, tuple[Any, Any]]
"""Name of a window or a count -> count and sum (ms), of one order or, as arrays, of many."""

PLACED_MINUTES: Final = 30.0
PLACED_LATELY: Final = Window("placed", "", minutes=PLACED_MINUTES)
"""Orders placed within it count as placed lately."""
_ALL: Final = Window("all", "")
COUNTED_KINDS: Final = ("area", "store")
"""Kinds of key for which orders under way are counted."""


@dataclass(frozen=True, slots=True)
class Events:
    """Orders as history keeps them; `delivered_ms` is `NOT_YET` where an order is under way."""

    placed_ms: Integers
    delivered_ms: Integers
    values_ms: Integers
    keys: dict[str, Integers]

    def __len__(self) -> int:
        return len(self.placed_ms)

    def take(self, chosen: np.ndarray) -> "Events":
        """The chosen ones."""
        if chosen.dtype == np.bool_ and chosen.all():
            return self
        keys = {kind: column[chosen] for kind, column in self.keys.items()}
        return Events(
            self.placed_ms[chosen], self.delivered_ms[chosen], self.values_ms[chosen], keys
        )

    def joined(self, other: "Events") -> "Events":
        """These and the other's."""
        if not len(self):
            return other
        keys = {kind: np.concatenate([self.keys[kind], other.keys[kind]]) for kind in self.keys}
        return Events(
            np.concatenate([self.placed_ms, other.placed_ms]),
            np.concatenate([self.delivered_ms, other.delivered_ms]),
            np.concatenate([self.values_ms, other.values_ms]),
            keys,
        )


NOT_YET: Final = np.iinfo(np.int64).max


def counted(kind: str, placed: Any, lately: Any, delivered: Any) -> Sums:
    """Orders under way, and those placed in the last minutes, from counts of the past."""
    return {
        f"{kind}_open": (placed[0] - delivered[0], 0),
        f"{kind}_placed_lately": (lately[0], 0),
    }


class Live:
    """The same as `Past`, for one order at a time, while events keep coming."""

    def __init__(self, kinds: Sequence[str], windows: Sequence[Window]) -> None:
        self._windows = {kind: [w for w in windows if w.key == kind] for kind in kinds}
        self._done: dict[str, dict[int, Series]] = {kind: {} for kind in kinds}
        self._placed: dict[str, dict[int, Series]] = {
            kind: {} for kind in kinds if kind in COUNTED_KINDS
        }

    def place(self, keys: Mapping[str, int], placed_ms: int) -> None:
        """An order was placed."""
        for kind, series in self._placed.items():
            series.setdefault(keys[kind], Series()).add(placed_ms, 0)

    def deliver(self, keys: Mapping[str, int], delivered_ms: int, value_ms: int) -> None:
        """An order was delivered."""
        for kind, series in self._done.items():
            series.setdefault(keys[kind], Series()).add(delivered_ms, value_ms)

    def fill(self, events: Events) -> None:
        """Take many events at once; only while empty."""
        done = events.take(events.delivered_ms != NOT_YET)
        for kind in self._done:
            self._done[kind] = _split(done.keys[kind], done.delivered_ms, done.values_ms)
        nothing = np.zeros(len(events), dtype=np.int64)
        for kind in self._placed:
            self._placed[kind] = _split(events.keys[kind], events.placed_ms, nothing)

    def sums(self, keys: Mapping[str, int], now_ms: int) -> Sums:
        """Counts and sums by window for one order."""
        found: Sums = {}
        for kind, windows in self._windows.items():
            key = keys[kind]
            done = self._done[kind].get(key, EMPTY)
            for window in windows:
                found[window.name] = done.sum(window, now_ms)
            if kind in COUNTED_KINDS:
                placed = self._placed[kind].get(key, EMPTY)
                found |= counted(
                    kind,
                    placed.sum(_ALL, now_ms),
                    placed.sum(PLACED_LATELY, now_ms),
                    done.sum(_ALL, now_ms),
                )
        return found

    def series(self, kind: str) -> tuple[Mapping[int, Series], Mapping[int, Series] | None]:
        """What was delivered by key, and what was placed, where orders under way are counted."""
        return self._done[kind], self._placed.get(kind)

    def last_ms(self, kind: str, key: int, now_ms: int) -> int | None:
        """When the key's newest visible delivery was."""
        return self._done[kind].get(key, EMPTY).last(now_ms)


EMPTY: Final = Series()
"""Of a key that nothing is known of; nothing is ever added to it."""


def _split(keys: Integers, times_ms: Integers, values_ms: Integers) -> dict[int, Series]:
    order = np.lexsort((times_ms, keys))
    keys, times_ms, values_ms = keys[order], times_ms[order], values_ms[order]
    names, starts = np.unique(keys, return_index=True)
    found = {}
    ends = np.append(starts, len(keys))[1:]
    for name, start, end in zip(names.tolist(), starts, ends, strict=True):
        series = found[name] = Series()
        series.times.frombytes(times_ms[start:end].tobytes())
        series.sums.frombytes(np.cumsum(values_ms[start:end]).tobytes())
    return found
