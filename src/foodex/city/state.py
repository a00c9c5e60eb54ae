"""The things that change while the simulated city runs: orders and couriers on the road."""

import math
from dataclasses import dataclass
from enum import StrEnum

from foodex.city.plan import Courier
from foodex.city.weather import Sky


class Stage(StrEnum):
    """What can happen to an order."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    READY = "ready"
    ASSIGNED = "assigned"
    PICKED_UP = "picked_up"
    DELIVERED = "delivered"


@dataclass(slots=True, eq=False)
class Order:
    """One order: what was asked for, its luck, what was known, and what became of it.

    Times are seconds of the Unix epoch; luck has no unit where it multiplies. `ready` is the truth,
    `expected` what the kitchen's screen foresaw, `clicked` what the kitchen said.
    """

    order_id: str
    store: int
    node: int
    lat: float
    lon: float
    placed: float
    local_hour: float
    weekday: int
    items: int
    distinct_items: int
    subtotal_minor: int
    order_type: str
    # luck
    accept_seconds: float
    cook_luck: float
    pack_seconds: float
    click_luck: float
    react_seconds: float
    ride_luck: float
    handover_seconds: float
    door_seconds: float
    # known when placed
    sky: Sky | None = None
    traffic_ratio: float = 1.0
    couriers_on_shift: int = 0
    couriers_busy: int = 0
    orders_open: int = 0
    own_estimate_minutes: float = 0.0
    # what became of it
    accepted: float = math.nan
    cook_starts: float = math.nan
    cook: int = -1
    expected: float = math.nan
    cooked: float = math.nan
    ready: float = math.nan
    clicked: float = math.nan
    assigned: float = math.nan
    picked_up: float = math.nan
    delivered: float = math.nan
    courier: int = -1
    companions: int = 0


@dataclass(slots=True, eq=False)
class Rider:
    """A courier's state: where from, where to, and with what. Times in seconds of the epoch."""

    courier: Courier
    index: int
    node: int
    at_work: bool = False
    works_until: float = 0.0
    trip: tuple[Order, ...] = ()
    leg_from: int = -1
    leg_starts: float = 0.0
    leg_ends: float = 0.0
