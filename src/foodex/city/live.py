"""The simulated city as it goes on: step it with the clock and hear what happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from foodex.city.engine import Engine
from foodex.city.history import check, local_day
from foodex.city.plan import Store, draw_plan
from foodex.city.records import SCHEMA, facts_of
from foodex.city.state import Order, Rider, Stage
from foodex.city.streets import Streets, Vehicle, load_streets
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.deliveries import FIELD

_LEARNED: Final[Mapping[Stage, tuple[str, ...]]] = {
    # Who will carry it, and with what else, is not known yet when an order is placed.
    Stage.PLACED: tuple(
        name
        for name in SCHEMA
        if FIELD[name].known_at_order and name not in ("vehicle", "batched_orders")
    ),
    Stage.ACCEPTED: ("order_id", "accepted_at"),
    Stage.READY: ("order_id", "ready_at"),
    Stage.ASSIGNED: ("order_id", "courier_id", "vehicle", "batched_orders"),
    Stage.PICKED_UP: ("order_id", "picked_up_at"),
    Stage.DELIVERED: ("order_id", "delivered_at", "delivery_minutes"),
}
_LONGEST_STEP: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened: `facts` are the canonical fields that became known by it."""

    at: datetime
    stage: Stage
    order_id: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a courier at work is now. `orders` are the ids of what is carried or fetched."""

    courier_id: str
    vehicle: Vehicle
    lat: float
    lon: float
    orders: tuple[str, ...]


class City:
    """A simulated city that runs on from `start` for as long as it is stepped.

    It comes to life at local midnight before `start` (zone-aware), so that at `start` kitchens and
    couriers are as busy as the hour has them. What happens depends on the seed and the other
    arguments alone, not on how it is stepped; a history of the same seed from the same day tells of
    the same orders. Raises `InvalidInput` for arguments that make no city.
    """

    def __init__(
        self,
        *,
        seed: int,
        start: datetime,
        orders_per_day: float = 1250,
        stores: int = 90,
        streets: Streets | None = None,
    ) -> None:
        problems = check(seed=seed, start=start, orders_per_day=orders_per_day, stores=stores)
        if problems:
            raise InvalidInput("No city can be simulated from this", problems=problems)
        plan = draw_plan(
            seed, streets or load_streets(), orders_per_day=orders_per_day, stores=stores
        )
        self._engine = Engine(plan, local_day(start))
        self._engine.run(start.timestamp())
        self._engine.delivered.clear()
        self._engine.log = []
        self._facts = facts_of(self._engine)

    @property
    def now(self) -> datetime:
        """The instant up to which everything has happened, in UTC."""
        return _instant(self._engine.now)

    @property
    def stores(self) -> tuple[Store, ...]:
        """The city's stores."""
        return self._engine.plan.stores

    @property
    def attribution(self) -> str:
        """Whom to name where the city is shown."""
        return self._engine.plan.streets.attribution

    def step(self, until: datetime) -> list[Happening]:
        """Let time pass to `until` (zone-aware, at most a day on) and tell what happened, by time.

        Raises `InvalidInput` for a time that is naive, past, or further than a day away.
        """
        problem = None
        if until.utcoffset() is None:
            problem = "has no time zone"
        elif until < self.now:
            problem = f"is before {self.now.isoformat()}, and time does not run back"
        elif until - self.now > _LONGEST_STEP:
            problem = "is more than a day ahead; take smaller steps"
        if problem:
            raise InvalidInput(
                "The city cannot step there", problems=[FieldProblem("until", problem)]
            )
        told: list[tuple[float, Stage, Order]] = []
        self._engine.log = told
        self._engine.run(until.timestamp())
        self._engine.delivered.clear()
        return [self._happening(*one) for one in told]

    def couriers(self) -> list[Position]:
        """Every courier at work, on the straight line of the way being ridden."""
        return [self._position(rider) for rider in self._engine.riders if rider.at_work]

    def _happening(self, seconds: float, stage: Stage, order: Order) -> Happening:
        facts = {name: self._facts[name](order) for name in _LEARNED[stage]}
        for name, value in facts.items():
            if name.endswith("_at"):
                facts[name] = _instant(value)
        return Happening(_instant(seconds), stage, order.order_id, facts)

    def _position(self, rider: Rider) -> Position:
        streets, engine = self._engine.plan.streets, self._engine
        share = 1.0
        if rider.leg_ends > rider.leg_starts:
            share = (engine.now - rider.leg_starts) / (rider.leg_ends - rider.leg_starts)
        share = min(1.0, max(0.0, share))
        start = rider.leg_from if rider.leg_from >= 0 else rider.node
        lat = streets.lat[start] * (1 - share) + streets.lat[rider.node] * share
        lon = streets.lon[start] * (1 - share) + streets.lon[rider.node] * share
        return Position(
            courier_id=rider.courier.courier_id,
            vehicle=rider.courier.vehicle,
            lat=round(float(lat), 6),
            lon=round(float(lon), 6),
            orders=tuple(order.order_id for order in rider.trip),
        )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
