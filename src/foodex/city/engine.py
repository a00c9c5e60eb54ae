"""The simulated city as an event engine: it can be stepped in real time or run through weeks.

    placed -> accepted -> (kitchen: queue, cook, pack) -> ready ─┐
                      └-> (dispatch: courier found) -> arrived ──┴-> picked up -> delivered

Preparation and the courier's first mile run beside each other; whichever is later decides. Every
order's luck was dealt when its day was drawn, so the same seed gives the same city whatever the
steps it is watched in.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from foodex.city import rhythm
from foodex.city.demand import Demand
from foodex.city.plan import Plan, Shift
from foodex.city.state import Order, Rider, Stage
from foodex.city.travel import PARKING_SECONDS, find_ways, hop_minutes, slowdown
from foodex.city.weather import Weather

CITY_ZONE: Final = ZoneInfo("Europe/Helsinki")
LEAD_SECONDS: Final = 4.5 * 60
"""A courier is sought this long before the food is expected to be ready."""
CALM_SECONDS: Final = 8 * 60
HURRY_SECONDS: Final = 25 * 60
"""A kitchen further behind than calm cooks in bulk: this much further, each order takes half."""
OVERTIME_SECONDS: Final = 30 * 60
BATCH_WITHIN_SECONDS: Final = 6 * 60
"""One trip takes two orders of a store when ready and doors are expected this near together."""
BATCH_HOP_MINUTES: Final = 3.0
_STREAM = 41


class Engine:
    """Runs the city from local midnight of `first_day`; `days` of it have orders (None: all)."""

    def __init__(self, plan: Plan, first_day: date, days: int | None = None) -> None:
        self.plan = plan
        self.ways = find_ways(plan.streets, [store.node for store in plan.stores])
        self.weather = Weather(plan.seed)
        self.riders = [
            Rider(courier, index, courier.home) for index, courier in enumerate(plan.couriers)
        ]
        self.delivered: list[Order] = []
        """Orders since this list was last taken away, in order of delivery."""
        self.log: list[tuple[float, Stage, Order]] | None = None
        """Where happenings are told, when somebody wants to know."""
        self.orders_open = 0
        self.couriers_on_shift = 0
        self.couriers_busy = 0
        # Each store's cooks as (free at, cook): a heap per kitchen.
        self._kitchens = [[(0.0, cook) for cook in range(store.cooks)] for store in plan.stores]
        self._demand = Demand(plan, self.ways, self.weather)
        self._waiting: deque[Order] = deque()
        self._idle: dict[int, Rider] = {}
        # By store, a courier on the way there who could take one more order along.
        self._bound: dict[int, Rider] = {}
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._sequence = 0
        self._days_left = days
        self.now = _midnight(first_day)
        self._at(self.now, self._new_day, first_day)

    def run(self, until: float | None = None) -> None:
        """Let everything happen that is due before `until`, or all there is."""
        events = self._events
        while events and (until is None or events[0][0] < until):
            self.now, _, act, subject = heapq.heappop(events)
            act(subject)
        if until is not None:
            self.now = max(self.now, until)

    def _at(self, when: float, act: Callable[[Any], None], subject: Any) -> None:
        # The sequence keeps what falls on one instant in the order in which it was caused.
        self._sequence += 1
        heapq.heappush(self._events, (when, self._sequence, act, subject))

    def _tell(self, stage: Stage, order: Order) -> None:
        if self.log is not None:
            self.log.append((self.now, stage, order))

    # a day

    def _new_day(self, day: date) -> None:
        if self._days_left is not None:
            if self._days_left == 0:
                return
            self._days_left -= 1
        number, weekday = day.toordinal() - _EPOCH_ORDINAL, day.weekday()
        # Clocks change at night: one offset holds for all opening hours.
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=CITY_ZONE)
        self._midnight = noon.timestamp() - 12 * 3600
        self._weekday = weekday
        rng = np.random.default_rng([self.plan.seed, _STREAM, number % 2**32])
        self._mood = float(rng.lognormal(0, 0.15))
        for order in self._demand.day(number, weekday, self._midnight):
            self._at(order.placed, self._place, order)
        for shift in self.plan.shifts(number, weekday):
            self._at(self._midnight + shift.starts_hour * 3600, self._start_shift, shift)
        tomorrow = day + timedelta(days=1)
        self._at(_midnight(tomorrow), self._new_day, tomorrow)

    def _local_hour(self) -> float:
        return (self.now - self._midnight) / 3600 % 24

    def traffic(self) -> float:
        """Free-flow time over current time, now."""
        rain = self.weather.at(self.now).precipitation_mm
        return rhythm.traffic_ratio(self._local_hour(), self._weekday, rain, self._mood)

    # an order

    def _place(self, order: Order) -> None:
        order.sky = self.weather.at(self.now)
        order.traffic_ratio = self.traffic()
        order.couriers_on_shift = self.couriers_on_shift
        order.couriers_busy = self.couriers_busy
        order.orders_open = self.orders_open
        order.own_estimate_minutes = self._own_estimate(order)
        self.orders_open += 1
        self._tell(Stage.PLACED, order)
        self._at(self.now + order.accept_seconds, self._accept, order)

    def _own_estimate(self, order: Order) -> float:
        # A rule of thumb as companies have them: it knows the kind of kitchen, the way, the basket
        # and the clock, and nothing of this store, today's weather or the queue.
        minutes = 15.0 + 0.8 * self.plan.stores[order.store].style.cook_minutes
        minutes += 6.0 * self.ways.kilometres[order.store][order.node]
        minutes += 0.8 * min(order.items, 8)
        if 17 <= order.local_hour < 20 or (order.weekday < 5 and 11 <= order.local_hour < 13):
            minutes += 5.0
        return float(5 * round(minutes / 5))

    def _accept(self, order: Order) -> None:
        store, free_at = self.plan.stores[order.store], self._kitchens[order.store]
        order.accepted = self.now
        self._tell(Stage.ACCEPTED, order)
        free, order.cook = heapq.heappop(free_at)
        order.cook_starts = max(self.now, free)
        style = store.style
        cook = style.cook_minutes * store.pace_at(self.now)
        cook += style.minutes_per_further_item * (order.items - 1)
        cook *= 60 * (1 + store.crowd * rhythm.dine_in(self._local_hour(), self._weekday))
        cook *= _hurry(order.cook_starts - self.now)
        order.cooked = order.cook_starts + cook * order.cook_luck
        heapq.heappush(free_at, (order.cooked, order.cook))
        order.ready = order.cooked + order.pack_seconds
        # The kitchen's screen foresees its queue and the usual time, not the luck.
        order.expected = order.cook_starts + cook + 60
        self._at(max(self.now, order.expected - LEAD_SECONDS), self._dispatch, order)
        # Hands are quicker than the truth now and then, and slower in kitchens used to it.
        early = order.click_luck > 0.95
        click = order.ready - 0.2 * (order.ready - order.cook_starts) * early
        if early or order.click_luck >= store.late_click_share * 0.95:
            self._at(click, self._click, order)

    def _click(self, order: Order) -> None:
        if math.isnan(order.clicked):
            order.clicked = self.now
            self._tell(Stage.READY, order)

    def _dispatch(self, order: Order) -> None:
        bound = self._bound.get(order.store)
        if bound is not None and self._fits(bound, bound.trip[0], order):
            del self._bound[order.store]
            bound.trip = (bound.trip[0], order)
            order.assigned, order.courier = self.now, bound.index
            for each in bound.trip:
                each.companions = 1
            self._tell(Stage.ASSIGNED, order)
            return
        best, best_minutes = None, float("inf")
        for rider in self._idle.values():
            inbound = self.ways.inbound[rider.courier.vehicle][order.store]
            minutes = inbound[rider.node] * rider.courier.pace
            if minutes < best_minutes:
                best, best_minutes = rider, minutes
        if best is None:
            self._waiting.append(order)
        else:
            del self._idle[best.index]
            self._send(best, (order,))

    def _send(self, rider: Rider, trip: tuple[Order, ...]) -> None:
        self.couriers_busy += 1
        first = trip[0]
        rider.trip = trip
        if len(trip) == 1:
            self._bound[first.store] = rider
        for order in trip:
            order.assigned, order.courier, order.companions = self.now, rider.index, len(trip) - 1
            self._tell(Stage.ASSIGNED, order)
        minutes = self.ways.inbound[rider.courier.vehicle][first.store][rider.node]
        seconds = first.react_seconds + self._ride_seconds(rider, minutes) + 20
        at_store = self.plan.stores[first.store].node
        self._leg(rider, at_store, self.now + first.react_seconds, self.now + seconds)
        self._at(self.now + seconds, self._arrive, rider)

    def _arrive(self, rider: Rider) -> None:
        store = rider.trip[0].store
        if self._bound.get(store) is rider:
            del self._bound[store]
        ready = max(order.ready for order in rider.trip)
        handover = max(order.handover_seconds for order in rider.trip)
        for order in rider.trip:
            if order.ready <= self.now:
                self._click(order)
        self._at(max(self.now, ready) + handover, self._pick_up, rider)

    def _pick_up(self, rider: Rider) -> None:
        for order in rider.trip:
            self._click(order)
            order.picked_up = self.now
            self._tell(Stage.PICKED_UP, order)
        first = rider.trip[0]
        minutes = self.ways.outbound[rider.courier.vehicle][first.store][first.node]
        self._ride_to_door(rider, first, minutes)

    def _ride_to_door(self, rider: Rider, order: Order, minutes: float) -> None:
        seconds = self._ride_seconds(rider, minutes) * order.ride_luck
        # Whoever drives has to leave the vehicle somewhere.
        seconds += PARKING_SECONDS[rider.courier.vehicle]
        self._leg(rider, order.node, self.now, self.now + seconds)
        self._at(self.now + seconds + order.door_seconds, self._deliver, rider)

    def _deliver(self, rider: Rider) -> None:
        order, *others = rider.trip
        order.delivered = self.now
        self.orders_open -= 1
        self.delivered.append(order)
        self._tell(Stage.DELIVERED, order)
        rider.trip = tuple(others)
        if others:
            minutes = hop_minutes(rider.courier.vehicle, order, others[0])
            self._ride_to_door(rider, others[0], minutes)
        else:
            self.couriers_busy -= 1
            self._free(rider)

    # couriers

    def _start_shift(self, shift: Shift) -> None:
        rider = self.riders[shift.courier]
        ends = self._midnight + shift.ends_hour * 3600
        rider.works_until = max(rider.works_until, ends)
        if not rider.at_work:
            rider.at_work, rider.node = True, rider.courier.home
            self.couriers_on_shift += 1
            self._free(rider)
        self._at(ends, self._end_shift, rider)

    def _end_shift(self, rider: Rider) -> None:
        if rider.index in self._idle and self.now >= rider.works_until:
            del self._idle[rider.index]
            self._free(rider)

    def _free(self, rider: Rider) -> None:
        past_end = self.now - rider.works_until
        # Whoever is alone stays until everybody has eaten.
        last = self.orders_open > 0 and self.couriers_on_shift == 1
        if self._waiting and (past_end < OVERTIME_SECONDS or last):
            self._send_waiting(rider)
        elif past_end >= 0 and not last:
            rider.at_work = False
            self.couriers_on_shift -= 1
        else:
            self._leg(rider, rider.node, self.now, self.now)
            self._idle[rider.index] = rider
            if past_end >= 0:
                self._at(self.now + 600, self._end_shift, rider)

    def _send_waiting(self, rider: Rider) -> None:
        first = self._waiting.popleft()
        trip = [first]
        for other in self._waiting:
            if other.store == first.store and self._fits(rider, first, other):
                self._waiting.remove(other)
                trip.append(other)
                break
        self._send(rider, tuple(trip))

    def _fits(self, rider: Rider, first: Order, other: Order) -> bool:
        return (
            abs(other.expected - first.expected) < BATCH_WITHIN_SECONDS
            and hop_minutes(rider.courier.vehicle, first, other) < BATCH_HOP_MINUTES
        )

    def _ride_seconds(self, rider: Rider, free_minutes: float) -> float:
        vehicle = rider.courier.vehicle
        sky = self.weather.at(self.now)
        return free_minutes * 60 * rider.courier.pace * slowdown(vehicle, sky, self.traffic())

    def _leg(self, rider: Rider, node: int, starts: float, ends: float) -> None:
        rider.leg_from, rider.leg_starts, rider.leg_ends = rider.node, starts, ends
        rider.node = node


_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def _hurry(behind_seconds: float) -> float:
    return 1 / (1 + max(0.0, behind_seconds - CALM_SECONDS) / HURRY_SECONDS)


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=CITY_ZONE).astimezone(UTC).timestamp()
