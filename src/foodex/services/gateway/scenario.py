"""What a scenario is made of, and how it becomes a kind of background job."""

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from foodex.core.access import Role
from foodex.core.clock import Clock
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.core.settings import Settings
from foodex.domain.jobs import Job
from foodex.domain.ledger import Price
from foodex.domain.scenarios import Outcome, ScenarioDescription
from foodex.ports.accounts import Accounts
from foodex.ports.collector import Collector
from foodex.ports.jobs import STAFF, JobContext, Kind
from foodex.ports.ml import Ml
from foodex.ports.storage import Storage
from foodex.services.gateway.kinds.following import stop_in_ml

PREFIX: Final = "scenario-"
"""How the kinds of job are called that run scenarios."""
MOST_PARTS: Final = 8
"""Most trainings or evaluations of one run that are told apart by number, from 1."""
Choices = Literal["datasets", "models", "versions", "sources", "mappings", "fields"]
"""What a parameter may name: `versions` are model or model:version, `fields` are those of the
delivery record."""


def sent_to(path: str, answer: str) -> dict[str, Any]:
    """What a parameter's schema says of a file that is sent first: where to, and which field of the
    answer is then the parameter's value."""
    return {"x-upload": {"path": path, "answer": answer}}


def one_of(what: Choices, *, or_new: bool = False) -> dict[str, Any]:
    """What a parameter's schema says of a value that names one of these, or else a new one."""
    return {"x-choices": what, "x-new": or_new}


class Parameters(BaseModel):
    """What a scenario takes; every field has a description, and a default where one makes sense."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What scenarios stand on; `kinds` are the other kinds of background job, by name."""

    ml: Ml
    collector: Collector
    storage: Storage
    accounts: Accounts
    clock: Clock
    settings: Settings
    kinds: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context(Generic[P]):
    """A run as the scenario sees it: its job, its parameters, and what it stands on."""

    job: JobContext
    parameters: P
    ports: Ports


Quote = Callable[[Ports, P], Awaitable[Price | None]]
"""The price of a run as a job, if it has one; raises what stands against taking it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario(Generic[P]):
    """One thing that people want done.

    `run` does it: `Unavailable` is tried again, other errors of the family end it with their
    reason. What it does elsewhere must be harmless to repeat.
    """

    name: str
    title: str
    purpose: str
    parameters: type[P]
    run: Callable[[Context[P]], Awaitable[Outcome]]
    roles: frozenset[Role] = STAFF
    quote: Quote[P] | None = None
    reproducible: bool = True
    report: bool = False
    timeout_seconds: float = 3600.0

    @property
    def kind(self) -> str:
        """The kind of job that runs it."""
        return PREFIX + self.name

    def read(self, given: Mapping[str, Any]) -> P:
        """The parameters; `InvalidInput` names each that is wrong, and near names."""
        try:
            return self.parameters.model_validate(given)
        except ValidationError as error:
            problems = [self._problem(fault) for fault in error.errors()]
        raise InvalidInput(f"'{self.title}' cannot be run so", problems=problems)

    def describe(self) -> ScenarioDescription:
        """The scenario as those see it who may run it."""
        return ScenarioDescription(
            name=self.name,
            title=self.title,
            purpose=self.purpose,
            roles=tuple(sorted(self.roles)),
            parameters=self.parameters.model_json_schema(),
            reproducible=self.reproducible,
            report=self.report,
        )

    def as_kind(self, ports: Ports) -> Kind:
        """The kind of background job that runs this scenario over these ports."""
        quote = self.quote

        def check(given: Mapping[str, Any]) -> Mapping[str, Any]:
            return self.read(given).model_dump(mode="json")

        async def price(given: Mapping[str, Any]) -> Price | None:
            assert quote is not None
            return await quote(ports, self.read(given))

        async def run(job: JobContext) -> Mapping[str, Any]:
            outcome = await self.run(Context(job, self.read(job.job.parameters), ports))
            told: Mapping[str, Any] = msgspec.to_builtins(outcome)
            return told

        async def stop_elsewhere(job: Job) -> None:
            for part in ("", *(f"-{number}" for number in range(1, MOST_PARTS + 1))):
                await stop_in_ml(ports.ml, f"{job.id}{part}")

        return Kind(
            name=self.kind,
            run=run,
            stop_elsewhere=stop_elsewhere,
            roles=self.roles,
            check=check,
            quote=None if quote is None else price,
            timeout_seconds=self.timeout_seconds,
        )

    def _problem(self, fault: Any) -> FieldProblem:
        place = fault["loc"]
        name = ".".join(str(part) for part in place) or "parameters"
        if fault["type"] != "extra_forbidden":
            return FieldProblem(name, _plain(fault["msg"]))
        near = difflib.get_close_matches(name, self.parameters.model_fields, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return FieldProblem(name, f"is not a parameter of this scenario{hint}")


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
