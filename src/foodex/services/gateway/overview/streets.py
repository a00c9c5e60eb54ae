"""The demonstration city's streets as lines to draw under a map's points."""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from foodex.city.streets import load_streets
from foodex.domain.overview import Spot

_BEND_DEGREES: Final = 2e-5
"""A bend that leaves the straight line by less, about two metres, is left out."""
_AROUND_DEGREES: Final = 0.01
"""So far outside of the streets, half a kilometre to one, a point still belongs to them."""
_INSIDE_SHARE: Final = 0.9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StreetMap:
    """GeoJSON of one feature per class of street, as it is and compressed, and their bounds
    (south, west, north, east)."""

    body: bytes
    compressed: bytes
    etag: str
    bounds: tuple[float, float, float, float]


@cache
def street_map() -> StreetMap:
    """Made once, in a third of a second: not for the event loop."""
    streets = load_streets()
    lines: dict[str, list[list[list[float]]]] = {}
    for kind, line in streets.polylines():
        points = [[round(lon, 5), round(lat, 5)] for lat, lon in _simplified(line).tolist()]
        lines.setdefault(kind, []).append(points)
    features: list[dict[str, Any]] = [
        {
            "type": "Feature",
            "properties": {"kind": kind},
            "geometry": {"type": "MultiLineString", "coordinates": parts},
        }
        for kind, parts in lines.items()
    ]
    south, west = float(streets.lat.min()), float(streets.lon.min())
    north, east = float(streets.lat.max()), float(streets.lon.max())
    body = msgspec.json.encode(
        {
            "type": "FeatureCollection",
            "attribution": streets.attribution,
            "bbox": [west, south, east, north],
            "features": features,
        }
    )
    return StreetMap(
        body=body,
        compressed=gzip.compress(body, mtime=0),
        etag=f'W/"{hashlib.sha256(body).hexdigest()[:16]}"',
        bounds=(south, west, north, east),
    )


def lie_on_streets(spots: Sequence[Spot]) -> bool:
    """Whether nearly all of these are where the streets are."""
    if not spots:
        return False
    south, west, north, east = street_map().bounds
    inside = sum(
        south - _AROUND_DEGREES <= spot.lat <= north + _AROUND_DEGREES
        and west - _AROUND_DEGREES <= spot.lon <= east + _AROUND_DEGREES
        for spot in spots
    )
    return inside >= _INSIDE_SHARE * len(spots)


def _simplified(line: Floats) -> Floats:
    # Ramer (1972), Douglas and Peucker (1973); the streets' lines have a handful of points.
    if len(line) < 3:
        return line
    start, end = line[0], line[-1]
    along = end - start
    length = float(np.hypot(*along))
    away = line[1:-1] - start
    distance = (
        np.abs(along[0] * away[:, 1] - along[1] * away[:, 0]) / length
        if length
        else np.hypot(away[:, 0], away[:, 1])
    )
    farthest = int(distance.argmax())
    if distance[farthest] < _BEND_DEGREES:
        return np.stack([start, end])
    middle = farthest + 1
    left, right = _simplified(line[: middle + 1]), _simplified(line[middle:])
    return np.concatenate([left[:-1], right])
