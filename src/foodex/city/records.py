"""How one simulated order reads as a canonical delivery record."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from foodex.city.engine import Engine
from foodex.city.rhythm import traffic_level
from foodex.city.state import Order
from foodex.city.streets import Vehicle
from foodex.city.weather import Sky
from foodex.domain.deliveries import FIELDS, Kind

CITY_NAME: Final = "Helsinki (simulated)"
CURRENCY: Final = "EUR"

_TYPES: Final[Mapping[Kind, pl.DataType]] = {
    Kind.TEXT: pl.String(),
    Kind.CATEGORY: pl.String(),
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.TIME: pl.Datetime("us", "UTC"),
}
SCHEMA: Final[Mapping[str, pl.DataType]] = {field.name: _TYPES[field.kind] for field in FIELDS}
"""The columns of a history: every field of the delivery record, in its order."""

Fact = Callable[[Order], Any]


def facts_of(engine: Engine) -> dict[str, Fact]:
    """How to read each field off an order; times are whole seconds of the epoch."""
    stores, riders, ways = engine.plan.stores, engine.riders, engine.ways
    bicycle = ways.outbound[Vehicle.BICYCLE]
    return {
        "order_id": lambda order: order.order_id,
        "store_id": lambda order: stores[order.store].store_id,
        "courier_id": lambda order: riders[order.courier].courier.courier_id,
        "city": lambda _: CITY_NAME,
        "placed_at": lambda order: round(order.placed),
        "accepted_at": lambda order: round(order.accepted),
        "ready_at": lambda order: round(order.clicked),
        "picked_up_at": lambda order: round(order.picked_up),
        "delivered_at": lambda order: round(order.delivered),
        "hour_of_day": lambda order: round(order.local_hour, 4),
        "day_of_week": lambda order: order.weekday,
        "store_lat": lambda order: stores[order.store].lat,
        "store_lon": lambda order: stores[order.store].lon,
        "customer_lat": lambda order: order.lat,
        "customer_lon": lambda order: order.lon,
        "distance_km": lambda order: round(ways.kilometres[order.store][order.node], 3),
        "travel_minutes_estimate": lambda order: round(bicycle[order.store][order.node], 2),
        "items": lambda order: float(order.items),
        "distinct_items": lambda order: float(order.distinct_items),
        "subtotal_minor": lambda order: order.subtotal_minor,
        "currency": lambda _: CURRENCY,
        "store_category": lambda order: stores[order.store].style.name,
        "order_type": lambda order: order.order_type,
        "vehicle": lambda order: riders[order.courier].courier.vehicle.value,
        "batched_orders": lambda order: float(order.companions),
        "temperature_c": lambda order: _sky(order).temperature_c,
        # Known when the order is placed is what fell in the hour before.
        "precipitation_mm": lambda order: _sky(order).before_mm,
        "wind_mps": lambda order: _sky(order).wind_mps,
        "cloud_cover": lambda order: _sky(order).cloud_cover,
        "weather_condition": lambda order: _sky(order).condition,
        "traffic_ratio": lambda order: order.traffic_ratio,
        "traffic_level": lambda order: traffic_level(order.traffic_ratio),
        "couriers_on_shift": lambda order: float(order.couriers_on_shift),
        "couriers_busy": lambda order: float(order.couriers_busy),
        "orders_open": lambda order: float(order.orders_open),
        "delivery_minutes": lambda order: (round(order.delivered) - round(order.placed)) / 60,
        "own_estimate_minutes": lambda order: order.own_estimate_minutes,
    }


def to_frame(engine: Engine, orders: Sequence[Order]) -> pl.DataFrame:
    """Delivered orders as canonical records, by the time of placing."""
    rows = sorted(orders, key=lambda order: (order.placed, order.order_id))
    columns = []
    for name, fact in facts_of(engine).items():
        kind, values = SCHEMA[name], [fact(order) for order in rows]
        if isinstance(kind, pl.Datetime):
            seconds = pl.Series(name, values, dtype=pl.Int64)
            columns.append(
                (seconds * 1_000_000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
            )
        else:
            columns.append(pl.Series(name, values, dtype=kind))
    return pl.DataFrame(columns).select(list(SCHEMA))


def _sky(order: Order) -> Sky:
    if order.sky is None:
        raise ValueError(f"{order.order_id} has not been placed yet")
    return order.sky
