"""What an order looks like to a model: the features that need nothing but the order itself.

Written once, over columns. Nothing here has to be present: a feature whose inputs an order lacks
is NaN for that order. History features, which need other orders, are in `history`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from foodex.domain.deliveries import FIELD, Kind
from foodex.eta.clocks import local_clock
from foodex.eta.columns import Columns, Floats

EARTH_RADIUS_KM: Final = 6371.0088
"""Mean radius of the Earth (IUGG)."""
KM_PER_DEGREE: Final = EARTH_RADIUS_KM * np.pi / 180.0

_OUTCOMES: Final = frozenset(name for name, field in FIELD.items() if not field.known_at_order)
_IDENTITIES: Final = frozenset({"order_id", "store_id", "courier_id", "currency"})

CATEGORIES: Final[Mapping[str, str]] = {
    "city": "zone",
    "store_category": "basket",
    "order_type": "basket",
    "vehicle": "courier",
    "weather_condition": "weather",
    "traffic_level": "traffic",
}
"""Category fields of the record and the factor each belongs to."""

NUMBERS: Final[Mapping[str, str]] = {
    "travel_minutes_estimate": "distance",
    "store_lat": "place",
    "store_lon": "place",
    "customer_lat": "place",
    "customer_lon": "place",
    "items": "basket",
    "distinct_items": "basket",
    "subtotal_minor": "basket",
    "batched_orders": "courier",
    "temperature_c": "weather",
    "precipitation_mm": "weather",
    "wind_mps": "weather",
    "cloud_cover": "weather",
    "traffic_ratio": "traffic",
    "couriers_on_shift": "load",
    "couriers_busy": "load",
    "orders_open": "load",
    "own_estimate_minutes": "own estimate",
}
"""Number fields of the record that are features as they are."""


def known_inputs(names: Collection[str], without: Collection[str] = ()) -> frozenset[str]:
    """Of the columns present, those a feature may see: known at the order and not excluded."""
    return frozenset(names) - _OUTCOMES - frozenset(without)


def haversine_km(lat1: Floats, lon1: Floats, lat2: Floats, lon2: Floats) -> Floats:
    """Great-circle distance in km between points in degrees (haversine formula)."""
    half = np.pi / 360.0
    a = (
        np.sin((lat2 - lat1) * half) ** 2
        + np.cos(lat1 * 2 * half) * np.cos(lat2 * 2 * half) * np.sin((lon2 - lon1) * half) ** 2
    )
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(a, 1.0))))


def zone_cells(lat: Floats, lon: Floats, size_km: float) -> np.ndarray:
    """The square of `size_km` that each point lies in, as an int64; -1 where it is unknown.

    Rows of squares follow the parallels; a square's width in degrees follows its row's latitude,
    so squares are of like area everywhere.
    """
    row = np.floor((lat + 90.0) * (KM_PER_DEGREE / size_km))
    middle = (row + 0.5) * (size_km / KM_PER_DEGREE) - 90.0
    column = np.floor((lon + 180.0) * np.cos(middle * (np.pi / 180.0)) * (KM_PER_DEGREE / size_km))
    cells = row * 100_000.0 + column
    return np.where(np.isnan(cells), -1.0, cells).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Basics:
    """What many features and the keys of history share, computed once for a set of orders."""

    n: int
    columns: Columns
    hour: Floats
    weekday: Floats
    distance_km: Floats

    def get(self, name: str) -> Floats:
        """A number column, NaN where the orders do not have it."""
        found = self.columns.get(name)
        if found is None or found.dtype != np.float64:
            return np.full(self.n, np.nan)
        return found


def basics(columns: Columns, n: int, time_zone: str) -> Basics:
    """Local time and distance, from whatever of their inputs there is.

    A given `hour_of_day` or `day_of_week` is believed before the clock, a given `distance_km`
    before the coordinates.
    """
    nan = np.full(n, np.nan)
    hour, weekday = columns.get("hour_of_day"), columns.get("day_of_week")
    placed = columns.get("placed_at")
    if placed is not None:
        clock_hour, clock_weekday = local_clock(placed, time_zone)
        hour = clock_hour if hour is None else np.where(np.isnan(hour), clock_hour, hour)
        weekday = (
            clock_weekday
            if weekday is None
            else np.where(np.isnan(weekday), clock_weekday, weekday)
        )
    distance = columns.get("distance_km")
    ends = [columns.get(name) for name in _ENDS]
    if all(end is not None for end in ends):
        crow = haversine_km(*ends)  # type: ignore[arg-type]
        distance = crow if distance is None else np.where(np.isnan(distance), crow, distance)
    return Basics(
        n,
        columns,
        nan if hour is None else hour,
        nan if weekday is None else weekday,
        nan if distance is None else distance,
    )


_ENDS: Final = ("store_lat", "store_lon", "customer_lat", "customer_lon")


@dataclass(frozen=True, slots=True)
class Derived:
    """A feature made of several fields; it exists where one of `needs` (each a set) is known."""

    name: str
    factor: str
    needs: tuple[frozenset[str], ...]
    compute: Callable[[Basics], Floats]


def _needs(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in sets)


_HOUR: Final = _needs("placed_at", "hour_of_day")
_DAY: Final = _needs("placed_at", "day_of_week")
_DISTANCE: Final = _needs("distance_km", " ".join(_ENDS))
_TURN: Final = 2 * np.pi / 24.0

DERIVED: Final = (
    Derived("distance_km", "distance", _DISTANCE, lambda b: b.distance_km),
    Derived("hour_of_day", "time", _HOUR, lambda b: b.hour),
    Derived("day_of_week", "time", _DAY, lambda b: b.weekday),
    Derived("hour_sine", "time", _HOUR, lambda b: np.sin(b.hour * _TURN)),
    Derived("hour_cosine", "time", _HOUR, lambda b: np.cos(b.hour * _TURN)),
    Derived("half_day_sine", "time", _HOUR, lambda b: np.sin(b.hour * (2 * _TURN))),
    Derived("half_day_cosine", "time", _HOUR, lambda b: np.cos(b.hour * (2 * _TURN))),
    Derived("weekend", "time", _DAY, lambda b: np.where(b.weekday >= 5, 1.0, 0.0)),
    Derived(
        "north_km",
        "distance",
        _needs("store_lat customer_lat"),
        lambda b: (b.get("customer_lat") - b.get("store_lat")) * KM_PER_DEGREE,
    ),
    Derived(
        "east_km",
        "distance",
        _needs(" ".join(_ENDS)),
        lambda b: (
            (b.get("customer_lon") - b.get("store_lon"))
            * (KM_PER_DEGREE * np.cos(b.get("store_lat") * (np.pi / 180.0)))
        ),
    ),
    Derived(
        "couriers_free",
        "load",
        _needs("couriers_on_shift couriers_busy"),
        lambda b: b.get("couriers_on_shift") - b.get("couriers_busy"),
    ),
    Derived(
        "orders_per_courier",
        "load",
        _needs("couriers_on_shift orders_open"),
        lambda b: b.get("orders_open") / np.maximum(b.get("couriers_on_shift"), 1.0),
    ),
)


def is_extra(name: str) -> bool:
    """Whether a column is none of the record's own."""
    return name not in FIELD


def extra_numbers(columns: Columns) -> tuple[str, ...]:
    """Extras that are numbers, in order of name."""
    return tuple(
        sorted(name for name, c in columns.items() if is_extra(name) and c.dtype == np.float64)
    )


def category_names(columns: Columns) -> tuple[str, ...]:
    """Category columns of the record and of the extras, in order of name."""
    return tuple(
        sorted(
            name
            for name, column in columns.items()
            if column.dtype == object
            and name not in _IDENTITIES
            and (is_extra(name) or FIELD[name].kind is Kind.CATEGORY)
        )
    )


def counts_among(columns: Columns, extras: Collection[str]) -> tuple[str, ...]:
    """Extras that look like counts of things: whole numbers from zero, mostly zero or few."""
    return tuple(
        name
        for name in extras
        if (values := columns[name][~np.isnan(columns[name])]).size
        and values.min() >= 0
        and values.max() <= 1000
        and np.all(values == np.floor(values))
        and np.mean(values == 0) >= 0.5
    )
