"""Something to see on a machine with no history: a simulated city, imported and learned from."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from foodex.bootstrap import System
from foodex.cli import output
from foodex.cli.first_people import CLIENT, REFERENCE
from foodex.core.access import Principal, Role, acting_as
from foodex.core.errors import Conflict, InternalError, NotFound, PaymentRequired
from foodex.core.settings import Settings
from foodex.domain.datasets import Comparison, Condition
from foodex.domain.deliveries import FIELD
from foodex.domain.jobs import JobFilter, JobRequest
from foodex.domain.loads import LoadState, Source, SourceKind
from foodex.domain.models import JobState, TrainingRequest

NAME: Final = "demo_city"
"""The data set and the model of the demonstration."""

BATCH: Final = "predict_file"
ORDERS_SHOWN: Final = 200
"""Orders in the demonstration's batch prediction."""

_LATER: Final = ("vehicle",)
"""Known only once a courier is on the way: a model for new orders must not lean on it."""

MAPPING: Final = Path(__file__).parent.parent / "city" / "data" / "export.toml"


ORDER: Final = (
    '{"store_id": "sim-store-049", "store_category": "sushi", "items": 3, '
    '"store_lat": 60.1679, "store_lon": 24.9375, "customer_lat": 60.1741, "customer_lon": 24.9496}'
)
"""An order in the simulated city with enough in it for its model: whose kitchen it is says most."""


async def is_shown(system: System) -> bool:
    """Whether the demonstration's model answers here."""
    return any(model.name == NAME and model.production for model in await system.ml.models())


async def demonstrate(system: System, settings: Settings) -> None:
    """Fill an empty system with a simulated city and a model of it; a filled one is left alone.

    What an earlier start began and did not finish is taken up again.
    """
    names = {dataset.name for dataset in await system.storage.datasets()}
    models = {model.name for model in await system.ml.models()}
    if NAME not in names and (names or models):
        return
    if NAME not in names:
        await _import(system, settings)
    if NAME not in models or (await system.ml.model(NAME)).production is None:
        await _train(system)


async def leave_batch(system: System) -> None:
    """Have some orders forecast for the demonstration's client, once: something to look at.

    What it costs is added to their account first, so they have as much to spend as they were told.
    """
    if not await is_shown(system) or not await _is_there(system, CLIENT):
        return
    client = Principal(CLIENT, frozenset({Role.CLIENT}), account=CLIENT)
    with acting_as(client):
        if (await system.jobs.jobs(JobFilter(kinds=(BATCH,)), limit=1)).jobs:
            return
    orders = await _newest_orders(system)
    prices = [p for p in await system.accounts.price_list() if p.operation == "eta_batch"]
    cost = len(orders) * max((price.unit_minor for price in prices), default=0)
    if cost:
        note = f"for the forecasts of {len(orders)} simulated orders"
        await system.accounts.top_up(CLIENT, cost, reference=f"{REFERENCE}-batch", note=note)
    with acting_as(client):
        file = await system.files.put("simulated-orders.csv", _whole(orders.write_csv().encode()))
        wanted = JobRequest(kind=BATCH, parameters={"file": file.file}, key=REFERENCE)
        try:
            await system.jobs.accept(wanted)
        except (Conflict, PaymentRequired):
            # Another start was faster, or the account's money went elsewhere in the meantime.
            return


async def _is_there(system: System, person: str) -> bool:
    try:
        await system.accounts.balance(person)
    except NotFound:
        return False
    return True


async def _newest_orders(system: System) -> pl.DataFrame:
    """The simulated city's newest orders, as they were known when they were placed."""
    dataset = await system.storage.dataset(NAME)
    known = [
        column.name
        for column in dataset.columns
        if column.name in FIELD and FIELD[column.name].known_at_order
    ]
    assert dataset.last_at is not None
    since = Condition(
        field="placed_at",
        comparison=Comparison.GE,
        value=dataset.last_at - timedelta(days=1),
    )
    parts = [batch async for batch in system.storage.scan(NAME, columns=known, where=[since])]
    orders = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(parts)))
    newest = orders.sort("placed_at").tail(ORDERS_SHOWN)
    return newest.with_columns(pl.col("placed_at").dt.to_string("iso:strict"))


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _import(system: System, settings: Settings) -> None:
    path = settings.state_dir / "simulated-orders.csv"
    output.err().print("No data yet: simulating a city on Helsinki's streets …")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "foodex.cli", "city", "history", "--out", str(path)),
        *("--days", str(settings.city.days), "--seed", str(settings.city.seed)),
        *("--orders-per-day", str(settings.city.orders_per_day), "--json"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    if process.returncode:
        raise InternalError(f"The city could not be simulated: {complaint.decode()[-500:]}")
    load = await system.collector.start_load(
        Source(name="simulated city", kind=SourceKind.FILE, location=str(path)),
        mapping=MAPPING.read_text(),
        dataset=NAME,
    )
    load = await output.follow(
        "importing the simulated orders",
        load,
        lambda seen: system.collector.wait_for_load(seen.id, seen=seen.progress, timeout_seconds=5),
        lambda seen: (seen.progress, "", seen.state is not LoadState.RUNNING),
    )
    if load.state not in (LoadState.DONE, LoadState.DUPLICATE):
        raise InternalError(f"The simulated orders could not be imported: {load.error}")
    path.unlink(missing_ok=True)


async def _train(system: System) -> None:
    unfinished = [
        job
        for job in await system.ml.jobs()
        if job.request.get("model") == NAME and job.state in (JobState.WAITING, JobState.RUNNING)
    ]
    job = (
        unfinished[0]
        if unfinished
        else await system.ml.start_training(
            TrainingRequest(dataset=NAME, model=NAME, without=_LATER)
        )
    )
    job = await output.follow(
        "learning from them",
        job,
        lambda seen: system.ml.wait_for_job(seen.id, seen=seen.progress, timeout_seconds=5),
        lambda seen: (
            seen.progress,
            seen.message,
            seen.state not in (JobState.WAITING, JobState.RUNNING),
        ),
    )
    if job.state is not JobState.DONE:
        raise InternalError(f"The demonstration's model could not be trained: {job.error}")
