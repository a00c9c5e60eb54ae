"""History asked by many orders at once; the answers are those of `history.Live`, bit for bit.

Events lie by key and then by time, in whole numbers, so that what a question may see is a stretch
of them: two positions, found once a question, from which every count and sum is a difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from foodex.eta.columns import Integers
from foodex.eta.history import (
    COUNTED_KINDS,
    NOT_YET,
    PLACED_LATELY,
    Events,
    Sums,
    Window,
    counted,
)
from foodex.eta.threads import each

S = TypeVar("S", np.int64, np.bool_)

Positions = NDArray[np.int32]
"""Places among events; int32, because they are read often and no memory holds 2^31 events."""

_DIGIT_BITS: Final = 16
_PLACED_MS: Final = PLACED_LATELY.milliseconds


@dataclass(frozen=True, slots=True)
class Grouped:
    """Moments by key, and within a key as they came.

    `order` takes moments as they came to how they lie (None where that is the same); `names` are
    the keys, ascending; key i lies in `starts[i]:starts[i + 1]`.
    """

    order: Integers | None
    names: Integers
    starts: Integers

    @classmethod
    def by(cls, keys: Integers) -> "Grouped":
        """Group by `keys`, any integers."""
        if not len(keys):
            return cls(None, keys, np.zeros(1, dtype=np.int64))
        low = int(keys.min())
        order = None
        # Digit by digit from the lowest: NumPy sorts numbers of 16 bits in linear time, and each
        # sort leaves alone what the ones before it arranged.
        for shift in range(0, (int(keys.max()) - low).bit_length(), _DIGIT_BITS):
            digits = ((keys - low) >> shift).astype(np.uint16)
            turn = np.argsort(digits if order is None else digits[order], kind="stable")
            order = turn if order is None else order[turn]
        found = taken(keys, order)
        starts = np.flatnonzero(found[1:] != found[:-1]) + 1
        starts = np.concatenate(([0], starts, [len(found)]))
        return cls(order, found[starts[:-1]], starts)

    def spread(self, values: NDArray[S]) -> NDArray[S]:
        """One value a key to one a moment."""
        return np.repeat(values, np.diff(self.starts))


def taken(values: Integers, order: Integers | None) -> Integers:
    """The values in that order; None is the order they are in."""
    return values if order is None else values[order]


def order_in_time(times_ms: Integers) -> Integers | None:
    """The order that sorts by time and keeps the order of what is of one moment."""
    if np.all(times_ms[1:] >= times_ms[:-1]):
        return None
    return np.argsort(times_ms, kind="stable")


class Stretches:
    """Events of all keys on one line, searched by key and time.

    Args:
        keys: key of each event, in order of time.
        times_ms: when each was.
        grouped: the keys grouped, where that has been done.
    """

    def __init__(self, keys: Integers, times_ms: Integers, grouped: Grouped | None = None) -> None:
        self.grouped = grouped or Grouped.by(keys)
        self._origin = int(times_ms[0]) if len(times_ms) else 0
        self._span = (int(times_ms[-1]) - self._origin + 3) if len(times_ms) else 3
        line = taken(times_ms, self.grouped.order) + (1 - self._origin)
        if len(self.grouped.names) > 1:
            line += self.grouped.spread(np.arange(len(self.grouped.names)) * self._span)
        self._line = line

    def ask(self, questions: Grouped) -> "Asked":
        """Prepare to answer questions about their keys."""
        names = self.grouped.names
        if not len(names):
            names = np.zeros(1, dtype=np.int64)
        place = np.minimum(np.searchsorted(names, questions.names), len(names) - 1)
        known = names[place] == questions.names
        if not len(self.grouped.names):
            known[:] = False
        unknown = None if known.all() else questions.spread(~known)
        starts = questions.spread(np.where(known, self.grouped.starts[place], 0))
        return Asked(self, questions.spread(place * self._span), starts, unknown)

    def find(self, offsets: Integers, times_ms: Integers) -> Integers:
        """How many events, over all keys, lie before the time in the stretch at `offsets`."""
        wanted = np.clip(times_ms + (1 - self._origin), 0, self._span - 1)
        wanted += offsets
        return np.searchsorted(self._line, wanted)


@dataclass(frozen=True, slots=True)
class Asked:
    """Where each question's key begins among the events; `unknown` keys have none."""

    stretches: Stretches
    offsets: Integers
    starts: Integers
    unknown: NDArray[np.bool_] | None

    def before(self, times_ms: Integers) -> Integers:
        """The position that each question's events reach up to that time, not included."""
        found = self.stretches.find(self.offsets, times_ms)
        if self.unknown is not None:
            found[self.unknown] = 0
        return found


@dataclass(frozen=True, slots=True)
class Reach:
    """What questions see of one kind of key: events `starts` to `highs` of the prefix `sums`.

    `lows` begins each window of minutes; `opened` and `lately` count orders. All are in the order
    in which the questions were asked.
    """

    windows: tuple[Window, ...]
    sums: Integers
    starts: Positions
    highs: Positions
    lows: Mapping[str, Positions]
    counts: Mapping[str, Positions]

    def answer(self, some: slice | Integers) -> Sums:
        """Counts and sums by window for some of the questions."""
        high, start = self.highs[some], self.starts[some]
        upto = self.sums[high]
        found: Sums = {name: (count[some], 0) for name, count in self.counts.items()}
        for window in self.windows:
            if window.count is not None:
                low = np.maximum(start, high - np.int32(window.count))
            elif window.minutes is not None:
                low = self.lows[window.name][some]
            else:
                low = start
            found[window.name] = (high - low, upto - self.sums[low])
        return found


class Answers:
    """Counts and sums for many orders, worked out for those that are asked for."""

    def __init__(self, reaches: Sequence[Reach]) -> None:
        self._reaches = reaches

    def of(self, some: slice | Integers) -> Sums:
        """For some of the orders, in the order in which they were asked about."""
        found: Sums = {}
        for reach in self._reaches:
            found |= reach.answer(some)
        return found


@dataclass(frozen=True, slots=True)
class _InTime:
    """Moments in order of time, and how that order comes from the one they came in."""

    moments: Integers
    order: Integers | None

    @classmethod
    def by(cls, moments: Integers) -> "_InTime":
        order = order_in_time(moments)
        return cls(taken(moments, order), order)


@dataclass(frozen=True, slots=True)
class _Arranged:
    """Events as one kind of key sees them: the delivered with prefix sums, and the placed."""

    done: Stretches
    sums: Integers
    placed: Stretches | None


class Past:
    """All that many orders may ask about one set of events.

    Args:
        events: what there was.
        windows: what may be asked about it.
        keep: whether to keep the events as they were arranged, for who asks again and again.
    """

    def __init__(self, events: Events, windows: Sequence[Window], *, keep: bool = False) -> None:
        self._windows = windows
        self._placed = events
        self._done = events.take(events.delivered_ms != NOT_YET)
        self._keep = keep
        self._times: tuple[_InTime, _InTime] | None = None
        self._arranged: dict[str, _Arranged] = {}

    def sums(self, keys: Mapping[str, Integers], now_ms: Integers) -> Sums:
        """Counts and sums by window for orders of these keys at these moments."""
        return self.answers(keys, now_ms).of(slice(None))

    def answers(self, keys: Mapping[str, Integers], now_ms: Integers) -> Answers:
        """The same, to be worked out some orders at a time."""
        n = len(now_ms)
        asked = n + len(self._placed)
        # By time once, for every kind of key: grouping keeps the order in time.
        if self._times is None:
            moments = (now_ms, self._done.delivered_ms, self._placed.placed_ms)
            now, *times = each(_InTime.by, moments, asked)
            delivered, placed = times
            if self._keep:
                self._times = delivered, placed
        else:
            now, (delivered, placed) = _InTime.by(now_ms), self._times

        def reach(kind: str) -> Reach:
            questions = Grouped.by(taken(keys[kind], now.order))
            moment = taken(now.moments, questions.order)
            order = now.order
            if questions.order is not None:
                order = questions.order if order is None else order[questions.order]

            def told(positions: Integers) -> Positions:
                found = np.empty(n, dtype=np.int32)
                found[slice(None) if order is None else order] = positions
                return found

            # Often it is the very orders that were placed that ask.
            same = self._placed.keys[kind] is keys[kind] and self._placed.placed_ms is now_ms
            there = self._of(kind, delivered, placed, questions if same else None)
            about = there.done.ask(questions)
            high = about.before(moment)
            windows = tuple(w for w in self._windows if w.key == kind)
            counts: dict[str, Positions] = {}
            if there.placed is not None:
                of_orders = there.placed.ask(questions)
                upto = of_orders.before(moment)
                lately = upto - of_orders.before(moment - _PLACED_MS)
                all_placed, delivered_all = upto - of_orders.starts, high - about.starts
                told_counts = counted(kind, (all_placed, 0), (lately, 0), (delivered_all, 0))
                counts = {name: told(count) for name, (count, _) in told_counts.items()}
            return Reach(
                windows,
                there.sums,
                told(about.starts),
                told(high),
                {
                    w.name: told(about.before(moment - w.milliseconds))
                    for w in windows
                    if w.count is None and w.minutes is not None
                },
                counts,
            )

        return Answers(each(reach, sorted(keys, key=self._work), asked))

    def _of(
        self, kind: str, delivered: _InTime, placed: _InTime, grouped: Grouped | None
    ) -> _Arranged:
        if (kept := self._arranged.get(kind)) is not None:
            return kept
        done = Stretches(taken(self._done.keys[kind], delivered.order), delivered.moments)
        values = taken(taken(self._done.values_ms, delivered.order), done.grouped.order)
        orders = None
        if kind in COUNTED_KINDS:
            keys = taken(self._placed.keys[kind], placed.order)
            orders = Stretches(keys, placed.moments, grouped)
        made = _Arranged(done, np.concatenate(([0], np.cumsum(values))), orders)
        if self._keep:
            self._arranged[kind] = made
        return made

    def _work(self, kind: str) -> tuple[int, int]:
        # The longest first, so that no core is left waiting for the last: searches, and then the
        # kinds with the most keys, which are told last.
        searches = [w for w in self._windows if w.key == kind and w.minutes is not None]
        kinds = list(self._placed.keys)
        return -len(searches) - 2 * (kind in COUNTED_KINDS), -kinds.index(kind)
