"""Charts as options of ECharts; colours, fonts and number formats come from the page's script.

Values of axes and tooltips are written by the formats named in `unit`: `count`, `minutes`,
`percent` (of shares), `money`, `none`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Option = dict[str, Any]
Values = Sequence[float | None]


def lines(
    x: Sequence[Any],
    series: Mapping[str, Values],
    *,
    unit: str = "count",
    area: bool = False,
    time: bool = False,
    y_from_zero: bool = True,
) -> Option:
    """Lines over shared places; with `time`, places are ISO moments shown in the viewer's zone."""
    return {
        "foodex": {"unit": unit, "time": time},
        "xAxis": {"type": "category", "data": list(x), "boundaryGap": False},
        "yAxis": {"type": "value", "scale": not y_from_zero},
        "legend": {"show": len(series) > 1},
        "tooltip": {"trigger": "axis"},
        "series": [
            {
                "type": "line",
                "name": name,
                "data": list(values),
                "showSymbol": len(x) <= 31,
                "connectNulls": False,
                **({"areaStyle": {"opacity": 0.12}} if area else {}),
            }
            for name, values in series.items()
        ],
    }


def bars(
    x: Sequence[Any],
    series: Mapping[str, Values],
    *,
    unit: str = "count",
    stacked: bool = False,
    lying: bool = False,
) -> Option:
    """Bars beside each other or stacked; `lying` puts names at the left, the first on top."""
    names = {"type": "category", "data": list(x), "inverse": lying}
    values: Option = {"type": "value"}
    return {
        "foodex": {"unit": unit, "lying": lying},
        "xAxis": values if lying else names,
        "yAxis": names if lying else values,
        "legend": {"show": len(series) > 1},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "series": [
            {
                "type": "bar",
                "name": name,
                "data": list(numbers),
                "barMaxWidth": 28,
                **({"stack": "all"} if stacked else {}),
            }
            for name, numbers in series.items()
        ],
    }


def heat(
    x: Sequence[str], y: Sequence[str], cells: Sequence[tuple[int, int, float]], *, unit: str
) -> Option:
    """A heat map; a cell is its column, its row (0 on top) and its value."""
    numbers = [value for _, _, value in cells] or [0.0]
    return {
        "foodex": {"unit": unit, "heat": True},
        "xAxis": {"type": "category", "data": list(x), "splitArea": {"show": False}},
        "yAxis": {"type": "category", "data": list(y), "inverse": True},
        "visualMap": {"min": min(numbers), "max": max(numbers), "show": False},
        "tooltip": {"trigger": "item"},
        "series": [{"type": "heatmap", "data": [list(cell) for cell in cells]}],
    }


def scatter(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    unit: str = "count",
    diagonal: bool = False,
    x_name: str = "",
    y_name: str = "",
) -> Option:
    """Points, with a line joined where they are in order; `diagonal` draws where both are equal."""
    option: Option = {
        "foodex": {"unit": unit, "both": True},
        "xAxis": {"type": "value", "scale": True, "name": x_name},
        "yAxis": {"type": "value", "scale": True, "name": y_name},
        "legend": {"show": len(series) > 1},
        "tooltip": {"trigger": "item"},
        "series": [
            {"type": "line", "name": name, "data": [list(point) for point in points]}
            for name, points in series.items()
        ],
    }
    if diagonal:
        ends = [value for points in series.values() for point in points for value in point] or [0.0]
        low, high = min(ends), max(ends)
        option["series"].append(
            {
                "type": "line",
                "data": [[low, low], [high, high]],
                "silent": True,
                "showSymbol": False,
                "lineStyle": {"type": "dashed", "width": 1},
                "tooltip": {"show": False},
                "foodexRole": "reference",
            }
        )
    return option
