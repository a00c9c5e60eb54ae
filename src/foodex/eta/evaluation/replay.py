"""Past orders with another promise policy: what would have been promised, and what was kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from foodex.domain.promises import PromisePolicy
from foodex.eta.evaluation.bootstrap import Interval, intervals_of_means
from foodex.eta.evaluation.rows import Rows
from foodex.eta.promising import promises_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How the promises of some orders were kept.

    Lateness is 0 for an order on time; `late_half_minutes` is how late half of the late ones were
    at least, None where none was.
    """

    orders: int
    promised_minutes: float
    on_time_share: float
    late_10_share: float
    late_p50_minutes: float
    late_p90_minutes: float
    late_half_minutes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The same orders under the policy in force and under another.

    `hours` are by the local hour of placing, each the present and the changed. `intervals` are
    95 % intervals of `on_time_gain` and `promised_more_minutes`, where there are days enough.
    """

    present: Kept
    changed: Kept
    differing_share: float
    hours: Mapping[int, tuple[Kept, Kept]]
    intervals: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "present": asdict(self.present),
            "changed": asdict(self.changed),
            "differing_share": self.differing_share,
            "hours": {
                f"{hour:02}": {"present": asdict(present), "changed": asdict(changed)}
                for hour, (present, changed) in self.hours.items()
            },
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }


def promised_by_city(
    rows: Rows, quantiles: Floats, policy: PromisePolicy, zones: Mapping[str, PromisePolicy]
) -> Floats:
    """The promised minutes of each order, (n,): by its city's policy, or else by `policy`."""
    promised = promises_of(policy, quantiles)[0].astype(np.float64)
    if zones and "city" in rows.frame.columns:
        cities = rows.frame["city"].cast(pl.String)
        for city, own in zones.items():
            there = (cities == city).fill_null(False).to_numpy()
            promised[there] = promises_of(own, quantiles[there])[0]
    return promised


def replay_of(
    rows: Rows, present: Floats, changed: Floats, blocks: Integers, *, seed: int = 0
) -> Replay:
    """Both sets of promises, (n,), held against what happened."""
    actual, hours = rows.actual, rows.hour
    which = hours.fill_null(-1).to_numpy()
    gain = (actual <= changed).astype(np.float64) - (actual <= present)
    return Replay(
        present=kept(actual, present),
        changed=kept(actual, changed),
        differing_share=float(np.mean(present != changed)),
        hours={
            int(hour): (
                kept(actual[which == hour], present[which == hour]),
                kept(actual[which == hour], changed[which == hour]),
            )
            for hour in np.unique(which)
            if hour >= 0
        },
        intervals=intervals_of_means(
            {"on_time_gain": gain, "promised_more_minutes": changed - present}, blocks, seed=seed
        ),
    )


def kept(actual: Floats, promised: Floats) -> Kept:
    """How promises (n,) of at least one order were kept."""
    late = np.maximum(actual - promised, 0)
    half, nine = np.quantile(late, [0.5, 0.9])
    some = late[late > 0]
    return Kept(
        orders=len(actual),
        promised_minutes=float(promised.mean()),
        on_time_share=float(np.mean(late == 0)),
        late_10_share=float(np.mean(late > 10)),
        late_p50_minutes=float(half),
        late_p90_minutes=float(nine),
        late_half_minutes=float(np.median(some)) if len(some) else None,
    )
