"""How good a model is: metrics, baselines, slices, intervals, stability and drift."""

from foodex.eta.evaluation.baselines import Baselines, fit_baselines
from foodex.eta.evaluation.bootstrap import blocks_of, intervals_of_means
from foodex.eta.evaluation.by_day import Day, Gain, days_from_json, days_of, gains
from foodex.eta.evaluation.drift import Drift, drift_of_categories, drift_of_numbers
from foodex.eta.evaluation.metrics import Figures, metrics, pinball, stability
from foodex.eta.evaluation.replay import Kept, Replay, kept, promised_by_city, replay_of
from foodex.eta.evaluation.report import Evaluation, Forecaster, evaluate, judge
from foodex.eta.evaluation.rows import Rows, rows_of
from foodex.eta.evaluation.slices import dimensions, slice_metrics, worst_slices

__all__ = [
    "Baselines",
    "Day",
    "Drift",
    "Evaluation",
    "Figures",
    "Forecaster",
    "Gain",
    "Kept",
    "Replay",
    "Rows",
    "blocks_of",
    "days_from_json",
    "days_of",
    "dimensions",
    "drift_of_categories",
    "drift_of_numbers",
    "evaluate",
    "fit_baselines",
    "gains",
    "intervals_of_means",
    "judge",
    "kept",
    "metrics",
    "pinball",
    "promised_by_city",
    "replay_of",
    "rows_of",
    "slice_metrics",
    "stability",
    "worst_slices",
]
