"""How good a model is, as charts and rows; words come from the page, which knows its language."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import h3

from foodex.services.dashboard import charts
from foodex.services.dashboard.catalogue import Texts

Facts = Mapping[str, Any]

DIMENSIONS: Final = ("hour", "weekday", "zone", "rain", "distance", "store_volume", "category")
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_IN_ORDER: Final = (*_WEEKDAYS, "small", "middle", "large", "dry", "rain")
_MOST_FACTORS: Final = 12
WORSE: Final = 1.15
"""From so much more error than when it was made on, a model is said to have drifted."""


def over_days(evaluation: Facts, t: Texts) -> charts.Option:
    """The mean error of each day's orders."""
    days = evaluation["days"]
    errors = [day["abs_error_minutes"] / day["orders"] for day in days]
    return charts.lines(
        [_short(day["day"]) for day in days], {t("models.mae_minutes"): errors}, unit="minutes"
    )


def kept_over_days(evaluation: Facts, t: Texts) -> charts.Option:
    """The share of each day's orders that would have come by their promise."""
    days = evaluation["days"]
    kept = [day["on_time"] / day["orders"] for day in days]
    return charts.lines(
        [_short(day["day"]) for day in days],
        {t("models.on_time_share"): kept},
        unit="percent",
        y_from_zero=False,
    )


def calibration(evaluation: Facts, t: Texts) -> charts.Option | None:
    """Asked coverage against held; on the diagonal a quantile holds what it says."""
    held = evaluation.get("held")
    if not held:
        return None
    points = [(float(level), float(share)) for level, share in held.items()]
    return charts.scatter(
        {t("models.held"): points},
        unit="percent",
        diagonal=True,
        x_name=t("models.asked"),
    )


def errors(evaluation: Facts, t: Texts) -> charts.Option | None:
    """How the errors lie, as shares of all orders, beside those of the company's own estimate."""
    own = evaluation.get("own_errors") or {}
    series = {"models.this_model": evaluation.get("errors") or {}, "models.own_estimate": own}
    told = {t(name): _shares(one) for name, one in series.items() if sum(one.get("orders") or ())}
    if not told:
        return None
    return charts.bars(evaluation["errors"]["from_minutes"], told, unit="percent")


def factors(summary: Facts, t: Texts) -> charts.Option | None:
    """What the model goes by: each factor's share of what it gained in training."""
    shares: dict[str, float] = {}
    importance = summary.get("importance") or {}
    for feature, factor in zip(
        summary.get("features") or (), summary.get("factors") or (), strict=False
    ):
        shares[factor] = shares.get(factor, 0.0) + float(importance.get(feature, 0.0))
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:_MOST_FACTORS]
    if not ranked:
        return None
    names = [_word(t, "factor", name.replace(" ", "_"), name) for name, _ in ranked]
    values = [share for _, share in ranked]
    return charts.bars(names, {t("models.share"): values}, unit="percent", lying=True)


def dimensions(evaluation: Facts) -> list[str]:
    """By what the orders were parted, those known first."""
    slices = evaluation.get("slices") or {}
    known = [name for name in DIMENSIONS if name in slices]
    return known + [name for name in slices if name not in known]


def parts(evaluation: Facts, by: str, t: Texts) -> list[tuple[str, Facts]]:
    """The figures of each part of the orders under its name, in the order people expect."""
    found: Mapping[str, Facts] = (evaluation.get("slices") or {}).get(by) or {}
    ranked = sorted(found, key=lambda label: _place(label, found[label], by))
    return [(_name(label, by, t), found[label]) for label in ranked]


def parts_chart(rows: Sequence[tuple[str, Facts]], by: str, t: Texts) -> charts.Option:
    """The mean error of each part."""
    values = [figures["mae_minutes"] for _, figures in rows]
    names = [name for name, _ in rows]
    lying = by != "hour"
    return charts.bars(names, {t("models.mae_minutes"): values}, unit="minutes", lying=lying)


def of_versions(versions: Iterable[Facts], t: Texts) -> charts.Option | None:
    """The error of each version on the orders held back from it, oldest first."""
    dated = [v for v in versions if (v["summary"].get("metrics") or {}).get("mae_minutes")][::-1]
    if len(dated) < 2:
        return None
    names = [t("models.version_n", number=v["version"]) for v in dated]
    values = [v["summary"]["metrics"]["mae_minutes"] for v in dated]
    return charts.bars(names, {t("models.mae_minutes"): values}, unit="minutes")


def drifted(version: Facts, evaluation: Facts) -> float | None:
    """How many times its error when it was made a model now misses by, where that is known.

    None where the orders are not all newer than those it learned from.
    """
    made = (version["summary"].get("metrics") or {}).get("mae_minutes")
    period, first = version["summary"].get("period"), evaluation.get("first_placed_at")
    if not made or not period or not first or first <= period[1]:
        return None
    return float(evaluation["mae_minutes"]) / float(made)


def _short(day: str) -> str:
    # All are of one year or of two that follow.
    return day[5:]


def _shares(one: Facts) -> list[float]:
    whole = sum(one["orders"])
    return [count / whole for count in one["orders"]]


def _place(label: str, figures: Facts, by: str) -> tuple[float, str]:
    if by == "zone":
        return -float(figures["mae_minutes"]), label
    if label in _IN_ORDER:
        return _IN_ORDER.index(label), label
    first = label.split("-")[0].removeprefix("under ").removeprefix("over ").removesuffix(" km")
    far = 0.5 if label.startswith("over ") else -0.5 if label.startswith("under ") else 0.0
    try:
        return float(first) + far, label
    except ValueError:
        return 0.0, label


def _name(label: str, by: str, t: Texts) -> str:
    if by == "zone" and h3.is_valid_cell(label):
        lat, lon = h3.cell_to_latlng(label)
        north, east = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
        return f"{abs(lat):.3f}° {north}, {abs(lon):.3f}° {east}"
    if by == "hour":
        return f"{int(label)}"
    if by == "distance":
        for word in ("under", "over"):
            if label.startswith(f"{word} "):
                far = label.removeprefix(f"{word} ").removesuffix(" km")
                return t(f"models.label.{word}", km=far)
        return t("models.label.between", km=label.removesuffix(" km").replace("-", "\N{EN DASH}"))
    return _word(t, "label", label, label)


def _word(t: Texts, kind: str, name: str, otherwise: str) -> str:
    key = f"models.{kind}.{name}"
    return t(key) if t.has(key) else otherwise
