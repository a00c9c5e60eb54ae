"""Brings the money of jobs where it belongs: charged for what succeeded, the rest given back."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from foodex.core.access import SYSTEM, Principal, acting_as
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FoodexError, NotFound, PaymentRequired
from foodex.core.sql import Database
from foodex.ports.accounts import Ledger
from foodex.services.jobs import sweep_rows
from foodex.services.jobs.job_rows import Row, Settlement

log = structlog.get_logger("foodex.jobs")

_CHARGE: Final = "done"
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 600.0


class Settler:
    """Settles jobs that have ended; each step is harmless to repeat."""

    def __init__(self, database: Database, ledger: Ledger | None, clock: Clock) -> None:
        self._database, self._ledger, self._clock = database, ledger, clock

    async def settle(self, row: Row) -> None:
        """Settle a job that needs it, or note that it is to be tried again."""
        if row.settlement not in (Settlement.DUE, Settlement.ABANDONED):
            return
        try:
            with acting_as(Principal(row.job.who, SYSTEM.roles)):
                await self._move(row)
            async with self._database.transaction() as connection:
                await sweep_rows.settled(connection, row)
        except FoodexError as error:
            log.warning("job cannot be settled yet", job=row.job.id, error=str(error))
            await self._later(row)

    async def release(self, reservation: str) -> None:
        """Give back a reservation, if there is one."""
        if self._ledger is not None:
            try:
                await self._ledger.release(reservation)
            except NotFound:
                return

    async def _move(self, row: Row) -> None:
        job, ledger = row.job, self._ledger
        if ledger is None:
            raise Conflict("There is no ledger here to settle with")
        assert job.reservation is not None
        assert job.price is not None
        if row.settlement is Settlement.ABANDONED:
            assert job.account is not None
            # Whoever broke off may still be about to set the money aside. Done here first and
            # given back, it is theirs no more.
            try:
                await ledger.reserve(job.account, job.price, reference=job.reservation)
            except PaymentRequired:
                return
        elif job.units_done > 0:
            price = replace(job.price, quantity=min(job.units_done, job.price.quantity))
            await ledger.charge_reserved(job.reservation, price, reference=_CHARGE)
        await ledger.release(job.reservation)

    async def _later(self, row: Row) -> None:
        pause = min(_FIRST_PAUSE_SECONDS * 2**row.settle_tries, _LONGEST_PAUSE_SECONDS)
        try:
            async with self._database.transaction() as connection:
                at = self._clock.now() + timedelta(seconds=pause)
                await sweep_rows.settle_later(connection, row, at)
        except FoodexError as error:
            log.warning("database is out of reach", error=error.message)
