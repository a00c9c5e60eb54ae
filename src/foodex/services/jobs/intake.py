"""Writes accepted jobs down; those that wait at the same time share a commit."""

from collections.abc import Sequence

import sqlalchemy as sa
import structlog

from foodex.core.clock import Clock
from foodex.core.errors import FoodexError
from foodex.core.gathering import Gathering
from foodex.core.sql import Database
from foodex.services.jobs import intake_rows
from foodex.services.jobs.intake_rows import New
from foodex.services.jobs.job_rows import Row

log = structlog.get_logger("foodex.jobs")


class Intake:
    """Adds rows and lets them wait, many at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._adding: Gathering[New, bool] = Gathering(self._add, most=128)
        self._activating: Gathering[str, Row | None] = Gathering(self._activate, most=128)

    async def add(self, new: New) -> bool:
        """Write a job down, durably; False if there is one of its key."""
        return await self._adding.ask(new)

    async def activate(self, reservation: str) -> Row | None:
        """Let a job wait whose price is set aside; None if it did not wait for that any more."""
        return await self._activating.ask(reservation)

    async def _add(self, new: Sequence[New]) -> Sequence[bool | FoodexError]:
        try:
            async with self._database.transaction() as connection:
                added = await intake_rows.add(connection, new)
        except sa.exc.DBAPIError:
            if len(new) == 1:
                raise
            # What one of them has that the database does not take is not the others' fault.
            log.warning("jobs are written one by one", jobs=len(new))
            answers: list[bool | FoodexError] = []
            for one in new:
                try:
                    answers += await self._add([one])
                except FoodexError as error:
                    answers.append(error)
            return answers
        return [one.job.id in added for one in new]

    async def _activate(self, reservations: Sequence[str]) -> Sequence[Row | None]:
        async with self._database.transaction() as connection:
            active = await intake_rows.activate(connection, reservations, self._clock.now())
        return [active.get(reservation) for reservation in reservations]
