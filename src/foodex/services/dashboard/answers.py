"""An answer of the API laid out to be drawn: its interval, and what each factor added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_LEAST_SHOWN: Final = 0.05
"""Minutes below which a factor is told with the others."""
_MARGIN: Final = 0.06
"""Of the width, left free at each end of an axis."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of an axis in per cent of its width: where it begins, and how long it is."""

    left: float
    width: float = 0.0

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.left + self.width


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the forecast and the promise lie on one axis of minutes."""

    wide: Span
    narrow: Span
    median: Span
    promise: Span | None


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a waterfall: a factor and its minutes, from where the one before it ended."""

    name: str
    minutes: float
    span: Span


def interval(answer: Mapping[str, Any]) -> Interval:
    """The interval of 90 % and of 50 %, the median and the promise."""
    levels = answer["quantiles_minutes"]
    promise = answer["promise"]
    ends = [levels["0.05"], levels["0.95"]]
    if promise:
        ends += [promise["earliest_minutes"], promise["minutes"]]
    axis = _Axis(ends)
    return Interval(
        wide=axis.span(levels["0.05"], levels["0.95"]),
        narrow=axis.span(levels["0.25"], levels["0.75"]),
        median=axis.span(answer["median_minutes"]),
        promise=axis.span(promise["earliest_minutes"], promise["minutes"]) if promise else None,
    )


def waterfall(explanation: Mapping[str, Any]) -> Sequence[Step]:
    """From a typical order to this one, factor by factor; small ones together as `others`."""
    typical = explanation["typical_minutes"]
    parts = [(one["name"], one["minutes"]) for one in explanation["factors"]]
    shown = [part for part in parts if abs(part[1]) >= _LEAST_SHOWN]
    if len(shown) < len(parts) and abs(rest := sum(p[1] for p in parts if p not in shown)) > 0.005:
        shown.append(("others", rest))
    places = [typical]
    for _, minutes in shown:
        places.append(places[-1] + minutes)
    axis = _Axis(places)
    steps = [Step("typical", typical, axis.span(typical))]
    for (name, minutes), before, after in zip(shown, places, places[1:], strict=False):
        steps.append(Step(name, minutes, axis.span(before, after)))
    steps.append(Step("median", places[-1], axis.span(places[-1])))
    return steps


class _Axis:
    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        spare = max(high - low, 1.0) * _MARGIN
        self._low, self._range = low - spare, high - low + 2 * spare

    def span(self, one: float, other: float | None = None) -> Span:
        low, high = sorted((one, one if other is None else other))
        return Span(
            round((low - self._low) / self._range * 100, 2),
            round((high - low) / self._range * 100, 2),
        )
