"""The sections of the report on a model, and what they are drawn from."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import h3

from foodex.domain.reports import Chart, ChartKind, Column, Section, Series, Table, Unit, shown
from foodex.eta.evaluation.slices import WEEKDAYS

Facts = Mapping[str, Any]

OWN: Final = "own_estimate"
BASELINES: Final = {
    "median": "Always the median",
    "store_hour_median": "The store's usual at that hour",
    OWN: "The company's own estimate",
    "own_estimate_unbiased": "Own estimate, bias removed",
}
COVERED: Final = 0.9
_PARTS: Final = (
    ("weekday", "weekday"),
    ("rain", "weather"),
    ("distance", "distance"),
    ("store_volume", "store, by its orders"),
    ("category", "kind"),
)
_MOST_FACTORS: Final = 10
_MOST_FEATURES: Final = 12
_MOST_ZONES: Final = 10


def sections_of(summary: Facts, evaluation: Facts) -> Iterable[Section]:
    """What the report says beyond its summary; a section without anything to say is empty."""
    slices = evaluation.get("slices") or {}
    yield _beside(evaluation)
    yield _hours(slices.get("hour") or {})
    yield _parts(slices)
    yield _zones(slices.get("zone") or {})
    yield _reasons(summary)


def _beside(evaluation: Facts) -> Section:
    rows = [("This model", evaluation)]
    baselines = evaluation.get("baselines") or {}
    rows += [(BASELINES.get(name, name), figures) for name, figures in baselines.items()]
    if len(rows) == 1:
        return Section(title="Beside simpler forecasts")
    ranked = sorted(rows, key=lambda row: float(row[1]["mae_minutes"]))
    return Section(
        title="Beside simpler forecasts",
        charts=(
            _ranking(
                "Mean error, minutes: shorter is better",
                [(name, figures["mae_minutes"]) for name, figures in ranked],
                Unit.MINUTES,
            ),
        ),
        tables=(
            Table(
                title="The same orders",
                columns=(
                    Column(title="Forecast"),
                    Column(title="Mean error", unit=Unit.MINUTES),
                    Column(title="Bias", unit=Unit.MINUTES),
                    Column(title="Within 10 min", unit=Unit.SHARE),
                    Column(title="Error, 9 in 10 below", unit=Unit.MINUTES),
                    Column(title="Promises kept", unit=Unit.SHARE),
                ),
                rows=tuple(
                    (
                        name,
                        figures["mae_minutes"],
                        figures["bias_minutes"],
                        figures["within_10"],
                        figures["p90_abs_error_minutes"],
                        figures["on_time_share"],
                    )
                    for name, figures in rows
                ),
                note="A promise is what the policy makes of the model's forecast; a simpler "
                "forecast is taken as the promise itself.",
            ),
        ),
    )


def _hours(hours: Mapping[str, Facts]) -> Section:
    labels = tuple(sorted(hours))
    if len(labels) < 2:
        return Section(title="Over the day")

    def values(key: str) -> tuple[float | None, ...]:
        return tuple(hours[label].get(key) for label in labels)

    names = tuple(str(int(label)) for label in labels)
    error = Chart(
        kind=ChartKind.BARS,
        title="Mean error by hour of the order, minutes",
        says=_ends(values("mae_minutes"), Unit.MINUTES),
        labels=names,
        series=(Series(name="mean error", values=values("mae_minutes")),),
        unit=Unit.MINUTES,
    )
    held = Chart(
        kind=ChartKind.LINES,
        title="Orders in the 90 % interval, by hour of the order",
        says=_ends(values("coverage_90"), Unit.SHARE),
        labels=names,
        series=(Series(name="in the interval", values=values("coverage_90")),),
        unit=Unit.SHARE,
        mark=COVERED,
        mark_name="as promised",
    )
    has = any(value is not None for value in values("coverage_90"))
    return Section(title="Over the day", charts=(error, held) if has else (error,))


def _parts(slices: Mapping[str, Mapping[str, Facts]]) -> Section:
    rows = [
        (f"{name}: {label}", *_judged(parts[label]))
        for dimension, name in _PARTS
        for parts in [slices.get(dimension) or {}]
        for label in sorted(parts, key=_in_order)
    ]
    columns = (Column(title="Orders by"), *_JUDGED)
    table = Table(title="Parts of the orders", columns=columns, rows=tuple(rows))
    return Section(title="Where it is good, and where not", tables=(table,) if rows else ())


def _in_order(label: str) -> tuple[float, str]:
    """Weekdays from Monday, distances from the shortest, stores from the smallest, then names."""
    known = (*WEEKDAYS, "small", "middle", "large")
    if label in known:
        return known.index(label), label
    first = label.split("-")[0].removeprefix("under ").removeprefix("over ").removesuffix(" km")
    far = 0.5 if label.startswith("over ") else -0.5 if label.startswith("under ") else 0.0
    try:
        return float(first) + far, label
    except ValueError:
        return 0.0, label


def _zones(zones: Mapping[str, Facts]) -> Section:
    worst = sorted(zones.items(), key=lambda item: (-float(item[1]["mae_minutes"]), item[0]))
    rows = tuple((_place(cell), *_judged(figures)) for cell, figures in worst[:_MOST_ZONES])
    table = Table(
        title="Zones, the weakest first" if len(rows) > 1 else "The one zone with enough orders",
        columns=(Column(title="Around"), *_JUDGED),
        rows=rows,
        note="A zone is a hexagon of about 5 km² around the point given.",
    )
    return Section(title="Zones", tables=(table,) if rows else ())


_JUDGED: Final = (
    Column(title="Orders", unit=Unit.COUNT),
    Column(title="Mean error", unit=Unit.MINUTES),
    Column(title="Bias", unit=Unit.MINUTES),
    Column(title="Within 10 min", unit=Unit.SHARE),
    Column(title="In 90 % interval", unit=Unit.SHARE),
    Column(title="Promises kept", unit=Unit.SHARE),
)


def _judged(figures: Facts) -> tuple[Any, ...]:
    keys = ("n", "mae_minutes", "bias_minutes", "within_10", "coverage_90", "on_time_share")
    return tuple(figures.get(key) for key in keys)


def _place(cell: str) -> str:
    if not h3.is_valid_cell(cell):
        return cell
    lat, lon = h3.cell_to_latlng(cell)
    return f"{abs(lat):.3f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.3f}° {'E' if lon >= 0 else 'W'}"


def _reasons(summary: Facts) -> Section:
    title = "What the forecast goes by"
    factors = factors_of(summary)
    if not factors:
        return Section(title=title)
    features = sorted(summary["importance"].items(), key=lambda item: (-float(item[1]), item[0]))
    return Section(
        title=title,
        charts=(_ranking("Share by factor", factors[:_MOST_FACTORS], Unit.SHARE),),
        tables=(
            Table(
                title="The features that count most",
                columns=(Column(title="Feature"), Column(title="Share", unit=Unit.SHARE)),
                rows=tuple((name, float(share)) for name, share in features[:_MOST_FEATURES]),
            ),
        ),
    )


def factors_of(summary: Facts) -> list[tuple[str, float]]:
    """Each factor's share of a model's importance, largest first; those without any left out."""
    shares: dict[str, float] = {}
    importance = summary.get("importance") or {}
    for feature, factor in zip(
        summary.get("features") or (), summary.get("factors") or (), strict=False
    ):
        shares[factor] = shares.get(factor, 0.0) + float(importance.get(feature, 0.0))
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return [(name, share) for name, share in ranked if share > 0]


def _ranking(title: str, rows: list[tuple[str, float]], unit: Unit) -> Chart:
    return Chart(
        kind=ChartKind.RANKING,
        title=title,
        says="; ".join(f"{name} {shown(value, unit)}" for name, value in rows),
        labels=tuple(name for name, _ in rows),
        series=(Series(name=title, values=tuple(value for _, value in rows)),),
        unit=unit,
    )


def _ends(values: Iterable[float | None], unit: Unit) -> str:
    known = [value for value in values if value is not None]
    return f"From {shown(min(known), unit)} to {shown(max(known), unit)}." if known else ""
