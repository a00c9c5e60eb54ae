"""Sources, and the loads that bring their rows in."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class SourceKind(StrEnum):
    """Where a source's rows are."""

    FILE = "file"
    FOLDER = "folder"
    HTTP = "http"
    UPLOAD = "upload"
    """A file that was sent over the API and is kept as an object."""


class Format(StrEnum):
    """How a source's rows are written; `auto` looks at the content, not at the name."""

    AUTO = "auto"
    CSV = "csv"
    PARQUET = "parquet"
    NDJSON = "ndjson"


class LoadState(StrEnum):
    """`duplicate`: the same content is in the data set already, nothing was added."""

    RUNNING = "running"
    DONE = "done"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows come from.

    `location` is a path, a folder, a URL or an object key. An HTTP source's paging is described in
    `paging` (kind, parameter names, page size, where the rows and the next cursor are in the
    answer); `headers` may hold secrets and are masked when shown.
    """

    name: str
    kind: SourceKind
    location: str
    format: Format = Format.AUTO
    mapping: str | None = None
    dataset: str | None = None
    paging: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBatch:
    """The next rows of a source, as they came; `next_cursor` is None at the end."""

    rows: tuple[Mapping[str, Any], ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A row that was not taken: where it stood, which rule refused it and why."""

    row: int
    rule: str
    field: str
    reason: str
    values: Mapping[str, str | None] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of bringing a source's rows into a data set.

    `rows_read == rows_kept + rows_rejected` always; `rejected_by_rule` adds up to
    `rows_rejected`; `progress` is a share from 0 to 1. `repaired` counts, by `rule:field`, values
    of kept rows that could not be and were taken for missing. `error_type` is the `type` of the
    error that ended it, e.g. `invalid-input`, or `internal` for a fault of ours.
    """

    id: int
    source: str
    location: str
    dataset: str
    mapping: str
    state: LoadState
    progress: float
    rows_read: int
    rows_kept: int
    rows_rejected: int
    rejected_by_rule: Mapping[str, int]
    content_hash: str | None
    started_at: datetime
    finished_at: datetime | None
    duration_seconds: float | None
    who: str
    error: str | None = None
    error_type: str | None = None
    repaired: Mapping[str, int] = dataclasses.field(default_factory=dict)
