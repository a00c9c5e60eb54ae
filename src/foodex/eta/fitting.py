"""What passes between a training and its algorithm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foodex.eta.columns import Floats
from foodex.eta.linear import BentRule
from foodex.eta.links import Link

Progress = Callable[[float, str], None]
"""Told the share done, 0 to 1, and what is being done; may raise to stop."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be fitted: `fit` are the rows (by number) to learn, `tail` those to choose by.

    `weeks` is how often each weekday has been seen; infinite where orders have no dates.
    """

    rows: Floats
    minutes: Floats
    names: tuple[str, ...]
    factors: tuple[str, ...]
    fit: Rows
    tail: Rows
    seed: int
    threads: int
    parameters: Mapping[str, Any]
    weeks: float


class Fitted(Protocol):
    """What an algorithm made."""

    @property
    def offset(self) -> BentRule | None:
        """A part of the place that is added outside the graph."""
        ...

    @property
    def link(self) -> Link:
        """The scale on which place and scale are told."""
        ...

    @property
    def trees(self) -> int:
        """Trees in all."""
        ...

    def predict(self, rows: Floats) -> Floats:
        """Raw outputs (n, 2): place (without the offset) and scale, as the graph gives them."""
        ...

    def importance(self) -> Floats:
        """How much each column of the matrix is used; any unit, not negative."""
        ...

    def refit(self, progress: Progress) -> "Fitted":
        """The same, fitted on all rows, with what was learned of how long to learn."""
        ...

    def to_onnx(self) -> bytes:
        """The graph of `predict`."""
        ...
