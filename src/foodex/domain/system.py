"""The state of a whole system: its services, what they stand on, its queue and its models."""

from dataclasses import dataclass
from datetime import datetime

from foodex.domain.jobs import JobCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """A service as the gateway sees it.

    `place` is `here` for one in the gateway's own process, or else its address. `says` is why it
    is not healthy. `milliseconds` is how long it took over a small question, None without answer.
    """

    name: str
    place: str
    healthy: bool
    says: str
    milliseconds: float | None
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterState:
    """What stands behind a seam: the kind, and its address without secrets.

    `healthy` is None where this process does not use it itself.
    """

    seam: str
    kind: str
    url: str
    healthy: bool | None
    says: str
    milliseconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInProduction:
    """A model that answers; the `default` one where none is named."""

    model: str
    version: int
    algorithm: str
    dataset: str
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """All of it at one moment; `jobs` and `models` are None where they could not be asked."""

    version: str
    stage: str
    at: datetime
    started_at: datetime
    healthy: bool
    services: tuple[ServiceState, ...]
    adapters: tuple[AdapterState, ...]
    jobs: JobCounts | None
    models: tuple[ModelInProduction, ...] | None
