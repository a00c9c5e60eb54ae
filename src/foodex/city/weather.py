"""The weather of the simulated city: a pure function of the seed and the hour.

Nothing is carried from one hour to the next, so any hour can be asked for first: slow changes are
lines between values drawn per day, and rain comes in spells drawn for the day on which they start.
The climate (means, swing, hottest day) is roughly Helsinki's.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

_STREAM = 11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """One hour's weather. `precipitation_mm` falls in this hour, `before_mm` fell in the last."""

    temperature_c: float
    precipitation_mm: float
    before_mm: float
    wind_mps: float
    cloud_cover: float
    condition: str


@dataclass(frozen=True, slots=True)
class _Day:
    temperature_c: float
    cloud: float
    wind_mps: float
    spells: tuple[tuple[float, float, float], ...]
    """Of the rain that starts on this day: first hour, hours, mm in an hour."""


class Weather:
    """The weather of every hour under one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._days: dict[int, _Day] = {}
        self._hours: dict[int, Sky] = {}

    def at(self, seconds: float) -> Sky:
        """The weather of the hour that holds this second of the Unix epoch."""
        hour = math.floor(seconds / 3600)
        sky = self._hours.get(hour)
        if sky is None:
            if len(self._hours) > 1000:
                self._hours.clear()
                self._days.clear()
            sky = self._hours[hour] = self._draw(hour)
        return sky

    def _draw(self, hour: int) -> Sky:
        day, hour_of_day = divmod(hour, 24)
        today, tomorrow, share = self._day(day), self._day(day + 1), hour_of_day / 24
        rain = self._rain(day, hour_of_day)
        yesterday = (day, hour_of_day - 1) if hour_of_day else (day - 1, 23)
        season = 6.3 + 11.6 * math.cos(2 * math.pi * (_day_of_year(day) - 205) / 365.25)
        # The warmest hour is about 15 o'clock local, which is 12 or 13 UTC.
        swing = (1.2 + 0.13 * max(season, 0)) * math.cos(2 * math.pi * (hour_of_day - 12.5) / 24)
        anomaly = today.temperature_c * (1 - share) + tomorrow.temperature_c * share
        temperature = season + swing + anomaly - (1.5 if rain else 0.0)
        cloud = min(1.0, max(0.0, today.cloud * (1 - share) + tomorrow.cloud * share))
        if rain:
            cloud = max(cloud, 0.85)
        wind = today.wind_mps * (1 - share) + tomorrow.wind_mps * share + 0.4 * min(rain, 4.0)
        return Sky(
            temperature_c=round(temperature, 1),
            precipitation_mm=rain,
            before_mm=self._rain(*yesterday),
            wind_mps=round(wind, 1),
            cloud_cover=round(cloud, 2),
            condition=_condition(temperature, rain, cloud),
        )

    def _rain(self, day: int, hour_of_day: int) -> float:
        total = 0.0
        for back in (0, 1):
            moment = hour_of_day + 24 * back
            for first, hours, millimetres in self._day(day - back).spells:
                if first <= moment < first + hours:
                    # A spell swells and fades.
                    rise = math.sin(math.pi * (moment + 0.5 - first) / (hours + 1))
                    total += millimetres * max(rise, 0.2)
        return round(total, 1)

    def _day(self, day: int) -> _Day:
        found = self._days.get(day)
        if found is None:
            # Days before 1970 have their own streams too: a seed may not be negative.
            rng = np.random.default_rng([self._seed, _STREAM, day % 2**32])
            wet = rng.random() < 0.42
            spells = [
                (float(rng.integers(0, 24)), 1 + float(rng.gamma(1.6, 2.2)), float(rng.gamma(1, 1)))
                for _ in range(int(rng.integers(1, 4)) if wet else 0)
            ]
            found = self._days[day] = _Day(
                temperature_c=float(rng.normal(0, 2.8)),
                cloud=float(rng.beta(1.1, 0.8)) if wet else float(rng.beta(0.7, 1.2)),
                wind_mps=1.0 + float(rng.gamma(3.0, 1.0)),
                spells=tuple(spells),
            )
        return found


def _day_of_year(day: int) -> int:
    return (_EPOCH + timedelta(days=day)).timetuple().tm_yday


def _condition(temperature_c: float, rain_mm: float, cloud: float) -> str:
    if rain_mm > 0:
        if temperature_c < 0.5:
            return "snow"
        return "heavy rain" if rain_mm >= 2.5 else "rain"
    if cloud < 0.25:
        return "clear"
    return "partly cloudy" if cloud < 0.7 else "overcast"
