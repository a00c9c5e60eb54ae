"""Forecasts made again from what was recorded of them."""

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Final

import numpy as np

from foodex.domain.forecasts import Forecast, Record
from foodex.domain.promises import PromisePolicy
from foodex.eta.model import Encoded, Model
from foodex.services.ml.inputs import Read, read, unfit, untaught
from foodex.services.ml.served import Served

KEPT: Final = 3
"""Models no longer in production that stay loaded between reproductions."""


class Reproduction:
    """Makes forecasts again from their records, with models in production or loaded for it."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._loaded: OrderedDict[tuple[str, int], Model] = OrderedDict()
        self._lock = asyncio.Lock()

    async def reproduce(self, record: Record) -> Forecast:
        """The forecast again; `NotFound` without its version, `InvalidInput` if it does not fit."""
        inputs, policy = read(record.inputs)
        if inputs.untaught:
            km = inputs.grounds.distance_km if inputs.grounds else None
            return untaught(km, policy, record.model, record.version)
        if record.model is None or record.version is None or record.features is None:
            raise unfit("features", "or model or version are missing")
        model = await self._model(record.model, record.version)
        encoded = _encoded(record.features, inputs, model)
        return await asyncio.to_thread(_made, model, encoded, inputs, policy, record)

    async def _model(self, name: str, version: int) -> Model:
        serving = self._served.get(name)
        if serving is not None and serving.version == version:
            return serving.loaded
        async with self._lock:
            model = self._loaded.pop((name, version), None)
            if model is None:
                model = await self._served.load_model(name, version)
            self._loaded[name, version] = model
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
        return model


def _made(
    model: Model, encoded: Encoded, inputs: Read, policy: PromisePolicy, record: Record
) -> Forecast:
    raw = model.predictor.predict(encoded.rows) if encoded.usable else None
    told = model.decode(encoded, raw)
    return replace(
        told,
        model=record.model,
        version=record.version,
        promise=policy.promise(told.quantiles_minutes),
        explanation=model.explain(encoded) if inputs.explain and encoded.usable else None,
    )


def _encoded(features: bytes, inputs: Read, model: Model) -> Encoded:
    width = len(model.encoder.names)
    if len(features) != width * 8:
        raise unfit("features", f"are {len(features)} bytes, not {width} numbers of 8")
    shift = np.array(inputs.shift)
    if shift.shape != model.calibration.reference.shape[1:]:
        raise unfit("inputs", "have a shift of another length than the model's quantiles")
    grounds = inputs.grounds
    return Encoded(
        np.frombuffer(features, dtype="<f8").reshape(1, width).astype(np.float64),
        shift,
        inputs.missing,
        inputs.ages_seconds,
        grounds is None,
        grounds.hour if grounds else None,
        grounds.distance_km if grounds else None,
        grounds.store if grounds else None,
        grounds.drift_minutes if grounds else 0.0,
    )
