"""Periods that runs choose themselves."""

from datetime import UTC, datetime

from foodex.domain.datasets import Dataset, Layer
from foodex.services.gateway.scenario_steps import span_of, trimmed

FIRST, LAST = datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 4, 20, tzinfo=UTC)
DATASET = Dataset(
    name="orders",
    layer=Layer.PROCESSED,
    columns=(),
    rows=10,
    description="",
    time_zone="UTC",
    created_at=FIRST,
    changed_at=FIRST,
    first_at=FIRST,
    last_at=LAST,
)


def test_a_period_longer_than_its_orders_begins_with_them() -> None:
    span = trimmed(span_of(DATASET, None, None, 7), DATASET)
    assert span.since > FIRST
    assert (span.since - FIRST).total_seconds() < 1
    assert span.until == datetime(2026, 3, 5, tzinfo=UTC)


def test_a_shorter_one_stays_as_it_is() -> None:
    span = span_of(DATASET, None, None, 2)
    assert trimmed(span, DATASET) == span
