"""The state of the whole system, with parts that are away, slow or elsewhere."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

import foodex
from foodex.core.access import SYSTEM, Principal, Role, acting_as, current_principal
from foodex.core.clock import SystemClock
from foodex.core.errors import Unavailable
from foodex.core.settings import load_settings
from foodex.domain.jobs import JobCounts
from foodex.domain.system import SystemStatus
from foodex.services.gateway.system_state import GatewaySystemState

OLGA = Principal("olga", frozenset({Role.OPERATOR}))
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Away:
    """Whatever it is asked: it does not answer, at once or ever."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any, **__: Any) -> None:
            if self._silent:
                await asyncio.Event().wait()
            raise Unavailable("It is away")

        return answer


class There:
    """Answers everything with nothing, and remembers who asked."""

    def __init__(self) -> None:
        self.asked_by: set[Principal] = set()

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: Any, **__: Any) -> tuple[()]:
            self.asked_by.add(current_principal())
            return ()

        return answer


class Models(There):
    """Two models in production, `b` promoted last, and one that is not."""

    async def models(self) -> tuple[Any, ...]:
        return tuple(
            SimpleNamespace(name=name, production=production)
            for name, production in (("a", 3), ("b", 1), ("c", None))
        )

    async def version(self, name: str) -> Any:
        number = {"a": 3, "b": 1}[name]
        return SimpleNamespace(model=name, version=number, algorithm="x", dataset="orders")

    async def production_log(self) -> tuple[Any, ...]:
        return (
            SimpleNamespace(model="c", version=None),
            SimpleNamespace(model="b", version=1),
            SimpleNamespace(model="a", version=3),
        )


class Counts(There):
    async def job_counts(self) -> JobCounts:
        return JobCounts(waiting=2, running=1, dead=0, queued=2)


async def well() -> None:
    return None


async def status(
    tmp_path: Path, parts: Mapping[str, Any] | None = None, **more: Any
) -> SystemStatus:
    overrides = {
        "state_dir": str(tmp_path),
        "http": {"check_seconds": 0.05},
        "ml": {"url": "http://ml.internal:9000"},
        "queue": {"url": "amqp://foodex:s3cret@rabbit:5672/"},
    }
    ports: dict[str, Any] = {
        "storage": There(),
        "collector": There(),
        "ml": Models(),
        "accounts": There(),
        "jobs": Counts(),
    }
    state = GatewaySystemState(
        **(ports | dict(parts or {})),
        checks=more.pop("checks", {"database": well}),
        versions=more.pop("versions", {}),
        settings=load_settings(overrides=overrides | more),
        clock=SystemClock(),
    )
    with acting_as(OLGA):
        return await state.status()


async def test_all_is_well(tmp_path: Path) -> None:
    accounts = There()
    found = await status(tmp_path, {"accounts": accounts})
    assert found.healthy
    assert [one.name for one in found.services] == [
        "storage",
        "collector",
        "ml",
        "accounts",
        "jobs",
    ]
    assert {(one.place, one.says, one.version) for one in found.services} == {
        ("here", "ok", foodex.__version__)
    }
    assert all(one.milliseconds is not None for one in found.services)
    assert found.jobs == JobCounts(waiting=2, running=1, dead=0, queued=2)
    assert found.models is not None
    assert [(one.model, one.version, one.default) for one in found.models] == [
        ("a", 3, False),
        ("b", 1, True),
    ]
    # An operator may not list balances; the state asks for itself.
    assert accounts.asked_by == {SYSTEM}


async def test_what_is_away_or_silent_is_told_of_and_nothing_else_suffers(tmp_path: Path) -> None:
    found = await status(tmp_path, {"storage": Away(), "ml": Away(silent=True), "jobs": Away()})
    assert not found.healthy
    says = {one.name: (one.healthy, one.says, one.milliseconds) for one in found.services}
    assert says["storage"] == (False, "It is away", None)
    assert says["ml"] == (False, "no answer within 0.05 s", None)
    assert says["accounts"][0]
    assert (found.jobs, found.models) == (None, None)


async def test_services_elsewhere_tell_their_own_version(tmp_path: Path) -> None:
    async def older() -> str:
        return "0.0.9"

    found = await status(tmp_path, versions={"ml": older, "jobs": Away().version})
    by_name = {one.name: one for one in found.services}
    assert (by_name["ml"].place, by_name["ml"].version) == ("http://ml.internal:9000", "0.0.9")
    assert by_name["jobs"].version is None
    assert by_name["storage"].place == "here"


async def test_what_stands_behind_is_shown_without_secrets(tmp_path: Path) -> None:
    found = await status(tmp_path, checks={"queue": Away().ping, "database": well})
    by_seam = {one.seam: one for one in found.adapters}
    assert by_seam["queue"].kind == "amqp"
    assert (by_seam["queue"].healthy, by_seam["queue"].says) == (False, "It is away")
    assert by_seam["database"].healthy
    # What this process does not use, it does not judge.
    assert by_seam["warehouse"].healthy is None
    assert not found.healthy
    assert b"s3cret" not in msgspec.json.encode(found)
