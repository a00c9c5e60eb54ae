"""The canonical delivery record: one row per delivered order, and all is learned from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """How a field's values are held in a processed data set."""

    TEXT = "text"
    """An identifier; compared, never measured."""
    CATEGORY = "category"
    """One of few names."""
    NUMBER = "number"
    """A float64."""
    INTEGER = "integer"
    """An int64."""
    TIME = "time"
    """An instant, zone-aware, held in UTC with microseconds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the delivery record.

    `low` and `high` bound what is possible (inclusive): a value outside them is an error in the
    data, not a rare order. `known_at_order` says whether an order that has just been placed can
    have it; the rest is learned only later and must never reach a feature of the same order.
    """

    name: str
    group: str
    kind: Kind
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    known_at_order: bool = True


MAX_DELIVERY_MINUTES: Final = 24 * 60.0
"""A delivery longer than a day is a mistake of recording, whatever the company."""

_T, _C, _N, _I, _X = Kind.TIME, Kind.CATEGORY, Kind.NUMBER, Kind.INTEGER, Kind.TEXT

FIELDS: Final[tuple[Field, ...]] = (
    Field("order_id", "identity", _X, "the company's own number of the order"),
    Field("store_id", "identity", _X, "the store, restaurant or kitchen"),
    Field("courier_id", "identity", _X, "the courier", known_at_order=False),
    Field("city", "identity", _C, "the city or market"),
    Field("placed_at", "time", _T, "when the customer ordered"),
    Field("accepted_at", "time", _T, "when the store accepted", known_at_order=False),
    Field("ready_at", "time", _T, "when the food was said to be ready", known_at_order=False),
    Field("picked_up_at", "time", _T, "when the courier left the store", known_at_order=False),
    Field("delivered_at", "time", _T, "when the customer had it", known_at_order=False),
    Field("hour_of_day", "time", _N, "local hour with its fraction", "h", 0, 24),
    Field("day_of_week", "time", _I, "local weekday, Monday is 0", "", 0, 6),
    Field("store_lat", "place", _N, "latitude of the store", "°", -90, 90),
    Field("store_lon", "place", _N, "longitude of the store", "°", -180, 180),
    Field("customer_lat", "place", _N, "latitude of the customer", "°", -90, 90),
    Field("customer_lon", "place", _N, "longitude of the customer", "°", -180, 180),
    Field("distance_km", "place", _N, "way from store to customer", "km", 0, 500),
    Field("travel_minutes_estimate", "place", _N, "a routing engine's time for it", "min", 0, 1440),
    Field("items", "basket", _N, "pieces ordered", "", 0, 10_000),
    Field("distinct_items", "basket", _N, "different dishes ordered", "", 0, 10_000),
    Field("subtotal_minor", "basket", _I, "price of the basket", "minor units", 0, 10**12),
    Field("currency", "basket", _C, "ISO 4217 code"),
    Field("store_category", "basket", _C, "kind of kitchen or shop"),
    Field("order_type", "basket", _C, "kind of order"),
    Field("vehicle", "courier", _C, "what the courier rides"),
    Field("batched_orders", "courier", _N, "other orders on the same trip", "", 0, 100),
    Field("temperature_c", "weather", _N, "air temperature", "°C", -90, 60),
    Field("precipitation_mm", "weather", _N, "rain or snow of the hour before", "mm", 0, 500),
    Field("wind_mps", "weather", _N, "wind speed", "m/s", 0, 120),
    Field("cloud_cover", "weather", _N, "share of the sky covered", "0-1", 0, 1),
    Field("weather_condition", "weather", _C, "the weather in a word"),
    Field(
        "traffic_ratio", "traffic", _N, "free-flow time over current time; 1 is free", "0-1", 0, 1
    ),
    Field("traffic_level", "traffic", _C, "the traffic in a word"),
    Field("couriers_on_shift", "load", _N, "couriers at work nearby", "", 0, 10**6),
    Field("couriers_busy", "load", _N, "of those, on an order", "", 0, 10**6),
    Field("orders_open", "load", _N, "orders placed and not yet delivered", "", 0, 10**6),
    Field(
        "delivery_minutes",
        "outcome",
        _N,
        "from placing to delivery",
        "min",
        0,
        MAX_DELIVERY_MINUTES,
        known_at_order=False,
    ),
    Field(
        "own_estimate_minutes",
        "outcome",
        _N,
        "what the company itself had said when the order was placed",
        "min",
        0,
        MAX_DELIVERY_MINUTES,
    ),
)

EARLIEST_ORDER: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No order is older than food delivery by the internet."""
ORDERS_AHEAD: Final = timedelta(days=31)
"""How far ahead of the clock an order may be placed: enough to ask about a coming holiday."""
LONGEST_TEXT: Final = 200
"""Most characters of a text of an order."""

FIELD: Final[Mapping[str, Field]] = MappingProxyType({field.name: field for field in FIELDS})

EXTRA_KINDS: Final = (Kind.NUMBER, Kind.CATEGORY)
"""What a column beyond the canonical ones may be declared as."""
