"""What the ml service counts."""

from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from foodex.core.errors import FoodexError
from foodex.domain.forecasts import Answered, Forecast

_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1)
_TOGETHER = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LOAD_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class MlMetrics:
    """Figures for Prometheus; children are kept, as looking one up costs as much as counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._forecasts = Counter(
            "foodex_forecasts_total",
            "Forecasts given, by model and rung of the ladder",
            ("model", "source"),
            registry=registry,
        )
        self._degraded = Counter(
            "foodex_forecasts_degraded_total",
            "Forecasts that stood on less than the model usually has",
            ("model",),
            registry=registry,
        )
        self._seconds = Histogram(
            "foodex_forecast_seconds",
            "Time from an order to its promise, without HTTP",
            buckets=_SECONDS,
            registry=registry,
        )
        self._together = Histogram(
            "foodex_forecasts_together",
            "Orders that waited at once and shared one call of the model",
            buckets=_TOGETHER,
            registry=registry,
        )
        self._load_seconds = Histogram(
            "foodex_model_load_seconds",
            "Time to load a version and rebuild its history",
            buckets=_LOAD_SECONDS,
            registry=registry,
        )
        self._observed = Counter(
            "foodex_deliveries_observed_total", "Deliveries learned from", registry=registry
        )
        self._production = Gauge(
            "foodex_model_production_version",
            "The version that answers",
            ("model",),
            registry=registry,
        )
        self._children: dict[tuple[str, ...], Any] = {}

    def forecast(self, told: Forecast, seconds: float) -> None:
        """Count one forecast."""
        self.count(told)
        self._seconds.observe(seconds)

    def answers(self, told: Sequence[Answered | FoodexError], seconds: float) -> None:
        """Count forecasts that were given together, each of which took its share of the time."""
        given = [one.forecast for one in told if isinstance(one, Answered)]
        if not given:
            return
        counted = Tally((one.model or "-", one.source, one.degraded) for one in given)
        for (model, source, degraded), times in counted.items():
            self._child(self._forecasts, model, source.value).inc(times)
            if degraded:
                self._child(self._degraded, model).inc(times)
        self._seconds.observe(seconds / len(given))
        self._together.observe(len(given))

    def count(self, told: Forecast) -> None:
        """Count one forecast of many."""
        model = told.model or "-"
        self._child(self._forecasts, model, told.source.value).inc()
        if told.degraded:
            self._child(self._degraded, model).inc()

    def loaded(self, model: str, version: int, seconds: float) -> None:
        """Count a version that was loaded and answers now."""
        self._load_seconds.observe(seconds)
        self._production.labels(model).set(version)

    def dropped(self, model: str) -> None:
        """A model that answers no more."""
        with suppress(KeyError):
            self._production.remove(model)

    def observed(self, count: int) -> None:
        """Count deliveries learned from."""
        self._observed.inc(count)

    def _child(self, counter: Counter, *labels: str) -> Any:
        key = (counter._name, *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = counter.labels(*labels)
        return found
