"""A simulated history written the way a company's own system would export it."""

from typing import Final

import polars as pl

from foodex.city.engine import CITY_ZONE

MISSING: Final = "n/a"
"""What the export writes where it has no value."""
EXPORT_TIME_FORMAT: Final = "%d.%m.%Y %H:%M:%S"
EXPORT_ZONE: Final = str(CITY_ZONE)


def export_as_company_csv(frame: pl.DataFrame) -> bytes:
    """A history as CSV in UTF-8, in a company's own words, for a mapping to make sense of.

    Names are the company's; times are local to `EXPORT_ZONE` and do not say so; the way is in
    metres, the price in euros, a duration in seconds and the estimate in minutes; some
    weather readings, couriers and ready clicks are `MISSING`, and there is a column that no field
    wants. What is missing follows the row's number, so the same history gives the same bytes.
    """
    number = pl.int_range(pl.len())
    no_weather = (number // 400) % 50 == 17
    columns = {
        "Order No": pl.col("order_id"),
        "Data Source": pl.col("city"),
        "Restaurant ID": pl.col("store_id"),
        "Cuisine": pl.col("store_category"),
        "Order Kind": pl.col("order_type"),
        "Ordered": _local("placed_at"),
        "Confirmed": _local("accepted_at"),
        "Food Ready": pl.when(number % 37 == 5).then(None).otherwise(_local("ready_at")),
        "Collected": _local("picked_up_at"),
        "Handed Over": _local("delivered_at"),
        "Total Duration (s)": (pl.col("delivery_minutes") * 60).round().cast(pl.Int64),
        "Promised (min)": pl.col("own_estimate_minutes").cast(pl.Int64),
        "Restaurant Lat": pl.col("store_lat"),
        "Restaurant Lng": pl.col("store_lon"),
        "Drop Lat": pl.col("customer_lat"),
        "Drop Lng": pl.col("customer_lon"),
        "Distance (m)": (pl.col("distance_km") * 1000).round().cast(pl.Int64),
        "Item Count": pl.col("items").cast(pl.Int64),
        "Unique Items": pl.col("distinct_items").cast(pl.Int64),
        "Basket EUR": (pl.col("subtotal_minor") / 100).round(2),
        "Rider ID": pl.when(number % 211 == 9).then(None).otherwise(pl.col("courier_id")),
        "Rider Vehicle": pl.col("vehicle"),
        "Temp (C)": pl.when(no_weather).then(None).otherwise(pl.col("temperature_c")),
        "Rain mm": pl.when(no_weather).then(None).otherwise(pl.col("precipitation_mm")),
        "Wind m/s": pl.when(no_weather).then(None).otherwise(pl.col("wind_mps")),
        "Cloud %": pl.when(no_weather)
        .then(None)
        .otherwise((pl.col("cloud_cover") * 100).round().cast(pl.Int64)),
        "Riders Online": pl.col("couriers_on_shift").cast(pl.Int64),
        "Riders Busy": pl.col("couriers_busy").cast(pl.Int64),
        "Open Orders": pl.col("orders_open").cast(pl.Int64),
        "App Version": pl.lit("5.") + (12 + number // 6000).cast(pl.String),
    }
    ours = frame.select(**columns)
    return ours.write_csv(null_value=MISSING, float_precision=None).encode()


def _local(name: str) -> pl.Expr:
    return pl.col(name).dt.convert_time_zone(EXPORT_ZONE).dt.strftime(EXPORT_TIME_FORMAT)
