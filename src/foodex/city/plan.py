"""Who lives in the simulated city: its stores, its couriers, and when couriers work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from foodex.city.rhythm import (
    OPENS_HOUR,
    SLOT_MINUTES,
    SLOTS,
    WEEKDAY_DEMAND,
    demand_curve,
)
from foodex.city.streets import Streets, Vehicle

_STREAM = 23
COURIER_MINUTES_PER_ORDER: Final = 15.5
"""What the planner of shifts reckons with; rain and crowds make it worse."""
PLANNED_BUSY_SHARE: Final = 0.86


@dataclass(frozen=True, slots=True)
class Style:
    """A kind of kitchen; `lunch` and `dinner` say how its demand leans. Minutes are one cook's."""

    name: str
    share: float
    cook_minutes: float
    minutes_per_further_item: float
    price_minor: int
    items: float
    lunch: float
    dinner: float


STYLES: Final = (
    Style("burger", 0.20, 9.0, 0.9, 1150, 2.6, 1.0, 1.1),
    Style("pizza", 0.18, 13.0, 1.2, 1290, 2.1, 0.8, 1.3),
    Style("asian", 0.20, 11.0, 1.4, 1320, 2.6, 1.2, 1.0),
    Style("sushi", 0.12, 15.0, 1.9, 1580, 3.1, 1.2, 1.0),
    Style("grill", 0.10, 18.0, 1.6, 1790, 2.2, 0.5, 1.4),
    Style("cafe", 0.12, 5.0, 0.8, 690, 2.2, 1.6, 0.4),
    Style("grocery", 0.08, 6.0, 0.6, 390, 6.5, 0.9, 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store and its kitchen.

    `pace` multiplies its style's minutes; `drift_share` is how far the pace wanders over
    `drift_days` (a period that starts at `drift_phase` of itself). `late_click_share` is how often
    the kitchen says "ready" only when the courier stands there.
    """

    store_id: str
    node: int
    lat: float
    lon: float
    style: Style
    cooks: int
    pace: float
    popularity: float
    crowd: float
    accept_minutes: float
    late_click_share: float
    drift_share: float
    drift_days: float
    drift_phase: float

    def pace_at(self, seconds: float) -> float:
        """The kitchen's pace at a second of the Unix epoch."""
        turn = seconds / 86400 / self.drift_days + self.drift_phase
        return self.pace * (1 + self.drift_share * math.sin(2 * math.pi * turn))


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """A courier. `pace` multiplies travel times; `home` is the crossing a shift begins at."""

    courier_id: str
    vehicle: Vehicle
    pace: float
    home: int


@dataclass(frozen=True, slots=True)
class Shift:
    """A courier's working time on one day, in local hours."""

    courier: int
    starts_hour: float
    ends_hour: float


@dataclass(frozen=True)
class Plan:
    """The city's stores and couriers under one seed, sized for `orders_per_day`."""

    seed: int
    orders_per_day: float
    streets: Streets
    stores: tuple[Store, ...]
    couriers: tuple[Courier, ...]

    def shifts(self, day: int, weekday: int) -> list[Shift]:
        """Who works when on a day (numbered from the epoch): the usual plan, less the sick."""
        rng = np.random.default_rng([self.seed, _STREAM, 1, day % 2**32])
        order = rng.permutation(len(self.couriers)).tolist()
        wanted = self._rota[weekday]
        late = rng.exponential(0.06, len(wanted))
        sick = rng.random(len(wanted)) < 0.04
        return [
            Shift(courier, starts + delay, ends)
            for index, (courier, (starts, ends), delay, ill) in enumerate(
                zip(order, wanted, late.tolist(), sick.tolist(), strict=False)
            )
            # The first two always come: somebody has to open and to close.
            if not ill or index < 2
        ]

    @cached_property
    def _rota(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        return tuple(rota(self.orders_per_day, weekday) for weekday in range(7))


SHIFTS_HOURS: Final = ((9.75, 15.0), (10.75, 14.5), (13.5, 19.5), (16.0, 22.0), (16.75, 21.0))
_WHOLE_DAY: Final = ((9.5, 17.0), (15.0, 23.5))


def rota(orders_per_day: float, weekday: int) -> tuple[tuple[float, float], ...]:
    """The shifts of a weekday, chosen greedily until the usual demand is covered."""
    orders_per_slot = demand_curve(weekday) * orders_per_day * WEEKDAY_DEMAND[weekday]
    need = orders_per_slot * COURIER_MINUTES_PER_ORDER / SLOT_MINUTES / PLANNED_BUSY_SHARE
    hours = OPENS_HOUR + (np.arange(SLOTS) + 0.5) * SLOT_MINUTES / 60
    # An order keeps its courier busy after it was placed.
    hours_at_work = hours + 0.2
    wanted = list(_WHOLE_DAY)
    for starts, ends in wanted:
        need -= (starts <= hours_at_work) & (hours_at_work < ends)
    while (need > 0.5).any():
        first = hours_at_work[int(np.argmax(need))]
        fitting = [shift for shift in (*SHIFTS_HOURS, *_WHOLE_DAY) if shift[0] <= first < shift[1]]
        covers = [(starts <= hours_at_work) & (hours_at_work < ends) for starts, ends in fitting]
        # What a shift is worth is the need it meets in each of its hours, idling taken off.
        worth = [
            np.clip(need[covered], -1, 1).sum() / (ends - starts)
            for covered, (starts, ends) in zip(covers, fitting, strict=True)
        ]
        best = int(np.argmax(worth))
        need -= covers[best]
        wanted.append(fitting[best])
    return tuple(wanted)


def draw_plan(seed: int, streets: Streets, *, orders_per_day: float, stores: int) -> Plan:
    """Draw the city's stores and couriers."""
    rng = np.random.default_rng([seed, _STREAM, 0])
    most = max(len(rota(orders_per_day, weekday)) for weekday in range(7))
    couriers = _draw_couriers(rng, streets, math.ceil(most * 1.25) + 1)
    return Plan(
        seed=seed,
        orders_per_day=orders_per_day,
        streets=streets,
        stores=_draw_stores(rng, streets, orders_per_day, stores),
        couriers=couriers,
    )


def _draw_stores(
    rng: np.random.Generator, streets: Streets, orders_per_day: float, count: int
) -> tuple[Store, ...]:
    # Simulated stores stand where places to eat are dense, with the odd one elsewhere.
    weights = streets.places + 0.02
    sites = rng.choice(len(streets), size=count, replace=count > len(streets), p=_shares(weights))
    kinds = rng.choice(len(STYLES), size=count, p=_shares([style.share for style in STYLES]))
    popularity = rng.lognormal(0, 0.75, count)
    popularity /= popularity.sum()
    found = []
    for index in range(count):
        style = STYLES[int(kinds[index])]
        pace = float(rng.lognormal(0.03, 0.24))
        # Enough cooks for the store's usual busiest hour (15 % of its day), with little to spare.
        per_order = style.cook_minutes * pace + style.minutes_per_further_item * (style.items - 1)
        load = orders_per_day * popularity[index] * 0.15 * per_order * 1.25 / 60
        found.append(
            Store(
                store_id=f"sim-store-{index + 1:03d}",
                node=int(sites[index]),
                lat=round(float(streets.lat[sites[index]]), 6),
                lon=round(float(streets.lon[sites[index]]), 6),
                style=style,
                cooks=max(1, math.ceil(load / float(rng.uniform(0.5, 0.85)))),
                pace=pace,
                popularity=float(popularity[index]),
                crowd=float(rng.uniform(0.1, 0.75)),
                accept_minutes=float(rng.lognormal(0.5, 0.5)),
                late_click_share=float(rng.beta(1.2, 2.2)),
                drift_share=float(rng.uniform(0.03, 0.14)),
                drift_days=float(rng.uniform(45, 140)),
                drift_phase=float(rng.random()),
            )
        )
    return tuple(found)


def _draw_couriers(rng: np.random.Generator, streets: Streets, count: int) -> tuple[Courier, ...]:
    kinds = (Vehicle.BICYCLE, Vehicle.MOPED, Vehicle.CAR, Vehicle.FOOT)
    vehicles = rng.choice(len(kinds), size=count, p=(0.58, 0.16, 0.16, 0.10))
    homes = rng.choice(len(streets), size=count, p=_shares(streets.places + 0.05))
    return tuple(
        Courier(
            courier_id=f"sim-courier-{index + 1:03d}",
            vehicle=kinds[int(vehicles[index])],
            pace=float(rng.lognormal(0, 0.12)),
            home=int(homes[index]),
        )
        for index in range(count)
    )


def _shares(
    weights: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = np.asarray(weights, dtype=np.float64)
    return np.asarray(values / values.sum())
