"""The report on a model: how far it misses, beside what, where it is weak, what it goes by."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from foodex.domain.models import Version
from foodex.domain.reports import (
    Better,
    Figure,
    Origin,
    Period,
    Report,
    Unit,
    listed,
    of_hundred,
    shown,
)
from foodex.eta.evaluation.document_sections import COVERED, OWN, Facts, factors_of, sections_of

_NEAR: Final = 0.02
"""An interval that holds 88 to 92 of 100 orders holds what it says."""


def model_report(version: Version, evaluation: Facts, *, made_at: datetime) -> Report:
    """The report on `version` from an evaluation of it, as `Evaluation.to_json` tells it.

    `evaluation` may have `dataset` besides, the data set it was judged on. `made_at` is
    zone-aware.
    """
    summary = version.summary
    return Report(
        title=f"How good is {version.model}, version {version.version}?",
        subtitle="Forecasts of delivery minutes, judged on orders that have been delivered",
        period=_judged_period(evaluation, str(summary.get("time_zone") or "UTC")),
        made_at=made_at,
        made_from=tuple(_origins(version, evaluation)),
        summary=tuple(_sentences(version, evaluation)),
        figures=tuple(_figures(evaluation)),
        sections=tuple(
            s for s in sections_of(summary, evaluation) if s.charts or s.tables or s.text
        ),
        method=(
            "The forecast that is judged is the median. Its error is the forecast less the real "
            "minutes; the mean error leaves out the sign. Each order was forecast as on the day "
            "it was placed, from what had been delivered by then.",
            "Intervals (95 % sure) come from drawing the orders again and again, whole days at "
            "once where they have dates: orders of one day go wrong together.",
            "What the forecast goes by is each feature's share of what the model gained from it in "
            "training. It says what was useful, not what causes what.",
        ),
    )


def _judged_period(evaluation: Facts, zone: str) -> Period | None:
    first, last = evaluation.get("first_placed_at"), evaluation.get("last_placed_at")
    if not first or not last:
        return None
    after = datetime.fromisoformat(last) + timedelta(microseconds=1)
    return Period(since=datetime.fromisoformat(first), until=after, time_zone=zone)


def _origins(version: Version, evaluation: Facts) -> Iterable[Origin]:
    summary = version.summary
    yield Origin(name="Model", value=f"{version.model}:{version.version}, {version.algorithm}")
    yield Origin(name="Judged on", value=f"{evaluation['n']:,} orders of {_judged_on(evaluation)}")
    if summary.get("rows"):
        yield Origin(name="Learned from", value=f"{summary['rows']:,} orders of {version.dataset}")
    if summary.get("period"):
        yield Origin(name="Placed", value=" to ".join(summary["period"]))
    if summary.get("data_hash"):
        yield Origin(name="Their SHA-256", value=str(summary["data_hash"]))
    packages = summary.get("packages") or {}
    if packages:
        told = (f"{name} {number}" for name, number in sorted(packages.items()))
        yield Origin(name="Made with", value=", ".join(told))


def _judged_on(evaluation: Facts) -> str:
    return str(evaluation.get("dataset") or "the data set")


def _is_later(version: Version, evaluation: Facts) -> bool:
    """Whether every judged order was placed after all that the model learned from."""
    learned, first = version.summary.get("period"), evaluation.get("first_placed_at")
    if not learned or not first:
        return False
    return datetime.fromisoformat(first) > datetime.fromisoformat(learned[1])


def _sentences(version: Version, evaluation: Facts) -> Iterable[str]:
    later = _is_later(version, evaluation)
    of = "all placed after those it learned from" if later else "some of which it may have seen"
    yield (
        f"The forecast misses by {evaluation['mae_minutes']:.1f} minutes on average, over "
        f"{evaluation['n']:,} orders, {of}."
    )
    if own := (evaluation.get("baselines") or {}).get(OWN):
        yield _against(own, evaluation)
    yield f"Within 10 minutes: {of_hundred(evaluation['within_10'])} orders."
    coverage = evaluation.get("coverage_90")
    if coverage is not None:
        word = (
            "as it should"
            if abs(coverage - COVERED) <= _NEAR
            else "fewer than it should: its intervals are too narrow"
            if coverage < COVERED
            else "more than it should: its intervals are wider than need be"
        )
        yield f"Its 90 % interval holds {of_hundred(coverage)} orders, {word}."
    on_time = evaluation.get("on_time_share")
    if on_time is not None:
        yield (
            f"Promises made from it would have been kept for {of_hundred(on_time)} orders; "
            f"{shown(evaluation['late_10_share'], Unit.SHARE)} would have come more than 10 "
            "minutes late."
        )
    hours = (evaluation.get("slices") or {}).get("hour") or {}
    if len(hours) > 1:
        worst = max(sorted(hours), key=lambda hour: float(hours[hour]["mae_minutes"]))
        yield (
            f"It is weakest for orders placed from {int(worst)} to {int(worst) + 1}: "
            f"{hours[worst]['mae_minutes']:.1f} minutes on average."
        )
    if factors := factors_of(version.summary):
        most = [f"{name} ({shown(share, Unit.SHARE)})" for name, share in factors[:3]]
        yield f"It goes mostly by {listed(most)}."


def _against(own: Facts, evaluation: Facts) -> str:
    all_have = own["n"] == evaluation["n"]
    where = "the same orders" if all_have else f"the {own['n']:,} that have one"
    said = f"The company's own estimate misses by {own['mae_minutes']:.1f} minutes on {where}; "
    ends = ((evaluation.get("baseline_intervals") or {}).get(OWN) or {}).get("mae_gain_minutes")
    if not ends:
        return said.removesuffix("; ") + "."
    low, high = ends
    if low > 0:
        return f"{said}on these the model is closer, by {low:.1f} to {high:.1f} minutes."
    if high < 0:
        return f"{said}on these the model is further off, by {-high:.1f} to {-low:.1f} minutes."
    return f"{said}the two cannot be told apart by so many orders."


def _figures(evaluation: Facts) -> Iterable[Figure]:
    own = (evaluation.get("baselines") or {}).get(OWN) or {}
    ends = evaluation.get("intervals") or {}
    for name, key, unit, better in (
        ("Mean error", "mae_minutes", Unit.MINUTES, Better.LOWER),
        ("Within 5 minutes", "within_5", Unit.SHARE, Better.HIGHER),
        ("Within 10 minutes", "within_10", Unit.SHARE, Better.HIGHER),
        ("Error, nine in ten below", "p90_abs_error_minutes", Unit.MINUTES, Better.LOWER),
        ("Bias: forecast less real", "bias_minutes", Unit.MINUTES, Better.NEITHER),
        ("In the 90 % interval", "coverage_90", Unit.SHARE, Better.NEITHER),
        ("Width of that interval", "width_90_minutes", Unit.MINUTES, Better.NEITHER),
        ("Promises kept", "on_time_share", Unit.SHARE, Better.HIGHER),
    ):
        if evaluation.get(key) is None:
            continue
        low, high = ends.get(key) or (None, None)
        yield Figure(
            name=name,
            value=evaluation[key],
            unit=unit,
            other=own.get(key),
            versus="own estimate" if own.get(key) is not None else "",
            better=better,
            low=low,
            high=high,
        )
