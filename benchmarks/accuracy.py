"""How good forecasts are on real histories, against what they must reach.

    python -m benchmarks.accuracy --data FOLDER [--algorithm NAME]

The folder (or FOODEX_TEST_DATA) holds `helsinki_orders_2020.csv` and `restaurant_deliveries.csv`.
Nothing is chosen by the rows that are scored.
"""

import argparse
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.processes import foodex
from benchmarks.report import Row
from foodex.domain.forecasts import QUANTILES
from foodex.eta import Model, TrainingOptions, train

HELSINKI_UNTIL = datetime(2020, 9, 9, 0, 37, 24, tzinfo=UTC)
KM_PER_MILE = 1.609344
SMALLEST_SLICE = 300
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def helsinki(folder: Path) -> pl.DataFrame:
    """The Helsinki orders as delivery records."""
    raw = pl.read_csv(folder / "helsinki_orders_2020.csv", infer_schema_length=None)
    placed = pl.col("TIMESTAMP").str.to_datetime(time_unit="us").dt.replace_time_zone("UTC")
    return raw.select(
        placed_at=placed,
        items=pl.col("ITEM_COUNT").cast(pl.Float64),
        store_lat="VENUE_LAT",
        store_lon="VENUE_LONG",
        customer_lat="USER_LAT",
        customer_lon="USER_LONG",
        temperature_c=pl.col("TEMPERATURE").cast(pl.Float64),
        precipitation_mm=pl.col("PRECIPITATION").cast(pl.Float64),
        wind_mps="WIND_SPEED",
        cloud_cover=pl.col("CLOUD_COVERAGE") / 100,
        own_estimate_minutes=pl.col("ESTIMATED_DELIVERY_MINUTES").cast(pl.Float64),
        delivery_minutes=pl.col("ACTUAL_DELIVERY_MINUTES").cast(pl.Float64),
    )


def restaurant(folder: Path) -> pl.DataFrame:
    """The restaurant's deliveries as delivery records, dishes as extras."""
    raw = pl.read_csv(folder / "restaurant_deliveries.csv", infer_schema_length=None)
    days = {day: number for number, day in enumerate(DAYS)}
    dishes = [name for name in raw.columns if name.startswith("item_")]
    return raw.select(
        *dishes,
        hour_of_day="hour",
        day_of_week=pl.col("day").replace_strict(days, return_dtype=pl.Int64),
        distance_km=pl.col("distance") * KM_PER_MILE,
        delivery_minutes="time_to_delivery",
        split="split",
    )


def scored(model: Model, frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The chosen rows with their quantiles; each order sees only what was delivered before."""
    return pl.concat([frame, model.forecast_frame(frame)], how="horizontal").filter(rows)


def worst_slice(rows: pl.DataFrame) -> tuple[float, str]:
    """The lowest coverage of the 90 % interval among slices large enough, and its name."""
    local = pl.col("placed_at").dt.convert_time_zone("Europe/Helsinki")
    east = (pl.col("store_lon") - pl.col("customer_lon")) * 0.5
    way = ((pl.col("store_lat") - pl.col("customer_lat")) ** 2 + east**2).sqrt()
    volume = pl.len().over("store_lat", "store_lon")
    slices = {
        "hour": local.dt.hour(),
        "weekday": local.dt.weekday(),
        "rain": pl.col("precipitation_mm") > 0,
        "items": pl.col("items").clip(1, 6),
        "distance fifth": (way.rank() * 5 / (pl.len() + 1)).floor(),
        "store volume fifth": (volume.rank() * 5 / (pl.len() + 1)).floor(),
        "cloud": (pl.col("cloud_cover") * 2).round(),
        "temperature": (pl.col("temperature_c") / 4).floor(),
    }
    inside = pl.col("delivery_minutes").is_between("q05", "q95")
    found = []
    for name, key in slices.items():
        shares = rows.group_by(key.alias("key")).agg(n=pl.len(), share=inside.mean())
        found += [
            (share, f"{name} {value} (n={n})")
            for value, n, share in shares.iter_rows()
            if n >= SMALLEST_SLICE
        ]
    return min(found)


def report(title: str, rows: pl.DataFrame, model: Model) -> str:
    """One line of the table; the line of the worst slice below it where there are dates."""
    minutes = rows["delivery_minutes"].to_numpy()
    quantiles = rows.select(pl.col("^q\\d\\d$")).to_numpy()
    miss = quantiles[:, QUANTILES.index(0.5)] - minutes
    inside = (minutes >= quantiles[:, 0]) & (minutes <= quantiles[:, -1])
    line = (
        f"{title:34} n={len(rows):5} MAE {np.abs(miss).mean():.3f} bias {miss.mean():+.2f} "
        f"within 5 {np.mean(np.abs(miss) <= 5):.3f} coverage {inside.mean():.3f} "
        f"width {np.mean(quantiles[:, -1] - quantiles[:, 0]):.1f} trees {model.summary.trees}"
    )
    if "placed_at" in rows.columns:
        share, name = worst_slice(rows)
        line += f"\n{'':34} lowest coverage {share:.3f} in {name}"
    return line


TITLE = "How good forecasts are on real histories"


def measure() -> list[Row]:
    """The figures of the accuracy table; nothing without FOODEX_TEST_DATA."""
    folder = os.environ.get("FOODEX_TEST_DATA")
    if folder is None:
        return [Row(what="real histories", measured="not measured: FOODEX_TEST_DATA is not set")]
    orders = helsinki(Path(folder))
    rows = [
        *helsinki_rows(orders, ("own_estimate_minutes",), 7.20, "7.05", 1.0),
        *helsinki_rows(orders, (), 6.90, "6.75", None),
    ]
    deliveries = restaurant(Path(folder))
    model = train(deliveries, TrainingOptions(split_column="split"))
    new = scored(model, deliveries, deliveries["split"] == "validation")
    mae = float((new["q50"] - new["delivery_minutes"]).abs().mean())  # type: ignore[arg-type]
    row = Row(
        what="one restaurant, fitted on `train`, scored on `validation`: MAE",
        measured=f"{mae:.3f} min",
        must="≤ 1.40",
        aim="1.36",
        reached=mae <= 1.40,
        note=f"90 % interval holds {coverage(new):.1%}",
    )
    return [*rows, row, dirty(Path(folder) / "india_orders_dirty.csv")]


def dirty(path: Path) -> Row:
    """Whether every row of a dirty export is kept or rejected, imported as its owner would."""
    with tempfile.TemporaryDirectory() as folder:
        state, mapping = Path(folder) / "state", Path(folder) / "mapping.toml"
        foodex("mapping", "suggest", str(path), "--out", str(mapping), state=state)
        answered = mapping.read_text().replace('time_zone = "?"', 'time_zone = "Asia/Kolkata"')
        mapping.write_text(answered)
        done = foodex(
            *("import", str(path), "--mapping", str(mapping), "--dataset", "dirty", "--json"),
            state=state,
        ).json()
    read, kept, rejected = done["rows_read"], done["rows_kept"], done["rows_rejected"]
    by_rule = ", ".join(f"{rows:,} {rule}" for rule, rows in done["rejected_by_rule"].items())
    adds_up = read == kept + rejected == kept + sum(done["rejected_by_rule"].values())
    return Row(
        what="a dirty export: rows kept and rejected",
        measured=f"{kept:,} + {rejected:,} = {read:,}",
        must="adds up",
        reached=adds_up and rejected > 0,
        note=f"by rule: {by_rule}; the mapping as suggested, its zone answered",
    )


def helsinki_rows(
    orders: pl.DataFrame, without: tuple[str, ...], must: float, aim: str, most_bias: float | None
) -> list[Row]:
    """What one model reaches on the newest fifth of the Helsinki orders."""
    options = TrainingOptions(until=HELSINKI_UNTIL, without=without, time_zone="Europe/Helsinki")
    rows = scored(train(orders, options), orders, orders["placed_at"] >= HELSINKI_UNTIL)
    miss = (rows["q50"] - rows["delivery_minutes"]).to_numpy()
    mae, bias = float(np.abs(miss).mean()), float(miss.mean())
    share, slice_name = worst_slice(rows)
    held = coverage(rows)
    name = "Helsinki " + ("without" if without else "with") + " the company's estimate"
    found = [
        Row(
            what=f"{name}: MAE",
            measured=f"{mae:.3f} min",
            must=f"≤ {must:.2f}",
            aim=aim,
            reached=mae <= must,
            note=f"{len(rows):,} orders; the company's own estimate has 7.40",
        )
    ]
    if most_bias is not None:
        found.append(
            Row(
                what=f"{name}: bias",
                measured=f"{bias:+.2f} min",
                must=f"≤ {most_bias:.1f} either way",
                reached=abs(bias) <= most_bias,
            )
        )
    found.append(
        Row(
            what=f"{name}: 90 % interval holds",
            measured=f"{held:.1%}",
            must="88-92 %",
            aim="≥ 85 % in every slice of 300 rows",
            reached=0.88 <= held <= 0.92,
            note=f"lowest slice {share:.1%}, {slice_name}",
        )
    )
    return found


def coverage(rows: pl.DataFrame) -> float:
    """The share of orders within their 90 % interval."""
    return float(rows.select(pl.col("delivery_minutes").is_between("q05", "q95").mean()).item())


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("FOODEX_TEST_DATA"), type=Path)
    parser.add_argument("--algorithm", default="gradient_boosting")
    parser.add_argument("--inner", action="store_true", help="score folds inside the training part")
    given = parser.parse_args()
    if given.data is None:
        parser.error("say where the files are: --data FOLDER or FOODEX_TEST_DATA")
    orders = helsinki(given.data)
    spans = [(HELSINKI_UNTIL, datetime(2100, 1, 1, tzinfo=UTC))]
    if given.inner:
        ends = [HELSINKI_UNTIL - timedelta(days=6 * fold) for fold in range(4)]
        spans = [(end - timedelta(days=6), end) for end in ends]
    for without in (("own_estimate_minutes",), ()):
        for since, until in spans:
            options = TrainingOptions(
                algorithm=given.algorithm,
                until=since,
                without=without,
                time_zone="Europe/Helsinki",
            )
            model = train(orders, options)
            known = orders.filter(pl.col("placed_at") < until)
            rows = scored(model, known, known["placed_at"] >= since)
            title = "helsinki" + ("" if without else " with its own estimate")
            print(report(f"{title} {since:%m-%d}", rows, model), flush=True)
    deliveries = restaurant(given.data)
    model = train(deliveries, TrainingOptions(algorithm=given.algorithm, split_column="split"))
    if not given.inner:
        rows = scored(model, deliveries, deliveries["split"] == "validation")
        print(report("restaurant", rows, model))


if __name__ == "__main__":
    main()
