"""Many orders looked at together: their moments, what they leave to history, and their rows.

Everything is done a block of orders at a time, on all cores: a column's part stays in the caches
from its first use to its last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foodex.eta.columns import Columns, Floats, Integers, cut
from foodex.eta.encoding import Encoder
from foodex.eta.history import Events
from foodex.eta.linear import BentRule
from foodex.eta.past import Answers, Past
from foodex.eta.state import LiveState, Timeline, events_of
from foodex.eta.threads import in_blocks

_TURNED_ROWS = 1024
"""Rows turned from columns at a time, so that both stay in the nearest cache."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Orders read, their rows yet to be made; `events` is None where orders have no dates.

    `features` are the orders' own, s columns of (n,); the drift is what the state knew.
    """

    encoder: Encoder
    columns: Columns
    features: Sequence[Floats]
    time: Timeline
    events: Events | None
    answers: Answers
    drift_ms: Integers
    drift_misses: Floats

    def __len__(self) -> int:
        return len(self.time.minutes)

    def rows_of(self, some: slice | Integers) -> list[Floats]:
        """Column by column, (m,) each, the rows of some orders, as of when each was placed."""
        return self.encoder.columns([c[some] for c in self.features], self.answers.of(some))

    def write(self, rows: Floats, start: int, offset: BentRule | None) -> Floats | None:
        """Write the rows (m, f) of the orders from `start` on; with a rule, its answers, (m,)."""
        said = None if offset is None else np.empty(len(rows))

        def fill(some: slice) -> None:
            columns = self.rows_of(slice(start + some.start, start + some.stop))
            if offset is not None and said is not None:
                said[some] = offset.predict_columns(columns)
            part, together = rows[some], np.asarray(columns, dtype=np.float64)
            for at in range(0, len(part), _TURNED_ROWS):
                part[at : at + _TURNED_ROWS] = together[:, at : at + _TURNED_ROWS].T

        if rows.size:
            in_blocks(fill, len(rows))
        return said


def read(encoder: Encoder, columns: Columns, n: int, state: LiveState) -> Reading:
    """Read many orders; each sees the others and the state's, as of the moment it was placed."""
    if n and not columns:
        columns = {"order_id": np.full(n, None, dtype=object)}
    features = _room(encoder, columns, n)
    time = Timeline.blank(n)
    values = np.empty(n, dtype=np.int64)
    keys = {kind: np.empty(n, dtype=np.int64) for kind in encoder.keys}

    def fill(some: slice) -> None:
        part, size = cut(columns, some), some.stop - some.start
        basics = encoder.basics(part, size)
        own = encoder.features(basics)
        for column, feature in zip(features, own, strict=True):
            if column.flags.writeable:
                column[some] = feature
        moments = Timeline.of(part, size)
        time.put(some, moments)
        if encoder.keys:
            usual = encoder.rule.predict_columns(own, size)
            found = events_of(encoder, basics, usual, moments, state.codes)
            values[some] = found.values_ms
            for kind, those in found.keys.items():
                keys[kind][some] = those

    in_blocks(fill, n)
    events, answers = None, Answers(())
    if encoder.keys:
        events = Events(time.placed_ms, time.delivered_ms, values, keys)
        everything = events.take(time.dated)
        for earlier in state.events:
            everything = everything.joined(earlier)
        answers = Past(everything, encoder.windows).answers(keys, time.placed_ms)
    return Reading(encoder, columns, features, time, events, answers, *state.drift.misses())


def _room(encoder: Encoder, columns: Columns, n: int) -> list[Floats]:
    """Where the features go; a number column that is one as it is, locked, for itself."""
    room: list[Floats] = []
    for index in range(encoder.own):
        column = columns.get(encoder.plain.get(index, ""))
        if column is None or column.dtype != np.float64:
            room.append(np.empty(n))
            continue
        locked = column.view()
        locked.flags.writeable = False
        room.append(locked)
    return room


@dataclass(frozen=True, slots=True)
class Seen:
    """Orders with all their rows (n, f) at once, as training wants them."""

    columns: Columns
    rows: Floats
    time: Timeline


def look(encoder: Encoder, columns: Columns, n: int, state: LiveState) -> Seen:
    """Rows of many orders, each as of the moment it was placed."""
    reading = read(encoder, columns, n, state)
    rows = np.empty((n, len(encoder.names)))
    reading.write(rows, 0, None)
    return Seen(reading.columns, rows, reading.time)
