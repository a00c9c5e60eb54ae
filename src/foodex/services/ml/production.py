"""What comes into production, and out of it again."""

from dataclasses import replace

import structlog

from foodex.core.access import who
from foodex.core.clock import Clock
from foodex.core.errors import Conflict
from foodex.core.sql import Database
from foodex.domain.models import RegisteredModel, TrainingRequest, Version
from foodex.services.ml import job_rows
from foodex.services.ml import repository as rows
from foodex.services.ml.job_rows import Claim
from foodex.services.ml.jobs import JobGone
from foodex.services.ml.served import Served

log = structlog.get_logger("foodex.ml")

_RESULT_FIELDS = ("metrics", "baselines", "rows", "held_out_rows", "period", "seconds", "notes")
"""What of a version's summary the result of its training repeats."""


class Production:
    """Registers versions and changes which of them answer: loaded first, written, then swapped."""

    def __init__(self, database: Database, served: Served, clock: Clock) -> None:
        self._database, self._served, self._clock = database, served, clock

    async def promote(self, name: str, version: int) -> RegisteredModel:
        """Put a version into production; `NotFound` if there is none."""
        async with self._served.changing():
            return await self._change(name, version, rows.PROMOTE)

    async def rollback(self, name: str) -> RegisteredModel:
        """Put back the version before this one; `Conflict` if there is none."""
        async with self._served.changing():
            async with self._database.connect() as connection:
                model = await rows.get_model(connection, name)
                version = await rows.before_production(connection, model)
            if version is None:
                raise Conflict(f"No earlier version of '{name}' has been in production")
            return await self._change(name, version, rows.ROLLBACK)

    async def _change(self, name: str, version: int, action: str) -> RegisteredModel:
        serving = await self._served.load(name, version)
        async with self._database.transaction() as connection:
            model = await rows.lock_model(connection, name)
            # It may have been removed while it was loading.
            await rows.get_artefacts(connection, name, version)
            if model.production != version:
                await rows.set_production(
                    connection, model, version, action=action, at=self._clock.now(), who=who()
                )
        self._served.take_over(serving)
        log.info("in production", model=name, version=version, action=action)
        return replace(model, production=version)

    async def retire(self, name: str) -> RegisteredModel:
        """Take a model out of production; `Conflict` if it is not in production."""
        async with self._served.changing():
            async with self._database.transaction() as connection:
                model = await rows.lock_model(connection, name)
                in_production(model)
                await rows.set_production(
                    connection, model, None, action=rows.RETIRE, at=self._clock.now(), who=who()
                )
            self._served.drop(name)
        await self._served.follow()
        return replace(model, production=None)

    async def set_aside(self, claim: Claim, model: str) -> int:
        """The number for the job's version, the same one if the job had to begin again."""
        async with self._database.transaction() as connection:
            number = await job_rows.reserved_version(connection, claim.job.id)
            if number is None:
                await rows.add_model(connection, model, "", self._clock.now())
                number = await rows.next_version(connection, model)
                if not await job_rows.set_version(connection, claim.job.id, claim.owner, number):
                    raise JobGone
        return number

    async def register(
        self,
        claim: Claim,
        request: TrainingRequest,
        version: Version,
        files: tuple[rows.File, ...],
    ) -> None:
        """Register the version and end the job in one transaction, and promote it if due."""
        async with self._served.changing():
            serving = None
            if request.promote or await self._is_first(version.model):
                serving = await self._served.load_new(
                    rows.Artefacts(
                        model=version.model,
                        version=version.version,
                        dataset=version.dataset,
                        files=files,
                    )
                )
            now = self._clock.now()
            result = {
                "model": version.model,
                "version": version.version,
                "in_production": serving is not None,
                **{n: version.summary[n] for n in _RESULT_FIELDS if n in version.summary},
            }
            async with self._database.transaction() as connection:
                if not await job_rows.finish(connection, claim.job.id, claim.owner, now, result):
                    raise JobGone
                await rows.add_model(connection, version.model, "", now)
                model = await rows.lock_model(connection, version.model)
                await rows.add_version(connection, version, files)
                if serving is not None:
                    await rows.set_production(
                        connection,
                        model,
                        version.version,
                        action=rows.PROMOTE,
                        at=now,
                        who=version.who,
                    )
            if serving is not None:
                self._served.take_over(serving)

    async def _is_first(self, name: str) -> bool:
        async with self._database.connect() as connection:
            found = await rows.model_rows(connection, name)
        return not found or found[0].versions == 0


def in_production(model: RegisteredModel) -> int:
    """The version in production; `Conflict` if there is none."""
    if model.production is None:
        there = "" if model.versions else "; it has none yet, train one"
        raise Conflict(f"No version of '{model.name}' is in production{there}")
    return model.production
