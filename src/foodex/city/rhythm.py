"""When people order and when streets are full: curves over the local hour and the weekday."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

OPENS_HOUR: Final = 10.0
CLOSES_HOUR: Final = 22.75
"""Local hours between which customers can order."""
SLOT_MINUTES: Final = 5
SLOTS: Final = round((CLOSES_HOUR - OPENS_HOUR) * 60 / SLOT_MINUTES)
WEEKDAY_DEMAND: Final = (0.84, 0.86, 0.91, 0.97, 1.18, 1.20, 1.04)
"""Monday to Sunday, mean 1."""


def demand_curve(weekday: int) -> npt.NDArray[np.float64]:
    """The share of a day's orders in each slot of five minutes from opening to closing; sums to 1.

    Working days have a sharp lunch and a broad dinner; at the weekend lunch is late and flat.
    """
    hours = OPENS_HOUR + (np.arange(SLOTS) + 0.5) * SLOT_MINUTES / 60
    if weekday < 5:
        curve = 0.18 + 0.95 * _bell(hours, 11.8, 0.75) + 1.25 * _bell(hours, 18.1, 1.45)
    else:
        curve = 0.26 + 0.60 * _bell(hours, 13.3, 1.5) + 1.25 * _bell(hours, 18.4, 1.7)
    # Kitchens wake up and wind down.
    curve *= np.clip((hours - OPENS_HOUR) / 0.8, 0.25, 1) * np.clip(CLOSES_HOUR - hours, 0.3, 1)
    return np.asarray(curve / curve.sum())


def dine_in(hour: float, weekday: int) -> float:
    """How full the tables are, 0 to 1: guests that no delivery record knows of slow the kitchen."""
    lunch = 0.7 * _hump(hour, 12.0, 0.8) if weekday < 5 else 0.35 * _hump(hour, 13.5, 1.3)
    dinner = (1.0 if weekday in (4, 5) else 0.65) * _hump(hour, 19.0, 1.4)
    return min(1.0, lunch + dinner)


def traffic_ratio(hour: float, weekday: int, rain_mm: float, mood: float) -> float:
    """Free-flow time over current time, 0 to 1; `mood` is the day's own share of congestion."""
    if weekday < 5:
        jam = 0.16 + 0.22 * _hump(hour, 8.2, 0.9) + 0.30 * _hump(hour, 16.4, 1.3)
    else:
        jam = 0.10 + 0.14 * _hump(hour, 14.5, 2.2)
    jam *= _day_share(hour) * (1 + 0.18 * min(rain_mm, 3.0)) * mood
    return round(1.0 - min(jam, 0.7), 3)


def traffic_level(ratio: float) -> str:
    """The same in a word."""
    return "low" if ratio >= 0.85 else "medium" if ratio >= 0.68 else "high"


def _day_share(hour: float) -> float:
    return 1.0 if 7 <= hour <= 20 else 0.45


def _hump(hour: float, middle: float, width: float) -> float:
    return math.exp(-0.5 * ((hour - middle) / width) ** 2)


def _bell(hours: npt.NDArray[np.float64], middle: float, width: float) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * ((hours - middle) / width) ** 2))
