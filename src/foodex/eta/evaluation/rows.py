"""The orders that are evaluated, and the past: what baselines and slices need of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.eta.columns import US_PER_MINUTE, columns_of_frame
from foodex.eta.features import Basics, basics

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """Delivered orders: their actual minutes, local clock and place, and their frame."""

    frame: pl.DataFrame
    actual: Floats
    basics: Basics

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def placed_us(self) -> Floats | None:
        """When each was placed, microseconds since 1970; None where the orders have no dates."""
        return self.basics.columns.get("placed_at")

    @property
    def delivered_us(self) -> Floats | None:
        """When each was delivered; its start and duration where the end was not recorded."""
        placed, given = self.placed_us, self.basics.columns.get("delivered_at")
        if placed is None:
            return given
        ends: Floats = placed + self.actual * US_PER_MINUTE
        return ends if given is None else np.where(np.isnan(given), ends, given)

    @property
    def own_estimate(self) -> Floats:
        """What the company itself had said, NaN where it said nothing."""
        return self.basics.get("own_estimate_minutes")

    @property
    def store(self) -> pl.Series:
        """Which store, by its number or else by its coordinates; null where unknown."""
        names = set(self.frame.columns)
        known = [pl.col("store_id").cast(pl.String)] if "store_id" in names else []
        if {"store_lat", "store_lon"} <= names:
            known.append(pl.concat_str(["store_lat", "store_lon"], separator=","))
        store = pl.coalesce(known or [pl.lit(None, pl.String)])
        # Not select(): one literal would make one row.
        return self.frame.with_columns(store=store).get_column("store")

    @property
    def hour(self) -> pl.Series:
        """The whole local hour, null where unknown."""
        return _whole("hour", np.floor(self.basics.hour) % 24)

    @property
    def weekday(self) -> pl.Series:
        """The local weekday, Monday is 0, null where unknown."""
        return _whole("weekday", self.basics.weekday)

    def only(self, chosen: Flags) -> "Rows":
        """The chosen orders."""
        columns = {name: values[chosen] for name, values in self.basics.columns.items()}
        some = Basics(
            int(chosen.sum()),
            columns,
            self.basics.hour[chosen],
            self.basics.weekday[chosen],
            self.basics.distance_km[chosen],
        )
        return Rows(self.frame.filter(chosen), self.actual[chosen], some)


def rows_of(frame: pl.DataFrame, time_zone: str) -> Rows:
    """The orders of a canonical frame; `time_zone` is the one their customers live by.

    Raises InvalidInput when an order has no delivery minutes.
    """
    columns = columns_of_frame(frame)
    actual = columns.get("delivery_minutes", np.full(frame.height, np.nan))
    missing = np.flatnonzero(~np.isfinite(actual))
    if len(missing):
        problem = FieldProblem("delivery_minutes", "is missing", int(missing[0]))
        raise InvalidInput("Only delivered orders can be evaluated", problems=[problem])
    return Rows(frame, actual, basics(columns, frame.height, time_zone))


def _whole(name: str, values: Floats) -> pl.Series:
    return pl.Series(name, values, nan_to_null=True).cast(pl.Int8)
