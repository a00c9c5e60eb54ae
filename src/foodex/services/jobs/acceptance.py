"""Takes jobs on: the row first, then the money, then the message."""

import difflib
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from foodex.core.access import Role, check_roles, current_principal, who
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, FieldProblem, FoodexError, InvalidInput, Unavailable
from foodex.core.settings import JobsSettings
from foodex.core.sql import Database
from foodex.domain.jobs import NORMAL, Job, JobQuote, JobRequest, JobState
from foodex.domain.ledger import Price
from foodex.ports.accounts import Ledger
from foodex.ports.jobs import STAFF, Kind
from foodex.services.jobs import intake_rows, job_rows
from foodex.services.jobs.intake import Intake
from foodex.services.jobs.intake_rows import New
from foodex.services.jobs.job_rows import Row, Settlement
from foodex.services.jobs.publishing import Publisher
from foodex.services.jobs.settling import Settler

log = structlog.get_logger("foodex.jobs")


class Acceptance:
    """Writes jobs down and sets their price aside.

    The ledger is another service, so both cannot be one transaction. The row comes first, as
    `reserving`: nobody begins it and nobody sees it. Then the price is set aside under the row's
    id, which is harmless to repeat, and only then the job waits. Wherever this is cut off, the
    row tells a sweep of it, which gives the money back.
    """

    def __init__(
        self,
        *,
        database: Database,
        publisher: Publisher,
        settler: Settler,
        ledger: Ledger | None,
        kinds: Mapping[str, Kind],
        settings: JobsSettings,
        clock: Clock,
    ) -> None:
        self._database, self._publisher, self._settler = database, publisher, settler
        self._ledger, self._kinds = ledger, kinds
        self._settings, self._clock = settings, clock
        self._intake = Intake(database, clock)

    async def accept(self, request: JobRequest) -> Job:
        """Take a job on; under a key used before, the one that there is."""
        kind = self._kind(request.kind)
        check_roles(kind.roles)
        parameters = self._checked(kind, request)
        price = await self._price(kind, parameters)
        job = self._job(kind, request, parameters, price)
        key = intake_rows.key_digest(job.who, request.key) if request.key is not None else None
        settlement = Settlement.NONE if price is None else Settlement.RESERVING
        if not await self._intake.add(New(job=job, key=key, settlement=settlement)):
            assert key is not None
            return await self._known(job, key)
        row = Row(job=job, settlement=settlement, crashes=0, replays=0, lease=0, settle_tries=0)
        if price is not None:
            row = await self._with_money(row)
        self._publisher.send(row)
        return row.job

    async def quote(self, request: JobRequest) -> JobQuote:
        """What a job would cost whoever asks; raises what stands against it."""
        kind = self._kind(request.kind)
        check_roles(kind.roles)
        parameters = self._checked(kind, request)
        if kind.quote is None:
            return JobQuote()
        price = await kind.quote(parameters)
        return JobQuote(units=None if price is None else price.quantity, price=_paid(price))

    async def replay(self, row: Row) -> Job:
        """Have a dead job tried anew."""
        job = row.job
        if job.state is not JobState.DEAD:
            raise Conflict(f"The job '{job.id}' is {job.state.value}, not dead")
        if not job.settled:
            raise Conflict(f"The job '{job.id}' is being settled; try again in a moment")
        reservation = None
        if job.price is not None:
            reservation = f"{job.id}-{row.replays + 1}"
        async with self._database.transaction() as connection:
            if not await intake_rows.replay(connection, row, reservation, self._clock.now()):
                raise Conflict(f"The job '{job.id}' is being tried anew already")
            again = await job_rows.get(connection, job.id)
        if reservation is not None:
            again = await self._with_money(again)
        self._publisher.send(again)
        return again.job

    def _kind(self, name: str) -> Kind:
        if (kind := self._kinds.get(name)) is not None:
            return kind
        near = difflib.get_close_matches(name, self._kinds, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        problem = FieldProblem("kind", f"there are no jobs of the kind '{name}'{hint}")
        raise InvalidInput("The job cannot be accepted", problems=[problem])

    def _checked(self, kind: Kind, request: JobRequest) -> dict[str, Any]:
        checked = kind.check(request.parameters) if kind.check else request.parameters
        encoded = msgspec.json.encode(checked)
        if len(encoded) > self._settings.parameter_bytes:
            why = f"are more than {self._settings.parameter_bytes} bytes"
            raise InvalidInput(
                "The job cannot be accepted", problems=[FieldProblem("parameters", why)]
            )
        plain: dict[str, Any] = msgspec.json.decode(encoded)
        return plain

    async def _price(self, kind: Kind, parameters: Mapping[str, Any]) -> Price | None:
        if kind.quote is None:
            return None
        return _paid(await kind.quote(parameters))

    def _job(
        self, kind: Kind, request: JobRequest, parameters: dict[str, Any], price: Price | None
    ) -> Job:
        now = self._clock.now()
        # Sorts by time, so that jobs can be paged through by their ids.
        job_id = f"{int(now.timestamp() * 1000):011x}{secrets.token_hex(6)}"
        principal = current_principal()
        priority = request.priority
        if not principal.roles & STAFF:
            # Only the house may jump its own queue.
            priority = min(priority, NORMAL)
        return Job(
            id=job_id,
            kind=kind.name,
            parameters=parameters,
            state=JobState.WAITING,
            priority=priority,
            attempts=0,
            max_attempts=request.max_attempts or kind.max_attempts,
            timeout_seconds=min(request.timeout_seconds or float("inf"), kind.timeout_seconds),
            progress=0.0,
            message="waiting",
            who=who(),
            account=principal.account,
            price=price,
            reservation=None if price is None else job_id,
            settled=price is None,
            created_at=now,
            due_at=now,
        )

    async def _known(self, wanted: Job, key: str) -> Job:
        async with self._database.connect() as connection:
            row = await job_rows.by_key(connection, key)
        if row is None:
            raise Unavailable("The job of this key has just been given up; try again")
        if (row.job.kind, dict(row.job.parameters)) != (wanted.kind, dict(wanted.parameters)):
            raise Conflict("The key was used for another job")
        if row.settlement is Settlement.RESERVING:
            # The first request broke off here, or is just ahead.
            row = await self._with_money(row)
            self._publisher.send(row)
        return row.job

    async def _with_money(self, row: Row) -> Row:
        job, ledger = row.job, self._ledger
        assert job.price is not None
        assert job.account is not None
        assert job.reservation is not None
        try:
            if ledger is None:
                raise Conflict("There is no ledger here that could set the price aside")
            await ledger.reserve(job.account, job.price, reference=job.reservation)
        except Unavailable:
            # It may be set aside or not: a sweep finds out.
            raise
        except FoodexError:
            async with self._database.transaction() as connection:
                if job.state is JobState.DEAD:
                    await intake_rows.unreplay(connection, job.id, job.reservation)
                else:
                    await intake_rows.forget(connection, job.id)
            raise
        active = await self._intake.activate(job.reservation)
        if active is not None:
            return active
        async with self._database.connect() as connection:
            found = await job_rows.find(connection, job.id)
        if found is None or _was_given_up(found):
            await self._settler.release(job.reservation)
            raise Unavailable("Setting the price aside took too long; try again")
        return found


def _paid(price: Price | None) -> Price | None:
    """What of a price whoever acts pays."""
    principal = current_principal()
    if principal.account is None or Role.CLIENT not in principal.roles:
        # Of the house.
        return None
    return price if price is not None and price.amount_minor > 0 else None


def _was_given_up(row: Row) -> bool:
    # Else another request of the same key was faster.
    return row.job.state is JobState.DEAD or (
        row.job.state is JobState.FAILED and row.job.attempts == 0
    )
