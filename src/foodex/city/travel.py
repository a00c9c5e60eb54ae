"""How long the simulated couriers' ways are, and what slows them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from foodex.city.streets import Row, Streets, Vehicle
from foodex.city.weather import Sky

DETOUR: Final = 1.35
"""Way over straight line, for the short hop between two doors of one trip."""
PARKING_SECONDS: Final[Mapping[Vehicle, float]] = {
    Vehicle.FOOT: 0.0,
    Vehicle.BICYCLE: 25.0,
    Vehicle.MOPED: 40.0,
    Vehicle.CAR: 110.0,
}
_HOP_KMPH: Final[Mapping[Vehicle, float]] = {
    Vehicle.FOOT: 4.8,
    Vehicle.BICYCLE: 13.0,
    Vehicle.MOPED: 15.0,
    Vehicle.CAR: 13.0,
}


class Place(Protocol):
    """Whatever lies somewhere, in degrees."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Ways:
    """Ways between each store and every crossing: km, and minutes on empty streets by vehicle.

    `outbound[vehicle][store][node]` leads to the customer, `inbound` to the store.
    """

    kilometres: list[Row]
    outbound: dict[Vehicle, list[Row]]
    inbound: dict[Vehicle, list[Row]]


def find_ways(streets: Streets, nodes: Sequence[int]) -> Ways:
    """All ways between stores at `nodes` and the city's crossings."""
    outbound, inbound = {}, {}
    for vehicle in (Vehicle.FOOT, Vehicle.BICYCLE):
        # On foot and by bicycle (pushed where it must be) a way back is as long as the way there.
        outbound[vehicle] = inbound[vehicle] = streets.minutes(vehicle, nodes)
    outbound[Vehicle.CAR] = outbound[Vehicle.MOPED] = streets.minutes(Vehicle.CAR, nodes)
    inbound[Vehicle.CAR] = inbound[Vehicle.MOPED] = streets.minutes(
        Vehicle.CAR, nodes, inbound=True
    )
    return Ways(streets.kilometres(nodes), outbound, inbound)


def hop_minutes(vehicle: Vehicle, here: Place, there: Place) -> float:
    """The minutes between two doors not far apart, by the straight line and its usual detour."""
    # Kilometres in a degree at 60.17° north.
    north = (there.lat - here.lat) * 111.4
    east = (there.lon - here.lon) * 55.5
    return DETOUR * math.hypot(north, east) / _HOP_KMPH[vehicle] * 60


def slowdown(vehicle: Vehicle, sky: Sky, traffic_ratio: float) -> float:
    """How much longer a ride takes than on empty, dry streets."""
    rain = min(sky.precipitation_mm, 4.0)
    if vehicle is Vehicle.CAR:
        return (1 + 0.05 * rain) / traffic_ratio
    # Two wheels slip through a jam, and people on foot do not notice it.
    jam = 1 / traffic_ratio - 1
    factor = 1 + (0.35 * jam if vehicle is not Vehicle.FOOT else 0.0) + 0.13 * rain
    if sky.temperature_c < 0:
        factor *= 1.12
    if vehicle is Vehicle.BICYCLE:
        factor *= 1 + 0.015 * max(0.0, sky.wind_mps - 4.0)
    return factor
