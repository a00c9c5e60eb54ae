from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foodex.city.weather import Weather

JANUARY = datetime(2026, 1, 15, tzinfo=UTC).timestamp()
JULY = datetime(2026, 7, 15, tzinfo=UTC).timestamp()
HOUR = 3600


@given(seed=st.integers(0, 2**63 - 1), hour=st.integers(0, 24 * 365 * 200))
def test_any_hour_is_possible_and_the_same_when_asked_first(seed: int, hour: int) -> None:
    weather = Weather(seed)
    sky = weather.at(hour * HOUR)
    assert -45 < sky.temperature_c < 45
    assert 0 <= sky.precipitation_mm < 60
    assert 0 <= sky.wind_mps < 35
    assert 0 <= sky.cloud_cover <= 1
    assert (sky.precipitation_mm > 0) <= (sky.condition in ("rain", "heavy rain", "snow"))
    later = Weather(seed)
    later.at((hour + 31) * HOUR)
    assert later.at(hour * HOUR + 1800) == sky
    # What fell before is what fell in the hour before.
    assert later.at((hour + 1) * HOUR).before_mm == sky.precipitation_mm


def test_it_has_seasons_days_and_spells_of_rain() -> None:
    july = [Weather(seed).at(JULY + hour * HOUR) for seed in range(20) for hour in range(48)]
    january = [Weather(seed).at(JANUARY + hour * HOUR) for seed in range(20) for hour in range(48)]
    warm = np.mean([sky.temperature_c for sky in july])
    cold = np.mean([sky.temperature_c for sky in january])
    assert 13 < warm < 22
    assert -9 < cold < 1
    assert july[12].temperature_c > july[0].temperature_c + 2
    wet = np.array([sky.precipitation_mm > 0 for sky in july])
    assert 0.03 < wet.mean() < 0.3
    # Rain goes on: an hour after a wet hour is far more often wet than any.
    assert wet[1:][wet[:-1]].mean() > 2 * wet.mean()
    assert "snow" in {sky.condition for sky in january}
    assert "snow" not in {sky.condition for sky in july}


def test_rain_does_not_stop_at_midnight() -> None:
    weather = Weather(3)
    nights = [JULY - JULY % 86400 + night * 86400 for night in range(400)]
    after = [weather.at(night).precipitation_mm > 0 for night in nights]
    wet = [weather.at(night - 1).precipitation_mm > 0 for night in nights]
    assert sum(wet) > 20
    assert sum(a and b for a, b in zip(after, wet, strict=True)) > 0.5 * sum(wet)


def test_seeds_have_their_own_weather() -> None:
    assert Weather(1).at(JULY) != Weather(2).at(JULY)
