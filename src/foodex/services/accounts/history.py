"""The history of paid predictions: list, look at, export, and forget bodies in time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from foodex.core.clock import Clock
from foodex.core.errors import NotFound
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.money import checked_amount
from foodex.domain.purchases import (
    EVERY_PREDICTION,
    Prediction,
    PredictionFilter,
    PredictionsPage,
)
from foodex.services.accounts import prediction_rows
from foodex.services.accounts.csv_files import csv_line

PREDICTION_COLUMNS: Final = (
    "id",
    "at",
    "operation",
    "model",
    "version",
    "price_minor",
    "currency",
    "key_id",
    "entry_number",
    "order",
    "answer",
)


class History:
    """Implements `ports.accounts.Predictions`."""

    def __init__(self, *, database: Database, settings: AccountsSettings, clock: Clock) -> None:
        self._database, self._settings, self._clock = database, settings, clock

    async def prediction(self, account: str | None, prediction_id: str) -> Prediction:
        """One prediction with its bodies; of this account only, if one is given."""
        async with self._database.connect() as connection:
            found = await prediction_rows.find(connection, prediction_id)
        # Whose it is stays untold, as does whether there is one.
        if found is None or account not in (None, found.account):
            raise NotFound("There is no such prediction")
        return found

    async def predictions(
        self,
        account: str,
        filter_: PredictionFilter = EVERY_PREDICTION,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> PredictionsPage:
        """One page of an account's predictions without their bodies, newest first."""
        limit = checked_amount(limit, "limit", most=self._settings.page_rows)
        async with self._database.connect() as connection:
            found = await prediction_rows.page(
                connection, account, filter_, before=before, limit=limit + 1
            )
        more = len(found) > limit
        return PredictionsPage(
            predictions=found[:limit], next_before=found[limit - 1].entry_number if more else None
        )

    async def predictions_csv(
        self, account: str, filter_: PredictionFilter = EVERY_PREDICTION
    ) -> AsyncIterator[bytes]:
        """An account's predictions, oldest first, as CSV."""
        yield csv_line(PREDICTION_COLUMNS)
        async with (
            self._database.connect() as connection,
            aclosing(prediction_rows.stream(connection, account, filter_)) as pages,
        ):
            async for page in pages:
                yield b"".join(csv_line(_cells(prediction)) for prediction in page)

    async def purge(self) -> int:
        """Forget bodies older than the retention; how many. Charges and entries stay."""
        until = self._clock.now() - timedelta(days=self._settings.retention_days)
        gone = 0
        while True:
            async with self._database.transaction() as connection:
                some = await prediction_rows.purge_some(connection, until)
            gone += some
            if not some:
                return gone


def _cells(prediction: Prediction) -> Sequence[object]:
    return (
        prediction.id,
        prediction.at,
        prediction.operation,
        prediction.model,
        prediction.version,
        prediction.price_minor,
        prediction.currency,
        prediction.key_id,
        prediction.entry_number,
        prediction.order,
        prediction.answer,
    )
