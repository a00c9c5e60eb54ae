"""One version of a model, loaded and warm, and the live state it answers from."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import structlog

from foodex.core.errors import InvalidInput, NotFound
from foodex.domain.datasets import Comparison, Condition
from foodex.domain.forecasts import Answered, Explanation, Forecast, Source
from foodex.eta.batching import Batch, Batcher
from foodex.eta.columns import Floats
from foodex.eta.model import Encoded, Model
from foodex.eta.state import LiveState
from foodex.ports.storage import Storage
from foodex.services.ml.inputs import Written, untaught
from foodex.services.ml.orders import Order, Rules
from foodex.services.ml.policies import Policies
from foodex.services.ml.repository import Artefacts
from foodex.services.ml.scoring import extras_of

log = structlog.get_logger("foodex.ml")

SLICE_ORDERS: Final = 16
"""Orders learned between two turns of the event loop: about two milliseconds."""
SLICE_FORECASTS: Final = 64
"""Orders encoded or decoded between two turns of the event loop: about two milliseconds."""
IN_THREAD_ABOVE: Final = 64
"""Rows above which the model's call leaves the event loop."""

_OUTCOME: Final = ("order_id", "placed_at", "delivered_at", "delivery_minutes")


class Serving:
    """Answers from one version. Its state is touched on the event loop's thread alone."""

    def __init__(
        self, artefacts: Artefacts, model: Model, state: LiveState, loaded_at: datetime
    ) -> None:
        self.loaded_at = loaded_at
        self.model, self.version, self.dataset = (
            artefacts.model,
            artefacts.version,
            artefacts.dataset,
        )
        self.extras = extras_of(model)
        self.rules = Rules(self.extras)
        self._model = model
        self._batcher = Batcher(model)
        self._written = Written()
        self._state = state

    @property
    def loaded(self) -> Model:
        """The model itself."""
        return self._model

    def warm(self, now: datetime) -> None:
        """Answer once, so that whatever is prepared at the first call is prepared."""
        self._model.forecast({}, self._model.start_state(), now=now)
        self._model.predictor.predict(self._model.parts.reference[None, :])

    def forecast(
        self, order: Order, now: datetime, policies: Policies, *, explain: bool = False
    ) -> Forecast:
        """The forecast and the promise of one checked order; the ladder where the model fails."""
        try:
            encoded = self._model.encode_order(order, self._state, now)
        except InvalidInput:
            raise
        except Exception:
            log.exception("cannot encode", model=self.model, version=self.version)
            return self._untaught(order, policies).forecast
        raw = self._predict(encoded.rows) if encoded.usable else None
        explanation = self._explain(encoded) if explain and raw is not None else None
        told = self._model.decode(encoded, raw)
        return self._named(told, order, policies, explanation)

    async def answers(
        self, orders: Sequence[Order], explain: Sequence[bool], now: datetime, policies: Policies
    ) -> list[Answered | InvalidInput]:
        """As `forecast` for each of a few checked orders at once, with what each was made from."""
        try:
            batch, errors = self._batcher.encode(orders, self._state, now)
        except Exception:
            log.exception("cannot encode", model=self.model, version=self.version)
            return [self._untaught(order, policies) for order in orders]
        raw = self._predict_batch(batch)
        told: list[Answered | InvalidInput | None] = [errors.get(p) for p in range(len(orders))]
        sources = self._batcher.quantiles(batch, raw)
        for row, (place, (source, quantiles)) in enumerate(zip(batch.places, sources, strict=True)):
            policy = policies.of_city(orders[place].get("city"))
            explanation = None
            if explain[place] and source is Source.MODEL:
                explanation = self._explain(batch.encoded(row))
                # Each costs as much as many forecasts.
                await asyncio.sleep(0)
            missing = batch.missing[row]
            forecast = Forecast(
                quantiles_minutes=quantiles,
                source=source,
                degraded=source is not Source.MODEL or bool(missing),
                model=self.model,
                version=self.version,
                promise=policy.promise(quantiles),
                explanation=explanation,
                missing=missing,
                input_ages_seconds=batch.ages_seconds[row],
            )
            inputs = self._written.inputs(
                batch, row, source, policy, explain=explanation is not None
            )
            told[place] = Answered(
                forecast=forecast, features=batch.rows[row].tobytes(), inputs=inputs
            )
        return [one for one in told if one is not None]

    async def forecast_many(
        self, orders: Sequence[Order], now: datetime, policies: Policies
    ) -> tuple[Forecast, ...]:
        """As `forecast` for each, with one call of the model, and without holding up others."""
        batches: list[Batch] = []
        for start in range(0, len(orders), SLICE_FORECASTS):
            some = orders[start : start + SLICE_FORECASTS]
            batch, errors = self._batcher.encode(some, self._state, now)
            for error in errors.values():
                raise error
            batches.append(batch)
            await asyncio.sleep(0)
        if len(orders) > IN_THREAD_ABOVE:
            raws = await asyncio.to_thread(lambda: [self._predict_batch(one) for one in batches])
        else:
            raws = [self._predict_batch(one) for one in batches]
        told: list[Forecast] = []
        for batch, raw in zip(batches, raws, strict=True):
            for one in self._batcher.decode(batch, raw):
                told.append(self._named(one, orders[len(told)], policies, None))
            await asyncio.sleep(0)
        return tuple(told)

    async def observe(self, deliveries: Sequence[Order]) -> None:
        """Learn from delivered orders at once; those known already change nothing."""
        for start in range(0, len(deliveries), SLICE_ORDERS):
            self._model.observe(self._state, deliveries[start : start + SLICE_ORDERS])
            await asyncio.sleep(0)

    def _predict(self, rows: Floats) -> Floats | None:
        try:
            return self._model.predictor.predict(rows)
        except Exception:
            # Whatever a runtime raises, the order still gets its answer from the ladder.
            log.exception("the model does not run", model=self.model, version=self.version)
            return None

    def _predict_batch(self, batch: Batch) -> Floats | None:
        try:
            return self._batcher.predict(batch)
        except Exception:
            log.exception("the model does not run", model=self.model, version=self.version)
            return None

    def _untaught(self, order: Order, policies: Policies) -> Answered:
        return untaught_answer(order, policies, self._written, self.model, self.version)

    def _explain(self, encoded: Encoded) -> Explanation | None:
        try:
            return self._model.explain(encoded)
        except Exception:
            log.exception("cannot explain", model=self.model, version=self.version)
            return None

    def _named(
        self, told: Forecast, order: Order, policies: Policies, explanation: Explanation | None
    ) -> Forecast:
        return replace(
            told,
            model=self.model,
            version=self.version,
            promise=policies.of_city(order.get("city")).promise(told.quantiles_minutes),
            explanation=explanation,
        )


def untaught_answer(
    order: Order,
    policies: Policies,
    written: Written,
    model: str | None = None,
    version: int | None = None,
) -> Answered:
    """The answer where there is no model to ask, and what it was made from."""
    km, policy = order.get("distance_km"), policies.of_city(order.get("city"))
    return Answered(
        forecast=untaught(km, policy, model, version),
        features=None,
        inputs=written.untaught(km, policy),
    )


async def load_serving(
    artefacts: Artefacts, folder: Path, storage: Storage, *, history_days: int, now: datetime
) -> Serving:
    """Load a version from its folder, with what happened lately in its data set, and warm it.

    Raises:
        FoodexError: the files are no model, or the storage cannot tell what happened lately.
    """
    model = await asyncio.to_thread(Model.load, folder)
    recent = await _recent(model, artefacts.dataset, storage, history_days)
    if recent is None:
        state = model.start_state()
    else:
        state = await asyncio.to_thread(model.state_of, recent)
    serving = Serving(artefacts, model, state, now)
    await asyncio.to_thread(serving.warm, now)
    return serving


async def _recent(
    model: Model, name: str, storage: Storage, history_days: int
) -> pl.DataFrame | None:
    """The last days of the data set in memory; None where history needs none, or there are none."""
    batches = [batch async for batch in recent_batches(model, name, storage, history_days)]
    if not batches:
        return None
    table = await asyncio.to_thread(pa.Table.from_batches, batches)
    frame: Any = await asyncio.to_thread(pl.from_arrow, table)
    assert isinstance(frame, pl.DataFrame)
    return frame


async def recent_batches(
    model: Model, name: str, storage: Storage, history_days: int
) -> AsyncIterator[pa.RecordBatch]:
    """The last days of the data set, as far as history needs them."""
    if not model.encoder.keys:
        return
    try:
        dataset = await storage.dataset(name)
    except NotFound:
        log.warning("the data set of a model is gone; it starts without history", dataset=name)
        return
    if dataset.last_at is None:
        return
    wanted = {*model.encoder.inputs, *_OUTCOME}
    columns = [column.name for column in dataset.columns if column.name in wanted]
    # Counted from the newest order, not from today: an old export has its history too.
    start = dataset.last_at - timedelta(days=history_days)
    since = Condition(field="placed_at", comparison=Comparison.GE, value=start)
    async for batch in storage.scan(name, columns=columns, where=[since]):
        yield batch
