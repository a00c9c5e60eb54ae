"""A report in words and drawings alone: what the page and the PDF both lay out."""

from typing import Any
from zoneinfo import ZoneInfo

from foodex.domain.reports import (
    Better,
    Cell,
    Chart,
    Column,
    Figure,
    Report,
    Table,
    Unit,
    days,
    shown,
)
from foodex.services.gateway.reports.svg import draw

View = dict[str, Any]


def view(report: Report) -> View:
    """Every number written, every chart drawn; plain JSON values, the same for the same report."""
    zone = report.period.time_zone if report.period else "UTC"
    made_at = report.made_at.astimezone(ZoneInfo(zone))
    return {
        "title": report.title,
        "subtitle": report.subtitle,
        "period": days(report.period) if report.period else "",
        "made_at": f"{made_at.day} {made_at:%B %Y, %H:%M} ({zone})",
        "made_at_iso": made_at.isoformat(),
        "made_from": [[origin.name, origin.value] for origin in report.made_from],
        "summary": list(report.summary),
        "figures": [_figure(figure) for figure in report.figures],
        "sections": [
            {
                "title": section.title,
                "text": list(section.text),
                "charts": [_chart(chart) for chart in section.charts],
                "tables": [_table(table) for table in section.tables],
            }
            for section in report.sections
        ],
        "method": list(report.method),
    }


def _figure(figure: Figure) -> View:
    def said(value: float | None) -> str:
        return shown(value, figure.unit, figure.currency, rough=True)

    between = ""
    if figure.low is not None and figure.high is not None:
        between = f"{said(figure.low)} to {said(figure.high)}"
    versus, tone = "", "plain"
    if figure.other is not None:
        versus = f"{figure.versus}: {said(figure.other)}"
        # What reads the same is not told apart by a colour.
        differs = figure.value is not None and said(figure.value) != said(figure.other)
        if differs and figure.value is not None and figure.better is not Better.NEITHER:
            higher = figure.value > figure.other
            tone = "good" if higher is (figure.better is Better.HIGHER) else "bad"
    return {
        "name": figure.name,
        "value": said(figure.value),
        "between": between,
        "versus": versus,
        "tone": tone,
    }


def _chart(chart: Chart) -> View:
    return {"title": chart.title, "says": chart.says, "svg": draw(chart)}


def _table(table: Table) -> View:
    return {
        "title": table.title,
        "columns": [
            {"title": column.title, "number": column.unit is not Unit.TEXT}
            for column in table.columns
        ],
        "rows": [
            [_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
            for row in table.rows
        ],
        "note": table.note,
    }


def _cell(cell: Cell, column: Column) -> str:
    return shown(cell, column.unit, column.currency)
