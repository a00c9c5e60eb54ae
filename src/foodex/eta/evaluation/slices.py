"""The same figures for parts of the orders: where and when forecasts are good, and where not."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import h3
import numpy as np
import polars as pl

from foodex.eta.evaluation.metrics import Figures, Floats, metrics
from foodex.eta.evaluation.rows import Rows

ZONE_RESOLUTION: Final = 7
"""H3 cells of about 5 km² (h3geo.org, table of cell statistics)."""
MIN_ROWS: Final = 100
"""A slice of fewer orders says little: its coverage of 90 % is uncertain by 6 points."""
RAIN_MM: Final = 0.1
"""Precipitation in an hour from which it is called rain; gauges do not measure less."""
DISTANCES_KM: Final = (1.0, 2.0, 3.0, 5.0, 10.0)
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_VOLUMES: Final = ("small", "middle", "large")


def dimensions(rows: Rows) -> dict[str, pl.Series]:
    """How the orders are sliced: the label of each order by dimension, null where unknown.

    `zone` is the H3 cell of the customer, or else of the store; `store_volume` parts the orders
    into thirds by how many of them their store has.
    """
    hour = rows.hour.cast(pl.String).str.zfill(2)
    weekday = rows.weekday.replace_strict(dict(enumerate(WEEKDAYS)), return_dtype=pl.String)
    rain = pl.Series(rows.basics.get("precipitation_mm"), nan_to_null=True) >= RAIN_MM
    found = {
        "zone": _zones(rows),
        "hour": hour,
        "weekday": weekday,
        "rain": pl.select(
            pl.when(rain).then(pl.lit("rain")).when(~rain).then(pl.lit("dry"))
        ).to_series(),
        "distance": _distances(rows.basics.distance_km),
        "store_volume": _volumes(rows.store),
    }
    if "store_category" in rows.frame.columns:
        found["category"] = rows.frame["store_category"]
    return {name: labels.cast(pl.String) for name, labels in found.items()}


def slice_metrics(
    by: Mapping[str, pl.Series],
    actual: Floats,
    median: Floats,
    quantiles: Floats | None = None,
    promised: Floats | None = None,
    *,
    min_rows: int = MIN_ROWS,
) -> dict[str, dict[str, Figures]]:
    """`metrics` by dimension and label, for labels of at least `min_rows` orders."""
    told: dict[str, dict[str, Figures]] = {}
    for name, labels in by.items():
        parts = {
            label: metrics(
                actual[rows],
                median[rows],
                None if quantiles is None else quantiles[rows],
                None if promised is None else promised[rows],
            )
            for label, rows in _parts(labels)
            if len(rows) >= min_rows
        }
        if parts:
            told[name] = parts
    return told


def worst_slices(
    slices: Mapping[str, Mapping[str, Figures]], figure: str, count: int = 5, *, low: bool = False
) -> list[tuple[str, str, float]]:
    """The `count` slices with the highest `figure` (the lowest when `low`), worst first.

    Each as dimension, label and figure; slices without the figure are left out.
    """
    values = [
        (dimension, label, float(value))
        for dimension, parts in slices.items()
        for label, figures in parts.items()
        if (value := figures.get(figure)) is not None
    ]
    return sorted(values, key=lambda item: item[2] if low else -item[2])[:count]


def _parts(labels: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    groups = (
        pl.DataFrame({"label": labels})
        .with_row_index("row")
        .drop_nulls("label")
        .group_by("label")
        .agg("row")
        .sort("label")
    )
    for label, rows in zip(groups["label"], groups["row"], strict=True):
        yield label, rows.to_numpy()


def _distances(km: Floats) -> pl.Series:
    between = [f"{low:g}-{high:g} km" for low, high in pairwise(DISTANCES_KM)]
    labels = [f"under {DISTANCES_KM[0]:g} km", *between, f"over {DISTANCES_KM[-1]:g} km"]
    place = np.searchsorted(DISTANCES_KM, km, side="right").astype(np.float64)
    known = pl.Series(np.where(np.isnan(km), np.nan, place), nan_to_null=True).cast(pl.Int8)
    return known.replace_strict(dict(enumerate(labels)), return_dtype=pl.String)


def _volumes(stores: pl.Series) -> pl.Series:
    """Thirds of the orders, from the stores with fewest orders to those with most."""
    frame = pl.DataFrame({"store": stores})
    orders = frame.select(
        pl.when(pl.col("store").is_not_null()).then(pl.len().over("store"))
    ).to_series()
    known = orders.drop_nulls()
    if known.n_unique() < 2:
        return pl.Series([None] * len(stores), dtype=pl.String)
    bounds = [float(known.quantile(share, "lower") or 0) for share in (1 / 3, 2 / 3)]
    place = (orders > bounds[0]).cast(pl.Int8) + (orders > bounds[1]).cast(pl.Int8)
    return place.replace_strict(dict(enumerate(_VOLUMES)), return_dtype=pl.String)


def _zones(rows: Rows) -> pl.Series:
    lat, lon = rows.basics.get("customer_lat"), rows.basics.get("customer_lon")
    unknown = np.isnan(lat) | np.isnan(lon)
    lat = np.where(unknown, rows.basics.get("store_lat"), lat)
    lon = np.where(unknown, rows.basics.get("store_lon"), lon)
    # To about 100 m, so that near points are looked up once.
    points = pl.DataFrame({"lat": lat.round(3), "lon": lon.round(3)}, nan_to_null=True)
    places = points.drop_nulls().unique()
    cells = [h3.latlng_to_cell(*place, ZONE_RESOLUTION) for place in places.iter_rows()]
    table = places.with_columns(pl.Series("zone", cells, dtype=pl.String))
    return points.join(table, on=["lat", "lon"], how="left", maintain_order="left")["zone"]
