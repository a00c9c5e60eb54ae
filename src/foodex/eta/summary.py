"""What is told of a trained model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """How a model was made and how good it was on the newest part of its own training orders.

    `metrics` and `baselines` are of the held-out tail (rows the model had not been fitted on
    then), and so are `errors`, as `errors_by_minutes` tells them, of the model and of what the
    company itself had said, where it had; `features` and `importance` (share of the gain, sums to
    1) go together; times are zone-aware UTC; `data_hash` is of the rows fitted, `seconds` by stage.
    """

    algorithm: str
    features: tuple[str, ...]
    factors: tuple[str, ...]
    importance: Mapping[str, float]
    rows: int
    held_out_rows: int
    period: tuple[datetime, datetime] | None
    metrics: Mapping[str, Any]
    baselines: Mapping[str, Mapping[str, Any]]
    data_hash: str
    seconds: Mapping[str, float]
    options: Mapping[str, Any]
    time_zone: str
    trees: int = 0
    notes: tuple[str, ...] = field(default=())
    errors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times as ISO 8601."""
        found = asdict(self)
        if self.period is not None:
            found["period"] = [moment.isoformat() for moment in self.period]
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Back from JSON values."""
        found = dict(value)
        for name in ("features", "factors", "notes"):
            found[name] = tuple(found[name])
        if found["period"] is not None:
            first, last = (datetime.fromisoformat(moment) for moment in found["period"])
            found["period"] = (first, last)
        return cls(**found)
