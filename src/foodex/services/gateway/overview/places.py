# ruff: noqa: S608 -- names and values in the questions are checked before, or quoted
"""Where a period's orders came from and went to."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import h3

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import Dataset
from foodex.domain.overview import Places, Spot, Zone
from foodex.domain.reports import Period
from foodex.ports.storage import Storage
from foodex.services.gateway.order_questions import Questions
from foodex.services.gateway.overview.streets import lie_on_streets
from foodex.services.gateway.reports.period import MOST_DAYS

MOST_STORES: Final = 20_000
MOST_ZONES: Final = 400
_FEWEST_ORDERS: Final = 10
"""Orders that a zone should have on average: of fewer, minutes and shares say little."""
_RESOLUTIONS: Final = range(4, 11)
"""Of H3: hexagons of about 45 km across down to 130 m."""
_PART: Final = 5_000
"""Stores asked for at once: an answer has its own limit."""
_FIGURES: Final = """count() AS orders, quantileExact(0.5)(took) AS median_minutes,
 countIf(late IS NOT NULL) AS judged, countIf(late > 0) AS came_late"""
# Engines disagree on which of latitude and longitude comes first: asked for one known cell.
_LAT_FIRST: Final = "geoToH3(60.17, 24.94, 9) = 617294884152279039"


async def places_of(storage: Storage, dataset: Dataset, period: Period) -> Places:
    """The stores and the zones of customers; empty where a data set does not say where.

    Raises InvalidInput for a period longer than `MOST_DAYS` days.
    """
    if (period.until - period.since).days > MOST_DAYS:
        problem = FieldProblem("until", f"is more than {MOST_DAYS} days after since")
        raise InvalidInput("The orders cannot be added up", problems=[problem])
    asking = _Asking(Questions(storage, dataset), period)
    (stores, left_out), (zones, resolution) = await asyncio.gather(asking.stores(), asking.zones())
    return Places(
        dataset=dataset.name,
        period=period,
        stores=stores,
        stores_left_out=left_out,
        zones=zones,
        zone_resolution=resolution,
        streets=await asyncio.to_thread(lie_on_streets, (*stores, *zones)),
    )


class _Asking:
    def __init__(self, questions: Questions, period: Period) -> None:
        self._ask, self._names = questions.ask, questions.names
        self._orders = questions.orders(period.since, period.until)

    async def stores(self) -> tuple[tuple[Spot, ...], int]:
        """Stores, and how many are left out."""
        if not {"store_lat", "store_lon"} <= self._names:
            return (), 0
        # Stores without a number are told apart by where they are.
        name = "coalesce(toString(store), concat(toString(store_lat), ', ', toString(store_lon)))"
        where = "WHERE store_lat IS NOT NULL AND store_lon IS NOT NULL"
        found: list[Mapping[str, Any]] = []
        while len(found) < MOST_STORES:
            part = await self._ask(
                f"{self._orders} SELECT {name} AS name, avg(store_lat) AS lat, "
                f"avg(store_lon) AS lon, {_FIGURES} FROM o {where} GROUP BY name "
                f"ORDER BY orders DESC, name LIMIT {_PART} OFFSET {len(found)}"
            )
            found += part
            if len(part) < _PART:
                return tuple(map(_spot, found)), 0
        (row,) = await self._ask(f"{self._orders} SELECT uniqExact({name}) AS n FROM o {where}")
        return tuple(map(_spot, found)), row["n"] - len(found)

    async def zones(self) -> tuple[tuple[Zone, ...], int | None]:
        """Hexagons, as small as still have orders enough, and their resolution."""
        if not {"customer_lat", "customer_lon"} <= self._names:
            return (), None
        counts = ", ".join(f"uniq({_cell(level)}) AS r{level}" for level in _RESOLUTIONS)
        where = "WHERE customer_lat IS NOT NULL AND customer_lon IS NOT NULL"
        (row,) = await self._ask(f"{self._orders} SELECT count() AS n, {counts} FROM o {where}")
        if not row["n"]:
            return (), None
        most = max(1, min(MOST_ZONES, row["n"] // _FEWEST_ORDERS))
        fitting = [level for level in _RESOLUTIONS if row[f"r{level}"] <= most]
        level = max(fitting, default=_RESOLUTIONS[0])
        found = await self._ask(
            f"{self._orders} SELECT h3ToString({_cell(level)}) AS name, {_FIGURES} FROM o {where} "
            f"GROUP BY name ORDER BY orders DESC, name LIMIT {MOST_ZONES}"
        )
        return tuple(_zone(row) for row in found), level


def _cell(resolution: int) -> str:
    lat, lon = "assumeNotNull(customer_lat)", "assumeNotNull(customer_lon)"
    return (
        f"geoToH3(if({_LAT_FIRST}, {lat}, {lon}), if({_LAT_FIRST}, {lon}, {lat}), "
        f"toUInt8({resolution}))"
    )


def _zone(row: Mapping[str, Any]) -> Zone:
    lat, lon = h3.cell_to_latlng(row["name"])
    ends = h3.cell_to_boundary(row["name"])
    outline = tuple((round(lon, 6), round(lat, 6)) for lat, lon in (*ends, ends[0]))
    return Zone(**_figures({**row, "lat": lat, "lon": lon}), outline=outline)


def _spot(row: Mapping[str, Any]) -> Spot:
    return Spot(**_figures(row))


def _figures(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "lat": round(row["lat"], 6),
        "lon": round(row["lon"], 6),
        "orders": row["orders"],
        "median_minutes": _rounded(row["median_minutes"], 2),
        "late_share": _rounded(row["came_late"] / row["judged"], 4) if row["judged"] else None,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
