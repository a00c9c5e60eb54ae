"""The scale on which minutes are modelled: as they are, or as their logarithm."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np

from foodex.eta.columns import Floats


class Shape(StrEnum):
    """How minutes are bent before they are modelled."""

    MINUTES = "minutes"
    """Effects add minutes."""
    LOGARITHM = "logarithm"
    """Effects multiply; log(1 + minutes)."""


@dataclass(frozen=True, slots=True)
class Link:
    """From minutes to what is modelled and back; `unit` makes usual misses about one."""

    shape: Shape = Shape.MINUTES
    unit: float = 1.0

    def forward(self, minutes: Floats) -> Floats:
        """What is modelled of these minutes."""
        if self.shape is Shape.LOGARITHM:
            return np.asarray(np.log1p(minutes) / self.unit)
        return minutes / self.unit

    def inverse(self, values: Floats) -> Floats:
        """The minutes, never below zero, of what is modelled."""
        scaled = values * self.unit
        if self.shape is Shape.LOGARITHM:
            # Ten days are beyond any delivery, and far from overflow.
            scaled = np.expm1(np.minimum(scaled, 9.6))
        return np.asarray(np.maximum(scaled, 0.0))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"shape": self.shape.value, "unit": self.unit}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""
        return cls(Shape(value["shape"]), float(value["unit"]))
