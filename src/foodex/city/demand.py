"""What customers order on one day: drawn at once, with all the luck each order will have.

Chance is dealt when the day is drawn and never while it runs, so how the day unfolds (and in how
many steps it is watched) cannot change what anybody is dealt.
"""

import math
from datetime import date, timedelta
from itertools import repeat
from typing import Final

import numpy as np

from foodex.city.plan import Plan
from foodex.city.rhythm import (
    CLOSES_HOUR,
    OPENS_HOUR,
    SLOT_MINUTES,
    WEEKDAY_DEMAND,
    demand_curve,
)
from foodex.city.state import Order
from foodex.city.travel import Ways
from foodex.city.weather import Weather

_EPOCH = date(1970, 1, 1)
_STREAM = 37
REACH_KM: Final = 2.0
"""Customers favour what is near: the chance falls by e with each such distance."""


class Demand:
    """Draws the orders of any day under the plan's seed."""

    def __init__(self, plan: Plan, ways: Ways, weather: Weather) -> None:
        self._plan, self._weather = plan, weather
        homes = plan.streets.homes
        self._nodes = np.flatnonzero(homes > 0)
        near = np.exp(-np.array(ways.kilometres)[:, self._nodes] / REACH_KM)
        self._reach = np.cumsum(near * homes[self._nodes], axis=1)
        rng = np.random.default_rng([plan.seed, _STREAM, 0])
        # Some doors are up six flights: the same door is as slow every time.
        self._door_seconds = 75 + rng.gamma(1.8, 50.0, len(plan.streets))
        self._phase = float(rng.random())

    def day(self, day: int, weekday: int, midnight: float) -> list[Order]:
        """The orders of the local day that starts at `midnight`, by time.

        `day` numbers the day from the epoch; `midnight` is in seconds of the epoch and such that
        adding local hours to it gives an instant within opening hours.
        """
        plan, rng = self._plan, np.random.default_rng([self._plan.seed, _STREAM, 1, day % 2**32])
        local_hours = self._arrivals(rng, day, weekday, midnight)
        # Numbered by the day, so that a city started later gives an order the same number.
        stamp = f"{_EPOCH + timedelta(days=day):%Y%m%d}"
        count = len(local_hours)
        stores = self._choose_stores(rng, local_hours)
        styles = [plan.stores[index].style for index in stores]
        further = rng.poisson(rng.gamma(1.6, [(style.items - 1) / 1.6 for style in styles]))
        items = np.minimum(1 + further, 40)
        distinct = 1 + rng.binomial(items - 1, 0.75)
        prices = np.array([style.price_minor for style in styles])
        subtotal = (items * prices * rng.lognormal(-0.03, 0.22, count) / 10).round() * 10 - 5
        nodes = self._choose_nodes(rng, stores)
        streets = plan.streets
        # A door is some 15 m from its crossing.
        lat = streets.lat[nodes] + rng.normal(0, 1.3e-4, count)
        lon = streets.lon[nodes] + rng.normal(0, 2.7e-4, count)
        accept = np.array([plan.stores[index].accept_minutes for index in stores]) * 60
        react = rng.gamma(2.0, 22.0, count) + (rng.random(count) < 0.07) * rng.uniform(
            90, 260, count
        )
        door = self._door_seconds[nodes] * rng.lognormal(0, 0.38, count)
        # Now and then nobody answers.
        door += (rng.random(count) < 0.025) * rng.uniform(180, 700, count)
        columns = zip(
            [f"sim-{stamp}-{number:05d}" for number in range(1, count + 1)],
            stores.tolist(),
            nodes.tolist(),
            lat.round(6).tolist(),
            lon.round(6).tolist(),
            (midnight + local_hours * 3600).round().tolist(),
            local_hours.tolist(),
            repeat(weekday, count),
            items.tolist(),
            distinct.tolist(),
            subtotal.astype(int).tolist(),
            map(_order_type, [style.name for style in styles], items.tolist()),
            (accept * rng.lognormal(-0.1, 0.5, count)).tolist(),
            rng.lognormal(0, 0.30, count).tolist(),
            rng.gamma(2.0, 30.0, count).tolist(),
            rng.random(count).tolist(),
            react.tolist(),
            rng.lognormal(0.02, 0.20, count).tolist(),
            rng.gamma(3.0, 28.0, count).tolist(),
            door.tolist(),
            strict=True,
        )
        # One column per field of `Order`, in its order.
        return [Order(*column) for column in columns]

    def _arrivals(
        self, rng: np.random.Generator, day: int, weekday: int, midnight: float
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        plan = self._plan
        drift = 1 + 0.08 * math.sin(2 * math.pi * (day / 97 + self._phase))
        mean = plan.orders_per_day * WEEKDAY_DEMAND[weekday] * drift * rng.lognormal(0, 0.07)
        curve = demand_curve(weekday) * mean
        for slot in range(len(curve)):
            hour = OPENS_HOUR + slot * SLOT_MINUTES / 60
            sky = self._weather.at(midnight + hour * 3600)
            # Rain and frost keep people at home, hungry.
            curve[slot] *= 1 + 0.10 * min(sky.precipitation_mm, 3.0)
            curve[slot] *= 1 + 0.01 * min(max(0.0, 4.0 - sky.temperature_c), 15.0)
        counts = rng.poisson(curve)
        slots = np.repeat(np.arange(len(curve)), counts)
        hours = OPENS_HOUR + (slots + rng.random(len(slots))) * SLOT_MINUTES / 60
        # Whole seconds, as a database would have them.
        return np.asarray(np.sort(np.minimum(hours, CLOSES_HOUR) * 3600).round() / 3600)

    def _choose_stores(
        self,
        rng: np.random.Generator,
        local_hours: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        popularity = np.array([store.popularity for store in self._plan.stores])
        lunch = np.array([store.style.lunch for store in self._plan.stores]) * popularity
        dinner = np.array([store.style.dinner for store in self._plan.stores]) * popularity
        luck = rng.random(len(local_hours))
        at_lunch = np.searchsorted(np.cumsum(lunch) / lunch.sum(), luck)
        at_dinner = np.searchsorted(np.cumsum(dinner) / dinner.sum(), luck)
        last = len(popularity) - 1
        return np.minimum(np.where(local_hours < 15, at_lunch, at_dinner), last)

    def _choose_nodes(
        self, rng: np.random.Generator, stores: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        reach = self._reach
        wanted = rng.random(len(stores)) * reach[stores, -1]
        found = [
            int(np.searchsorted(reach[store], weight))
            for store, weight in zip(stores.tolist(), wanted.tolist(), strict=True)
        ]
        return self._nodes[np.minimum(np.array(found, dtype=np.int64), len(self._nodes) - 1)]


def _order_type(style: str, items: int) -> str:
    if style == "grocery":
        return "shop"
    if items >= 7:
        return "group"
    return "snack" if style == "cafe" else "meal"
