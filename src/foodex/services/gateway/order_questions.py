# ruff: noqa: S608 -- names and values in the questions are checked before, or quoted
"""Questions about the orders of a data set, whichever columns it has."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from foodex.core.errors import InvalidInput
from foodex.domain.datasets import Dataset
from foodex.domain.period_facts import Counts
from foodex.ports.storage import Storage

COUNTS: Final = """count() AS orders, countIf(late IS NOT NULL) AS judged,
 countIf(late <= 0) AS on_time, countIf(late > 10) AS late_10,
 quantileExact(0.5)(took) AS took_p50, quantileExact(0.9)(took) AS took_p90,
 quantileExact(0.5)(late) AS late_p50, quantileExact(0.9)(late) AS late_p90,
 quantileExactIf(0.5)(late, late > 0) AS late_half_minutes"""
"""The columns of `counts_of`, asked of `Questions.orders`."""

_NUMBER: Final = "CAST(NULL, 'Nullable(Float64)')"
_PLACES: Final = ("store_lat", "store_lon", "customer_lat", "customer_lon")


class Questions:
    """Asks storage about one processed data set; names in what it asks are checked or quoted."""

    def __init__(self, storage: Storage, dataset: Dataset) -> None:
        self._storage, self._dataset = storage, dataset
        self.names: Final = frozenset(column.name for column in dataset.columns)

    def orders(self, since: datetime, until: datetime) -> str:
        """`WITH o AS (...)`: the orders placed from `since` on, before `until`.

        `at`, `took` and `late` (minutes beyond what the company had said, 0 for an order on time),
        `store`, `amount`, `currency` and the coordinates; null where they are not known.
        """
        has = self.names
        took = [name for name in ("delivery_minutes",) if name in has]
        if "delivered_at" in has:
            took.append("dateDiff('millisecond', placed_at, delivered_at) / 60000")
        said = "own_estimate_minutes" if "own_estimate_minutes" in has else None
        columns = {
            "at": "placed_at",
            "took": f"coalesce({', '.join(took)})",
            "said": f"toNullable({said})" if said else _NUMBER,
            # Written out: engines differ in what the greater of a number and nothing is.
            "late": "if(isNull(took) OR isNull(said), NULL, if(took > said, took - said, 0))",
            "store": "store_id" if "store_id" in has else "NULL",
            "amount": "subtotal_minor" if "subtotal_minor" in has else "NULL",
            "currency": "currency" if "currency" in has else "NULL",
            **{name: name if name in has else _NUMBER for name in _PLACES},
        }
        chosen = ", ".join(
            name if name == source else f"{source} AS {name}" for name, source in columns.items()
        )
        return (
            f"WITH o AS (SELECT {chosen} FROM processed_{self._dataset.name} "
            f"WHERE placed_at >= {_time(since)} AND placed_at < {_time(until)})"
        )

    async def ask(self, sql: str) -> list[Mapping[str, Any]]:
        """The rows of an answer by column; InvalidInput where there are more than fit into one."""
        found = await self._storage.query(sql)
        if found.truncated:
            raise InvalidInput("The period has more parts than one answer holds; ask for less")
        names = [column.name for column in found.columns]
        return [dict(zip(names, row, strict=True)) for row in found.rows]


def counts_of(row: Mapping[str, Any]) -> Counts:
    """The counts in a row that was asked for with `COUNTS`."""
    return Counts(**{name: row[name] for name in Counts.__dataclass_fields__})


def quoted(text: str) -> str:
    """A text as it stands in a question."""
    inner = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{inner}'"


def _time(moment: datetime) -> str:
    return f"toDateTime64('{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
