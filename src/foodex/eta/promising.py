"""The promises of many forecasts at once, equal to what the policy says of each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.forecasts import QUANTILES
from foodex.domain.promises import HAIR_MINUTES, PromisePolicy, quantile_at

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def promises_of(policy: PromisePolicy, quantiles_minutes: Floats) -> tuple[Integers, Integers]:
    """The promised and the earliest minutes, each (n,), of quantiles (n, q).

    Raises InvalidInput when they are not aligned with `QUANTILES`, or not all finite numbers.
    """
    shape = quantiles_minutes.shape
    if shape[1:] != (len(QUANTILES),) or not np.isfinite(quantiles_minutes).all():
        problem = FieldProblem("quantiles_minutes", f"are not {len(QUANTILES)} finite numbers")
        raise InvalidInput("Nothing can be promised", problems=[problem])
    # Arithmetic on a sequence of columns is that of a sequence of numbers, for all rows at once.
    columns: Sequence[Floats] = list(quantiles_minutes.T)
    step = policy.round_to_minutes
    wanted = quantile_at(columns, policy.quantile) + policy.buffer_minutes  # type: ignore[arg-type]
    late = np.ceil((wanted - HAIR_MINUTES) / step).astype(np.int64) * step
    minutes = np.clip(late, policy.floor_minutes, policy.ceiling_minutes)
    earliest = quantile_at(columns, policy.earliest_quantile)  # type: ignore[arg-type]
    early = np.floor((earliest + HAIR_MINUTES) / step).astype(np.int64) * step
    return minutes, np.maximum(np.minimum(early, minutes), 0)
