"""Every service as a process of its own, on real servers, behind the gateway."""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from foodex.adapters.objects.store import open_objects
from foodex.adapters.queue.rabbitmq import RabbitQueue
from foodex.adapters.warehouse.opening import open_warehouse
from foodex.core.clock import SystemClock
from foodex.core.errors import Unavailable
from foodex.core.peer import Peer
from foodex.core.settings import AccountsSettings
from foodex.domain.forecasts import Source
from foodex.domain.jobs import JobRequest
from foodex.domain.jobs import JobState as BatchState
from foodex.domain.loads import LoadState
from foodex.domain.models import JobState, TrainingRequest
from foodex.domain.people import Action, AuditFilter
from foodex.services.accounts.client import AccountsClient
from foodex.services.accounts.tokens import load_or_create_signing_keys
from foodex.services.collector.client import CollectorClient
from foodex.services.jobs.client import JobsClient
from foodex.services.ml.client import MlClient
from foodex.services.storage.client import StorageClient
from tests.support.command_line import ROOT
from tests.support.servers import clickhouse_url, rabbitmq_url, s3

pytestmark = [pytest.mark.xdist_group("apart"), pytest.mark.timeout(240)]

KEY = "a-key-that-all-services-share"
PASSWORD = "correct horse battery"
NAMES = ("storage", "collector", "ml", "accounts", "jobs", "gateway", "worker", "worker-2")
HAVE_NO_ADDRESS = ("gateway", "worker", "worker-2")


class Apart:
    """Services that run as processes of their own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.ports = dict(zip(NAMES, _free_ports(len(NAMES)), strict=True))
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    async def start(self, name: str) -> None:
        addresses = {
            f"FOODEX_{n.upper()}__URL": self.url(n) for n in NAMES if n not in HAVE_NO_ADDRESS
        }
        plain = {k: v for k, v in os.environ.items() if not k.startswith("FOODEX_")}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "foodex.cli", *_command(name)),
                *("--port", str(self.ports[name]), "--state", str(self.folder / name)),
                cwd=ROOT,
                env={**plain, **self.environment, **addresses},
                stdout=log,
                stderr=log,
            )
        await self.until(name, lambda: _answers(self.ports[name]))

    async def until(self, name: str, holds: Callable[[], Any]) -> None:
        log = self.folder / f"{name}.log"
        for _ in range(1200):
            assert self.processes[name].returncode is None, log.read_text()[-2000:]
            if await asyncio.to_thread(holds):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(log.read_text()[-2000:])

    async def stop(self, name: str, *, kill: bool = False) -> None:
        process = self.processes.pop(name)
        if process.returncode is None:
            process.kill() if kill else process.terminate()
        await asyncio.wait_for(process.wait(), 30)


def _command(name: str) -> tuple[str, ...]:
    return ("worker",) if name.startswith("worker") else ("serve", name)


def _free_ports(count: int) -> list[int]:
    found = [socket.socket() for _ in range(count)]
    for one in found:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return ports


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def _a_warehouse() -> AsyncIterator[str]:
    database = f"foodex_test_{secrets.token_hex(6)}"
    url = urlsplit(clickhouse_url())._replace(path=f"/{database}").geturl()
    yield url
    warehouse = open_warehouse(url)
    await asyncio.to_thread(warehouse.engine.run, f"DROP DATABASE IF EXISTS `{database}` SYNC")
    await warehouse.close()


@asynccontextmanager
async def _a_bucket() -> AsyncIterator[dict[str, str]]:
    url, options = s3()
    place = f"{url.rstrip('/')}/{secrets.token_hex(6)}"
    yield {"url": place, **options}
    objects = open_objects(place, options)
    for stored in (await objects.list()).objects:
        await objects.delete(stored.key)


@asynccontextmanager
async def _a_queue() -> AsyncIterator[str]:
    prefix = f"test-{secrets.token_hex(6)}"
    yield prefix
    last = RabbitQueue(rabbitmq_url(), SystemClock(), prefix=prefix)
    await last.delete()
    await last.close()


@pytest.fixture
async def apart(tmp_path: Path, postgresql_database_url: str) -> AsyncIterator[Apart]:
    async with AsyncExitStack() as stack:
        warehouse = await stack.enter_async_context(_a_warehouse())
        bucket = await stack.enter_async_context(_a_bucket())
        environment = {
            "FOODEX_STAGE": "partner",
            "FOODEX_HTTP__HOST": "127.0.0.1",
            "FOODEX_SECURITY__KEY": KEY,
            "FOODEX_DATABASE__URL": postgresql_database_url,
            "FOODEX_ACCOUNTS__SIGNING_KEYS": str(tmp_path / "signing-keys.json"),
            "FOODEX_ACCOUNTS__WEBHOOK_SECRET": "a-secret-of-the-payment-provider",
            "FOODEX_WAREHOUSE__URL": warehouse,
            "FOODEX_QUEUE__URL": rabbitmq_url(),
            "FOODEX_QUEUE__PREFIX": await stack.enter_async_context(_a_queue()),
            "FOODEX_JOBS__LEASE_SECONDS": "3",
            "FOODEX_JOBS__SWEEP_SECONDS": "0.5",
            **{f"FOODEX_OBJECTS__{name.upper()}": value for name, value in bucket.items()},
        }
        load_or_create_signing_keys(tmp_path / "signing-keys.json")
        services = Apart(tmp_path, environment)
        for name in NAMES:
            await services.start(name)
            stack.push_async_callback(_stop, services, name)
        yield services


async def _stop(services: Apart, name: str) -> None:
    if name in services.processes:
        await services.stop(name)


async def test_from_an_export_to_a_promise(apart: Apart, export: bytes, mapping: str) -> None:
    async with Peer(apart.url("gateway"), KEY) as gateway:
        await gateway.ping()
        collector, ml = CollectorClient(gateway), MlClient(gateway)
        source = await collector.upload("orders.csv", _one(export))
        load = await collector.start_load(source, mapping=mapping, dataset="city")
        while load.state is LoadState.RUNNING:
            load = await collector.wait_for_load(load.id, seen=load.progress, timeout_seconds=5)
        assert load.state is LoadState.DONE, load.error
        dataset = await StorageClient(gateway).dataset("city")
        assert dataset.rows == load.rows_kept > 300
        job = await ml.start_training(
            TrainingRequest(dataset="city", model="eta", algorithm="linear_regression")
        )
        while job.state in (JobState.WAITING, JobState.RUNNING):
            job = await ml.wait_for_job(job.id, seen=job.progress, timeout_seconds=5)
        assert job.state is JobState.DONE, job.error
        # What the model is used to: the newest order of the history itself.
        newest = (await StorageClient(gateway).rows("city", limit=1)).rows[0]
        known = ("store_id", "store_lat", "store_lon", "customer_lat", "customer_lon", "items")
        forecast = await ml.forecast({name: newest[name] for name in known})
        assert forecast.promise is not None
        assert (forecast.model, forecast.version) == ("eta", 1)

        # Without storage there are no rows, but a quote is always answered.
        await apart.stop("storage", kill=True)
        with pytest.raises(Unavailable):
            await gateway.ping()
        with pytest.raises(Unavailable):
            await StorageClient(gateway).dataset("city")
        again = await ml.forecast({name: newest[name] for name in known})
        assert again.source is forecast.source
        assert again.source is not Source.CONSTANT
        await apart.start("storage")
        await gateway.ping()
        assert (await StorageClient(gateway).dataset("city")).rows == dataset.rows


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def test_people_sign_in_at_the_gateway_and_are_known_behind_it(apart: Apart) -> None:
    here = f"{apart.url('gateway')}/api/v1/accounts"
    async with Peer(apart.url("gateway"), KEY) as gateway, aiohttp.ClientSession() as web:
        accounts = AccountsClient(gateway, settings=AccountsSettings())
        await accounts.register("ada", PASSWORD)
        await accounts.top_up("ada", 500)
        given = {"name": "ada", "password": PASSWORD}
        async with web.post(f"{here}/sign-in", json=given) as answer:
            signed_in = {"authorization": f"Bearer {(await answer.json())['access_token']}"}
        wanted = {"name": "shop", "scopes": ["balance:read"]}
        keys = f"{here}/people/me/keys"
        async with web.post(keys, json=wanted, headers=signed_in) as answer:
            made = await answer.json()
        key = {"x-api-key": made["secret"]}
        async with web.get(f"{here}/me", headers=key) as answer:
            me = await answer.json()
        assert (me["name"], me["balance_minor"], me["key_id"]) == ("ada", 500, made["key"]["id"])
        # Neither the person nor their key opens what lies behind the gateway.
        for headers in (signed_in, key):
            behind = f"{apart.url('accounts')}/api/v1/accounts/me"
            async with web.get(behind, headers=headers) as answer:
                assert answer.status == 401
        audit = await accounts.audit(AuditFilter(target="ada", actions=(Action.SIGNED_IN,)))
        assert [line.address for line in audit.entries] == ["127.0.0.1"]
        await accounts.revoke_key("ada", made["key"]["id"])
        ends = asyncio.get_running_loop().time() + 1.5
        while True:
            async with web.get(f"{here}/me", headers=key) as answer:
                if answer.status == 401:
                    break
            assert asyncio.get_running_loop().time() < ends
            await asyncio.sleep(0.05)
        # Who cannot be asked about is not let in, and the system's own key is.
        await apart.stop("accounts", kill=True)
        await asyncio.sleep(1.1)
        async with web.get(f"{here}/me", headers=signed_in) as answer:
            assert answer.status == 503
        me = await gateway.call("GET", "/api/v1/accounts/me", type=dict[str, Any])
        assert me["name"] == "system"
        await apart.start("accounts")
        async with web.get(f"{here}/me", headers=signed_in) as answer:
            assert answer.status == 200


async def test_a_worker_that_is_killed_is_stood_in_for(
    apart: Apart, export: bytes, mapping: str
) -> None:
    """Everything of a batch prediction over HTTP, RabbitMQ, PostgreSQL and S3, with two workers."""
    here = f"{apart.url('gateway')}/api/v1"
    async with Peer(apart.url("gateway"), KEY) as gateway, aiohttp.ClientSession() as web:
        jobs, accounts = JobsClient(gateway), AccountsClient(gateway, settings=AccountsSettings())
        source = await CollectorClient(gateway).upload("orders.csv", _one(export))
        wanted: dict[str, Any] = {"source": source, "mapping": mapping, "dataset": "city"}
        await _done(jobs, JobRequest(kind="load", parameters=msgspec.to_builtins(wanted)))
        wanted = {"dataset": "city", "model": "eta", "algorithm": "linear_regression"}
        await _done(jobs, JobRequest(kind="train", parameters=wanted))
        rows = 60_000
        await accounts.register("ada", PASSWORD)
        await accounts.top_up("ada", rows)
        given = {"name": "ada", "password": PASSWORD}
        async with web.post(f"{here}/accounts/sign-in", json=given) as answer:
            headers = {"authorization": f"Bearer {(await answer.json())['access_token']}"}
        lines = (f"{n % 9 / 2},{n % 4},s{n}\n" for n in range(rows))
        body = "distance_km,items,note\n" + "".join(lines)
        async with web.post(
            f"{here}/predictions/files?name=o.csv", data=body.encode(), headers=headers
        ) as answer:
            file = (await answer.json())["file"]
        async with web.post(
            f"{here}/predictions/batches", json={"file": file}, headers=headers
        ) as answer:
            assert answer.status == 202, await answer.text()
            job_id = (await answer.json())["id"]
        job = await jobs.job(job_id)
        while job.state is BatchState.WAITING:
            job = await jobs.wait_for_job(job_id, seen=job.progress, timeout_seconds=1)
        # Whichever has it.
        for name in ("worker", "worker-2"):
            if job_id in (apart.folder / f"{name}.log").read_text():
                await apart.stop(name, kill=True)
                break
        else:
            raise AssertionError("nobody has begun the job")
        while not (job.ended and job.settled):
            job = await jobs.job(job_id)
            await asyncio.sleep(0.1)
        assert (job.state, job.units_done, job.attempts) == (BatchState.DONE, rows, 2)
        async with web.get(f"{here}/jobs/{job_id}/files/predictions.csv", headers=headers) as got:
            assert (await got.read()).count(b"\n") == rows + 1
        assert (await accounts.balance("ada")).balance_minor == 0
        assert (await accounts.verify()).holds


async def _done(jobs: JobsClient, request: JobRequest) -> None:
    job = await jobs.accept(request)
    while not job.ended:
        job = await jobs.wait_for_job(job.id, seen=job.progress, timeout_seconds=5)
    assert job.state is BatchState.DONE, job.error
