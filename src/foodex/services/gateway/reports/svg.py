"""Charts as SVG, for the page and for the PDF alike.

Every shape has a colour of its own, which paper shows, and a class, by which a page may give it
another in the dark. A drawing has no names inside, so that many fit on one page.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from foodex.domain.reports import Better, Chart, ChartKind, Series, Unit, shown

WIDTH: Final = 660
INK: Final = "#1f2933"
FAINT: Final = "#64707d"
GRID: Final = "#e3e7eb"
ALARM: Final = "#b42318"
ACCENTS: Final = ("#0f766e", "#a8b3bf", "#c2740b", "#5b5bd6")
COOL: Final = ("#eef7f6", "#a9dad4", "#3d9f95", "#0d655e", "#073f3b")
WARM: Final = ("#fdf3e7", "#f9cf9c", "#ee944a", "#cc4a1f", "#8c1d18")

_FONTS: Final = "Source Sans Pro, Source Sans 3, Segoe UI, system-ui, Helvetica, Arial, sans-serif"
_PLOT_HEIGHT: Final = 190
_TEXT: Final = 12
_WIDE: Final = 6.9
"""Pixels that a character of `_TEXT` takes in a wide font: none is at hand to measure with."""
_MOST_LABELS: Final = 16
_LONGEST: Final = 34
_INVALID: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(chart: Chart) -> str:
    """The chart as one SVG element that describes itself; the same chart gives the same text."""
    drawing = _Drawing()
    height = _DRAWN[chart.kind](drawing, chart)
    about = f"{chart.title}. {chart.says}" if chart.says else chart.title
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_n(height)}" '
        f'width="{WIDTH}" height="{_n(height)}" role="img" aria-label={quoteattr(clean(about))} '
        f'font-family="{_FONTS}" font-size="{_TEXT}">' + "".join(drawing.parts) + "</svg>"
    )


def clean(text: str) -> str:
    """The text without characters that no XML can carry."""
    return _INVALID.sub("\ufffd", text)


class _Drawing:
    """Shapes, in the order they are painted."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        said: str,
        *,
        anchor: str = "middle",
        look: tuple[str, str] = ("faint", FAINT),
        size: float | None = None,
    ) -> None:
        name, colour = look
        scaled = f' font-size="{_n(size)}"' if size else ""
        self.parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" class="c-{name}" '
            f'fill="{colour}"{scaled}>{escape(clean(said))}</text>'
        )

    def bar(self, x: float, y: float, width: float, height: float, series: int = 0) -> None:
        at = series % len(ACCENTS)
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" '
            f'height="{_n(max(height, 0))}" rx="1.5" class="c-s{at}" fill="{ACCENTS[at]}"/>'
        )

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        look: tuple[str, str],
        **extra: str,
    ) -> None:
        name, colour = look
        more = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in extra.items())
        self.parts.append(
            f'<line x1="{_n(start[0])}" y1="{_n(start[1])}" x2="{_n(end[0])}" y2="{_n(end[1])}" '
            f'class="c-{name}" stroke="{colour}"{more}/>'
        )

    def legend(self, series: Sequence[Series], left: float) -> float:
        """Names of the series in a row; returns the height they take."""
        if len(series) < 2:
            return 0
        x = left
        for number, one in enumerate(series):
            at = number % len(ACCENTS)
            self.parts.append(
                f'<circle cx="{_n(x + 5)}" cy="9" r="4.5" class="c-s{at}" fill="{ACCENTS[at]}"/>'
            )
            self.text(x + 15, 13, one.name, anchor="start", look=("ink", INK))
            x += 15 + _wide(one.name) + 20
        return 26


class _Scale:
    """Values to pixels of an upright axis, with round ticks."""

    def __init__(self, values: Sequence[float], top: float, bottom: float, *, zero: bool) -> None:
        low, high = min([*values, 0.0] if zero else values), max([*values, 0.0] if zero else values)
        self.ticks = ticks(low, high)
        self._low, self._high = min(low, self.ticks[0]), max(high, self.ticks[-1])
        self._top, self._bottom = top, bottom

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._bottom - share * (self._bottom - self._top)


def ticks(low: float, high: float) -> list[float]:
    """Some four round numbers from at most `low` to at least `high`."""
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        high = low + max(1.0, abs(low))
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _upright(drawing: _Drawing, chart: Chart, *, zero: bool) -> tuple[_Scale, float, float, float]:
    """Axis, grid and legend: the scale, the plot's left, the width for a label, its bottom."""
    values = [float(v) for series in chart.series for v in series.values if v is not None]
    if chart.mark is not None:
        values.append(chart.mark)
    values = values or [0.0, 1.0]
    top = drawing.legend(chart.series, 8) + (22 if chart.value_title or chart.mark_name else 10)
    bottom = top + _PLOT_HEIGHT
    scale = _Scale(values, top, bottom, zero=zero)
    said = [_tick(value, scale.ticks, chart) for value in scale.ticks]
    left = max(_wide(one) for one in said) + 14
    if chart.value_title:
        drawing.text(0, top - 10, chart.value_title, anchor="start")
    if chart.mark_name:
        # Above the plot, where it hides no value.
        x = WIDTH - _wide(chart.mark_name)
        drawing.line(
            (x - 28, top - 14), (x - 6, top - 14), ("alarm", ALARM), stroke_dasharray="5 4"
        )
        drawing.text(WIDTH, top - 10, chart.mark_name, anchor="end", look=("alarm", ALARM))
    for value, word in zip(scale.ticks, said, strict=True):
        y = scale(value)
        drawing.line((left, y), (WIDTH, y), ("grid", GRID))
        drawing.text(left - 8, y + 4, word, anchor="end")
    step = (WIDTH - left) / max(1, len(chart.labels))
    longest = max((_wide(label) for label in chart.labels), default=0)
    every = max(1, math.ceil((longest + 6) / step), -(-len(chart.labels) // _MOST_LABELS))
    for number, label in enumerate(chart.labels):
        if number % every == 0:
            drawing.text(left + (number + 0.5) * step, bottom + 18, label)
    if chart.label_title:
        drawing.text((left + WIDTH) / 2, bottom + 36, chart.label_title)
    return scale, left, step, bottom + (42 if chart.label_title else 24)


def _mark(drawing: _Drawing, chart: Chart, scale: _Scale, left: float) -> None:
    if chart.mark is None:
        return
    y = scale(chart.mark)
    drawing.line((left, y), (WIDTH, y), ("alarm", ALARM), stroke_dasharray="5 4")


def _bars(drawing: _Drawing, chart: Chart) -> float:
    scale, left, step, bottom = _upright(drawing, chart, zero=True)
    count = max(1, len(chart.series))
    width = min(46.0, step * 0.74 / count)
    floor = scale(0)
    words = count == 1 and len(chart.labels) <= _MOST_LABELS
    for number, series in enumerate(chart.series):
        for place, value in enumerate(series.values):
            if value is None:
                continue
            middle = left + (place + 0.5) * step
            x, y = middle + (number - count / 2) * width, scale(value)
            drawing.bar(x, min(y, floor), width - (1 if count > 1 else 0), abs(floor - y), number)
            if words:
                said = _short(value, chart)
                drawing.text(middle, min(y, floor) - 4, said, look=("ink", INK), size=11)
    _mark(drawing, chart, scale, left)
    return bottom


def _lines(drawing: _Drawing, chart: Chart) -> float:
    values = [float(v) for series in chart.series for v in series.values if v is not None]
    # A line tells of change: its axis begins at nothing only where that is near.
    zero = not values or min(values) < 0.5 * max(values)
    scale, left, step, bottom = _upright(drawing, chart, zero=zero)
    _mark(drawing, chart, scale, left)
    for number, series in reversed(list(enumerate(chart.series))):
        at = number % len(ACCENTS)
        path, begun = "", False
        dots = []
        for place, value in enumerate(series.values):
            if value is None:
                begun = False
                continue
            x, y = left + (place + 0.5) * step, scale(value)
            path += f"{'L' if begun else 'M'}{_n(x)} {_n(y)}"
            begun = True
            dots.append(
                f'<circle cx="{_n(x)}" cy="{_n(y)}" r="2.6" class="c-s{at}" fill="{ACCENTS[at]}"/>'
            )
        if path:
            drawing.parts.append(
                f'<path d="{path}" fill="none" class="c-l{at}" stroke="{ACCENTS[at]}" '
                'stroke-width="2.2" stroke-linejoin="round"/>'
            )
        drawing.parts += dots if len(chart.labels) <= 45 else []
    return bottom


def _ranking(drawing: _Drawing, chart: Chart) -> float:
    labels = [_cut(label) for label in chart.labels]
    left = min(240.0, max((_wide(label) for label in labels), default=0)) + 12
    top = drawing.legend(chart.series, left)
    if chart.value_title:
        drawing.text(left, top + 12, chart.value_title, anchor="start")
        top += 18
    count = max(1, len(chart.series))
    thick = 17.0 if count == 1 else 12.0
    step = thick * count + 9
    values = [float(v) for series in chart.series for v in series.values if v is not None]
    words = max((_wide(_short(value, chart)) for value in values), default=0)
    longest = max([*values, 0.0]) or 1.0
    for place, label in enumerate(labels):
        y = top + place * step + 4
        drawing.text(left - 8, y + step / 2 - 0.5, label, anchor="end", look=("ink", INK))
        for number, series in enumerate(chart.series):
            value = series.values[place]
            if value is None:
                continue
            width = max(0.0, value / longest) * (WIDTH - left - words - 14)
            drawing.bar(left, y + number * thick, width, thick - (1 if count > 1 else 0), number)
            base = y + number * thick + thick / 2 + 4
            drawing.text(left + width + 6, base, _short(value, chart), anchor="start")
    return top + len(labels) * step + 6


def _heat(drawing: _Drawing, chart: Chart) -> float:
    left = max((_wide(series.name) for series in chart.series), default=0) + 14
    top = 20.0 if chart.value_title else 4.0
    if chart.value_title:
        drawing.text(left, 12, chart.value_title, anchor="start")
    step, tall = (WIDTH - left) / max(1, len(chart.labels)), 27.0
    values = [float(v) for series in chart.series for v in series.values if v is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    colours = WARM if chart.better is Better.LOWER else COOL
    for row, series in enumerate(chart.series):
        y = top + row * tall
        drawing.text(left - 8, y + tall / 2 + 4, series.name, anchor="end", look=("ink", INK))
        for place, value in enumerate(series.values):
            x = left + place * step
            box = f'x="{_n(x + 1)}" y="{_n(y + 1)}" width="{_n(step - 2)}" height="{_n(tall - 2)}"'
            if value is None:
                drawing.parts.append(f'<rect {box} rx="2" class="c-none" fill="#f3f5f7"/>')
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            drawing.parts.append(f'<rect {box} rx="2" fill="{_mixed(colours, share)}"/>')
            on = ("on-dark", "#ffffff") if share > 0.55 else ("on-light", INK)
            said = _short(value, chart).removesuffix("%")
            drawing.text(x + step / 2, y + tall / 2 + 4, said, look=on, size=11)
    bottom = top + len(chart.series) * tall
    for place, label in enumerate(chart.labels):
        drawing.text(left + (place + 0.5) * step, bottom + 16, label)
    if chart.label_title:
        drawing.text((left + WIDTH) / 2, bottom + 34, chart.label_title)
    return bottom + (40 if chart.label_title else 22)


_DRAWN: Final[dict[ChartKind, Callable[[_Drawing, Chart], float]]] = {
    ChartKind.BARS: _bars,
    ChartKind.LINES: _lines,
    ChartKind.RANKING: _ranking,
    ChartKind.HEAT: _heat,
}


def _short(value: float, chart: Chart) -> str:
    """A value as it stands in a drawing: without its unit, which the title tells."""
    match chart.unit:
        case Unit.SHARE:
            return f"{100 * value:.0f}%"
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.MINUTES:
            return f"{value:.1f}"
    return shown(value, chart.unit, chart.currency, rough=True)


def _tick(value: float, all_ticks: Sequence[float], chart: Chart) -> str:
    step = all_ticks[1] - all_ticks[0]
    if chart.unit is Unit.MONEY:
        return shown(value, chart.unit, chart.currency, rough=True)
    factor, sign = (100, "%") if chart.unit is Unit.SHARE else (1, "")
    digits = max(0, -math.floor(math.log10(step * factor) + 1e-9))
    # 2.5 is a step of tenths, though it is above 1.
    exact = step * factor * 10**digits
    digits += 0 if abs(exact - round(exact)) < 1e-6 else 1
    return f"{value * factor:,.{digits}f}{sign}"


def _mixed(colours: Sequence[str], share: float) -> str:
    place = min(max(share, 0.0), 1.0) * (len(colours) - 1)
    at = min(int(place), len(colours) - 2)
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours[at : at + 2]]
    mixed = [round(a + (b - a) * (place - at)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _cut(label: str) -> str:
    return label if len(label) <= _LONGEST else label[: _LONGEST - 1].rstrip() + "…"


def _wide(text: str) -> float:
    return len(text) * _WIDE


def _n(number: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{number:.1f}".removesuffix(".0")
