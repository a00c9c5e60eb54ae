"""What a forecast was made from, besides its model and its row: written and read."""

from dataclasses import asdict
from typing import Final

import msgspec
import numpy as np

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.forecasts import Forecast, Source
from foodex.domain.promises import PromisePolicy
from foodex.eta.batching import Batch
from foodex.eta.columns import Floats
from foodex.eta.ladder import Ladder

FORMAT: Final = 1
_MOST_KEPT: Final = 200

UNTAUGHT: Final = Ladder(
    constant=np.array([15.0, 18.0, 25.0, 35.0, 45.0, 60.0, 75.0]),
    distance=(25.0, 3.0),
    distance_misses=np.array([-17.0, -14.0, -8.0, 0.0, 10.0, 22.0, 35.0]),
)
"""What is said before anything was learned: the usual span of meals delivered in cities, half an
hour or so and three minutes a kilometre, wide enough to be honest. The first training ends it."""


class Grounds(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ladder answered from."""

    hour: float | None = None
    store: str | None = None
    distance_km: float | None = None
    drift_minutes: float = 0.0


class Inputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes into a forecast besides its row: all that changes from moment to moment.

    `shift` is what the newest misses moved the quantiles by. With `grounds` the ladder answered,
    with `untaught` the one there is before any training. A policy is written with all its parts,
    since settings change.
    """

    format: int
    policy: msgspec.Raw
    shift: tuple[float, ...] | msgspec.Raw = ()
    missing: tuple[str, ...] = ()
    ages_seconds: dict[str, float] = {}
    explain: bool = False
    grounds: Grounds | None = None
    untaught: bool = False


class Read(Inputs, frozen=True, omit_defaults=True):
    """Inputs as they are read."""

    shift: tuple[float, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Read).decode
_read_policy: Final = msgspec.json.Decoder(PromisePolicy).decode


class Written:
    """Writes inputs, with the parts that many share written once."""

    def __init__(self) -> None:
        self._policies: dict[PromisePolicy, msgspec.Raw] = {}
        self._shifts: dict[int, tuple[Floats, msgspec.Raw]] = {}

    def _policy(self, policy: PromisePolicy) -> msgspec.Raw:
        found = self._policies.get(policy)
        if found is None:
            if len(self._policies) > _MOST_KEPT:
                self._policies.clear()
            found = self._policies[policy] = msgspec.Raw(_encode(asdict(policy)))
        return found

    def inputs(
        self, batch: Batch, row: int, source: Source, policy: PromisePolicy, *, explain: bool
    ) -> bytes:
        """The inputs of one order of a batch."""
        grounds = None
        if source is not Source.MODEL:
            grounds = Grounds(
                batch.hours[row],
                batch.stores[row],
                batch.distances_km[row],
                batch.drift_minutes[row],
            )
        return _encode(
            Inputs(
                FORMAT,
                self._policy(policy),
                self._shift_of(batch.shifts[row]),
                batch.missing[row],
                batch.ages_seconds[row],
                explain,
                grounds,
            )
        )

    def untaught(self, distance_km: float | None, policy: PromisePolicy) -> bytes:
        """The inputs of an answer that no model was there for."""
        grounds = Grounds(distance_km=distance_km)
        return _encode(Inputs(FORMAT, self._policy(policy), grounds=grounds, untaught=True))

    def _shift_of(self, shift: Floats) -> msgspec.Raw:
        # Orders placed between two recomputations share one array.
        found = self._shifts.get(id(shift))
        if found is None:
            if len(self._shifts) > _MOST_KEPT:
                self._shifts.clear()
            # Kept with its array, so that no other takes its id.
            found = self._shifts[id(shift)] = (shift, msgspec.Raw(_encode(shift.tolist())))
        return found[1]


def untaught(
    distance_km: float | None,
    policy: PromisePolicy,
    model: str | None = None,
    version: int | None = None,
) -> Forecast:
    """The answer where there is no model to ask."""
    source, quantiles = UNTAUGHT.quantiles(None, None, distance_km)
    told = tuple(quantiles.tolist())
    return Forecast(
        quantiles_minutes=told,
        source=source,
        degraded=True,
        model=model,
        version=version,
        promise=policy.promise(told),
    )


def read(inputs: bytes) -> tuple[Read, PromisePolicy]:
    """Inputs and the policy among them; `InvalidInput` for what is none."""
    try:
        found = _decode(inputs)
        policy = _read_policy(found.policy)
    except (msgspec.DecodeError, InvalidInput) as error:
        raise unfit("inputs", f"cannot be read: {error}") from None
    if found.format != FORMAT:
        raise unfit("inputs", f"are of format {found.format}, not {FORMAT}")
    return found, policy


def unfit(field: str, message: str) -> InvalidInput:
    """The error of a record that cannot be used."""
    problems = [FieldProblem(field, message)]
    return InvalidInput("The record cannot be reproduced", problems=problems)
