"""How scenarios, their runs and what came of them are shown, whatever the scenario."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from foodex.services.dashboard import charts
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.session import current_viewer

ICONS: Final = {
    "collect-data": "download",
    "train-model": "brain-circuit",
    "predict-order": "timer",
    "predict-file": "file-stack",
    "compare-models": "git-compare-arrows",
    "report-model": "file-chart-column",
    "report-period": "calendar-range",
    "plan-costs": "calculator",
    "what-if": "split",
}
ICON: Final = "workflow"
_FILES: Final = {
    "html": "file-chart-column",
    "pdf": "file-text",
    "json": "file-json",
    "csv": "file-spreadsheet",
}
_UPLOADED: Final = re.compile(r"^(?:.*/uploads/[0-9a-f]+/|[0-9a-f]{16}-)(?=.)")
"""What stands before the name of a file that was sent: people know only its name."""
_MOST_MODELS: Final = 20
_OUTCOMES: Final = frozenset({"delivery_minutes", "delivered_at", "order_id"})
_DRAWN: Final = {"minutes": "minutes", "share": "percent", "count": "count", "number": "count"}
"""Units of columns that make a picture, and how the picture's values are written."""
_FEWEST_BARS: Final = 2
_MOST_BARS: Final = 24
_MOST_CHARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Told:
    """A parameter of a run: its name, its value, and `list`, `pairs`, `moment`, `flag` or
    `text`."""

    name: str
    value: Any
    kind: str


def told(parameters: Mapping[str, Any]) -> list[Told]:
    """The parameters that say something."""
    return [
        Told(name, *_told(value))
        for name, value in parameters.items()
        if value is not None and value not in ("", [], {}, ())
    ]


def _told(value: Any) -> tuple[Any, str]:
    if isinstance(value, bool):
        return value, "flag"
    if isinstance(value, Mapping):
        return list(value.items()), "pairs"
    if isinstance(value, (list, tuple)):
        return [str(one) for one in value], "list"
    if isinstance(value, str) and "T" in value:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value, "text"
        if moment.tzinfo is not None:
            return moment, "moment"
    return _UPLOADED.sub("", str(value)), "text"


def file_icon(name: str) -> str:
    """The icon of a file by its name."""
    return _FILES.get(name.rpartition(".")[2], "file")


def report_of(run: Mapping[str, Any]) -> bool:
    """Whether a run left a report that can be read."""
    return any(file["name"] == "report.html" for file in run["files"])


def pictures(outcome: Mapping[str, Any]) -> list[tuple[int, charts.Option]]:
    """Charts of those tables of an outcome that one shows well, with the table's number."""
    found: list[tuple[int, charts.Option]] = []
    for number, table in enumerate(outcome["tables"]):
        option = picture(table)
        if option is not None and len(found) < _MOST_CHARTS:
            found.append((number, option))
    return found


def picture(table: Mapping[str, Any]) -> charts.Option | None:
    """What a table says most as bars beside its names, where it is such a table."""
    columns, rows = table["columns"], table["rows"]
    if not _FEWEST_BARS <= len(rows) <= _MOST_BARS or columns[0]["unit"] != "text":
        return None
    drawn = [
        (place, column)
        for place, column in enumerate(columns)
        if column["unit"] in _DRAWN and any(row[place] is not None for row in rows)
    ]
    # How many there are says least, where there is something else.
    told = next((one for one in drawn if one[1]["unit"] != "count"), drawn[0] if drawn else None)
    if told is None:
        return None
    unit, what = told[1]["unit"], told[1]["title"].partition(",")[0]
    # "On time, present" stands beside "On time, other".
    alike = [p for p, c in drawn if c["unit"] == unit and c["title"].partition(",")[0] == what]
    series = {columns[place]["title"]: [row[place] for row in rows] for place in alike}
    return charts.bars([str(row[0]) for row in rows], series, unit=_DRAWN[unit], lying=True)


async def known_names(
    gateway: Gateway, wanted: frozenset[str]
) -> dict[str, tuple[str, ...] | None]:
    """Names of what there is, by what it is; nothing for clients, who do not see it."""
    viewer = current_viewer()
    if viewer is None or not viewer.may(*STAFF):
        return {}
    asked = {
        "models": _models,
        "versions": _versions,
        "sources": _sources,
        "mappings": _mappings,
    }
    names = [name for name in asked if name in wanted]
    datasets, *found = await asyncio.gather(
        _datasets(gateway, wanted), *(asked[name](gateway) for name in names)
    )
    return {**datasets, **dict(zip(names, found, strict=True))}


async def _datasets(gateway: Gateway, wanted: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """The data sets and the fields of their orders, asked for once: rows are counted for it."""
    if not wanted & {"datasets", "fields"}:
        return {}
    found = await gateway.get("/storage/datasets")
    orders = [one for one in found if one["layer"] == "processed"]
    fields = dict.fromkeys(column["name"] for one in orders for column in one["columns"])
    return {
        "datasets": tuple(one["name"] for one in orders),
        "fields": tuple(name for name in fields if name not in _OUTCOMES),
    }


async def _models(gateway: Gateway) -> tuple[str, ...]:
    return tuple(one["name"] for one in await gateway.get("/ml/models"))


async def _versions(gateway: Gateway) -> tuple[str, ...]:
    models = (await gateway.get("/ml/models"))[:_MOST_MODELS]
    each = await asyncio.gather(
        *(gateway.get(f"/ml/models/{one['name']}/versions") for one in models)
    )
    return tuple(f"{v['model']}:{v['version']}" for versions in each for v in versions)


async def _sources(gateway: Gateway) -> tuple[str, ...]:
    return tuple(one["name"] for one in await gateway.get("/collector/sources"))


async def _mappings(gateway: Gateway) -> tuple[str, ...]:
    return tuple(await gateway.get("/collector/mappings"))
