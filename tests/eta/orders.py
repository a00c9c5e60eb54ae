"""Small made-up histories for the tests of the science."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

START = datetime(2026, 3, 1, tzinfo=UTC)


def orders(n: int = 1200, seed: int = 0, days: float = 20.0) -> pl.DataFrame:
    """Delivered orders whose minutes follow distance, hour, store, rain and a slow drift."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(0, days * 86_400, n)).round(3)
    store = rng.integers(0, 12, n)
    lat, lon = 60.16 + store * 0.003, 24.90 + (store % 4) * 0.01
    north, east = rng.normal(0, 0.01, n), rng.normal(0, 0.02, n)
    km = np.hypot(north * 111.2, east * 55.4)
    hour = at / 3600 % 24
    rain = np.where(rng.random(n) < 0.2, rng.exponential(1.5, n), 0.0)
    minutes = (
        12 + 4.5 * km + store * 0.6 + 4 * np.exp(-((hour - 18) ** 2) / 6) + 2 * rain
        - at / 86_400 * 0.1 + rng.gamma(4, 1.5, n)
    )  # fmt: skip
    placed = pl.Series([START + timedelta(seconds=float(s)) for s in at])
    return pl.DataFrame(
        {
            "order_id": [f"o{i}" for i in range(n)],
            "store_id": [f"s{i}" for i in store],
            "courier_id": [f"c{i}" for i in rng.integers(0, 30, n)],
            "placed_at": placed.dt.cast_time_unit("us"),
            "store_lat": lat,
            "store_lon": lon,
            "customer_lat": lat + north,
            "customer_lon": lon + east,
            "items": rng.integers(1, 6, n).astype(float),
            "precipitation_mm": np.where(rng.random(n) < 0.05, np.nan, rain),
            "vehicle": np.where(rng.random(n) < 0.5, "bicycle", "car"),
            "own_estimate_minutes": np.round(minutes + rng.normal(3, 4, n)).clip(5),
            "delivery_minutes": minutes,
        }
    ).with_columns(pl.col("precipitation_mm").fill_nan(None))


def undated(n: int = 600, seed: int = 0) -> pl.DataFrame:
    """Deliveries with hour, weekday and distance, and counts of dishes, but no dates."""
    rng = np.random.default_rng(seed)
    dishes = {f"dish_{i}": rng.poisson(0.3, n).astype(float) for i in range(4)}
    hour, km = rng.uniform(11, 22, n), rng.uniform(0.5, 8, n)
    minutes = (10 + 2 * km + 3 * dishes["dish_0"]) * np.exp(rng.normal(0, 0.08, n))
    return pl.DataFrame(
        {
            "hour_of_day": hour,
            "day_of_week": rng.integers(0, 7, n),
            "distance_km": km,
            "delivery_minutes": minutes,
            "part": np.where(rng.random(n) < 0.75, "train", "validation"),
            **dishes,
        }
    )
