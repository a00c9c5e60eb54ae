"""What a forecast has to beat: simple rules fitted on the past alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from foodex.eta.evaluation.rows import Rows

Floats = npt.NDArray[np.float64]

MIN_ORDERS: Final = 10
"""A store's hour, a store or an hour with fewer past orders is not trusted with its own median."""

NAMES: Final = ("median", "store_hour_median", "own_estimate", "own_estimate_unbiased")


@dataclass(frozen=True, slots=True)
class Baselines:
    """Rules learned from past orders; `forecast` says what each says of other orders."""

    overall: float
    tables: tuple[tuple[tuple[str, ...], pl.DataFrame], ...]
    own_bias: float | None

    def forecast(self, rows: Rows) -> dict[str, Floats]:
        """Minutes of each baseline that can say something, (n,), NaN where it cannot.

        - `median`: the median of the past.
        - `store_hour_median`: of the store at that local hour, else of the store, else of the
          hour, else of all.
        - `own_estimate`: what the company itself had said.
        - `own_estimate_unbiased`: that, less its median error in the past.
        """
        keys = pl.DataFrame({"store": rows.store, "hour": rows.hour})
        found: list[pl.Expr] = []
        for on, table in self.tables:
            name = f"by {on}"
            keys = keys.join(
                table.rename({"minutes": name}), on=on, how="left", maintain_order="left"
            )
            found.append(pl.col(name))
        by_store = keys.select(pl.coalesce(*found, pl.lit(self.overall))).to_series().to_numpy()
        said = {"median": np.full(len(rows), self.overall), "store_hour_median": by_store}
        own = rows.own_estimate
        if not np.isnan(own).all():
            said["own_estimate"] = own
            if self.own_bias is not None:
                said["own_estimate_unbiased"] = own - self.own_bias
        return said


def fit_baselines(past: Rows) -> Baselines:
    """Learn the baselines from `past`, which has at least one order."""
    frame = pl.DataFrame({"store": past.store, "hour": past.hour, "minutes": past.actual})
    tables = []
    for on in (("store", "hour"), ("store",), ("hour",)):
        table = (
            frame.drop_nulls(on)
            .group_by(on)
            .agg(pl.col("minutes").median(), pl.len().alias("orders"))
            .filter(pl.col("orders") >= MIN_ORDERS)
            .drop("orders")
        )
        tables.append((on, table))
    errors = past.own_estimate - past.actual
    errors = errors[~np.isnan(errors)]
    return Baselines(
        float(np.median(past.actual)),
        tuple(tables),
        float(np.median(errors)) if len(errors) else None,
    )
