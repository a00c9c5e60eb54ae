"""A version answering away from its service: loaded from a kit, in a process of its own.

Imported by processes that do nothing else, so it stands on the science alone.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.promises import PromisePolicy
from foodex.eta.asking import SOURCES, Asking
from foodex.eta.model import ONNX_FILE, QUANTILE_COLUMNS, Model
from foodex.eta.promising import promises_of
from foodex.eta.runtime import OnnxPredictor

KIT_FILE: Final = "kit.json"
RECENT_FILE: Final = "recent.arrow"


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """What a kit says of itself; beside it are the version's files and maybe its history."""

    model: str
    version: int
    now: datetime
    policy: PromisePolicy
    zones: dict[str, PromisePolicy]


def extras_of(model: Model) -> Mapping[str, Kind]:
    """The columns beyond the delivery record that a model has learned to read."""
    found = dict.fromkeys(model.encoder.extras, Kind.NUMBER)
    found |= {name: Kind.CATEGORY for name in model.encoder.categories if name not in FIELD}
    return found


class KitScoring:
    """Implements `ports.orders.Scoring` from an unpacked kit."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Raises `NotFound` or `InvalidInput` for a folder that is no kit."""
        self._kit = msgspec.json.decode((folder / KIT_FILE).read_bytes(), type=Kit)
        predictor = OnnxPredictor((folder / ONNX_FILE).read_bytes(), threads)
        self._model = Model.load(folder, predictor)
        recent = folder / RECENT_FILE
        state = (
            self._model.state_of(pl.read_ipc_stream(recent))
            if recent.exists()
            else self._model.start_state()
        )
        self._asking = Asking(self._model, state)
        self.model, self.version, self.now = self._kit.model, self._kit.version, self._kit.now
        self.extras = extras_of(self._model)

    def score(self, orders: pl.DataFrame) -> pl.DataFrame:
        """Forecasts and promises in the order of the rows."""
        answered = self._asking.answer(orders, self.now)
        columns = {
            name: np.ascontiguousarray(answered.quantiles[:, index])
            for index, name in enumerate(QUANTILE_COLUMNS)
        }
        minutes, earliest = promises_of(self._kit.policy, answered.quantiles)
        if self._kit.zones and "city" in orders.columns:
            cities = orders["city"]
            for zone, policy in self._kit.zones.items():
                there = np.flatnonzero((cities == zone).fill_null(value=False).to_numpy())
                minutes[there], earliest[there] = promises_of(policy, answered.quantiles[there])
        names = pl.Series([source.value for source in SOURCES])
        return pl.DataFrame(columns).with_columns(
            promise_minutes=pl.Series(minutes),
            earliest_minutes=pl.Series(earliest),
            source=names.gather(answered.sources),
        )


def load_kit(folder: Path, threads: int) -> KitScoring:
    """What answers from a kit's folder, each call with up to so many threads."""
    return KitScoring(folder, threads)
