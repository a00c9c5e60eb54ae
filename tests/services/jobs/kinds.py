"""Kinds of jobs for tests."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foodex.core.access import Role
from foodex.core.errors import FieldProblem, InternalError, InvalidInput, Unavailable
from foodex.domain.ledger import Price
from foodex.ports.jobs import JobContext, Kind
from tests.services.jobs.heavy import note, work

EVERYBODY = frozenset(Role)
UNIT_MINOR = 3


async def greet(context: JobContext) -> Mapping[str, Any]:
    """Says hello, and leaves a file."""
    context.report(0.5, "greeting")
    hello = f"hello {context.job.parameters.get('name', 'world')}"
    await context.put_file("hello.txt", hello.encode())
    return {"said": hello}


async def wait_for_file(context: JobContext) -> Mapping[str, Any]:
    """Goes on until a file is there; notes in another that it began."""
    parameters = context.job.parameters
    note(parameters, context.job.id)
    until = Path(parameters["until"])
    while not await asyncio.to_thread(until.exists):
        context.report(0.25, "waiting")
        await asyncio.sleep(0.02)
    return {"attempts": context.job.attempts}


async def count(context: JobContext) -> Mapping[str, Any]:
    """Takes a moment, notes that it was here, and leaves an effect in objects."""
    parameters = context.job.parameters
    note(parameters, context.job.id)
    await context.put_file("effect.txt", str(context.job.attempts).encode())
    await asyncio.sleep(parameters.get("seconds", 0.0))
    return {"number": parameters["number"], "attempts": context.job.attempts}


async def batch(context: JobContext) -> Mapping[str, Any]:
    """Succeeds with some of its rows."""
    good = context.job.parameters["rows"] - context.job.parameters.get("bad", 0)
    context.charge(good)
    return {"good": good}


async def fail(context: JobContext) -> None:
    """Goes wrong as it is told, as often as it is told."""
    parameters = context.job.parameters
    await context.put_file("half.txt", b"half")
    if context.job.attempts <= parameters.get("times", 1_000):
        raise {
            "unavailable": Unavailable("The weather is out"),
            "input": InvalidInput("That is no good", problems=[FieldProblem("rows", "are few")]),
            "internal": InternalError("We know nothing"),
            "bug": ZeroDivisionError("a bug"),
            "exit": SystemExit(3),
            "cancel": asyncio.CancelledError(),
        }[parameters["how"]]


async def heavy(context: JobContext) -> Mapping[str, Any]:
    """Hands its parameters to work in a process of its own."""
    found = await context.compute(work, context.job.parameters)
    if (made := context.folder / "made.txt").exists():
        await context.put_file("made.txt", made.read_bytes())
    return found


def check_batch(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """A batch must say how many rows there are."""
    if not isinstance(parameters.get("rows"), int):
        problem = FieldProblem("parameters.rows", "must be a whole number")
        raise InvalidInput("The job cannot be accepted", problems=[problem])
    return parameters


async def quote_batch(parameters: Mapping[str, Any]) -> Price:
    """A price for each row."""
    return Price(
        operation="eta", unit_minor=UNIT_MINOR, currency="EUR", quantity=parameters["rows"]
    )


async def quote_one(_: Mapping[str, Any]) -> Price:
    """One price for the whole."""
    return Price(operation="eta", unit_minor=UNIT_MINOR, currency="EUR")


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="greet", run=greet, roles=EVERYBODY),
        Kind(name="wait", run=wait_for_file, roles=EVERYBODY),
        Kind(name="count", run=count, roles=EVERYBODY, quote=quote_one),
        Kind(name="batch", run=batch, roles=EVERYBODY, check=check_batch, quote=quote_batch),
        Kind(name="fail", run=fail, roles=EVERYBODY, quote=quote_one, max_attempts=3),
        Kind(name="heavy", run=heavy, quote=quote_one, timeout_seconds=30.0),
    )
}
