"""Opens the parts of a system: each service as the object itself, or as a client of it."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry

from foodex.adapters.database.engine import open_database
from foodex.adapters.objects.store import open_objects
from foodex.adapters.payments.opening import open_payments
from foodex.adapters.queue.opening import open_queue
from foodex.adapters.rates.opening import open_rates, open_shared_counts
from foodex.adapters.warehouse.opening import open_warehouse
from foodex.bootstrap.state import prepare_state, webhook_secret
from foodex.core.access import Access, KeyAccess
from foodex.core.clock import SystemClock
from foodex.core.errors import InvalidInput
from foodex.core.http import Check
from foodex.core.limits import Limiter
from foodex.core.peer import Peer
from foodex.core.settings import ObjectsSettings, Settings
from foodex.core.sql import Database
from foodex.ports.accounts import Accounts
from foodex.ports.collector import Collector
from foodex.ports.jobs import Jobs, Kind
from foodex.ports.ml import Ml
from foodex.ports.objects import Objects
from foodex.ports.storage import Storage
from foodex.services.accounts.access import AccountsAccess
from foodex.services.accounts.client import AccountsClient
from foodex.services.accounts.service import AccountsService
from foodex.services.accounts.tokens import load_or_create_signing_keys
from foodex.services.collector.client import CollectorClient
from foodex.services.collector.service import CollectorService
from foodex.services.gateway.limiter import GatewayLimiter
from foodex.services.gateway.order_files import OrderFiles
from foodex.services.jobs.client import JobsClient
from foodex.services.jobs.service import JobsService
from foodex.services.ml.client import MlClient
from foodex.services.ml.service import MlService
from foodex.services.storage.client import StorageClient
from foodex.services.storage.service import StorageService


class Parts:
    """Opens the parts that are asked for; what it opened is closed with its stack."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._key = prepare_state(settings)
        self._clock = SystemClock()
        self._opened: Database | None = None
        self._store: Objects | None = None
        self.registry = CollectorRegistry()
        self.checks: dict[str, Check] = {}
        self.versions: dict[str, Callable[[], Awaitable[str]]] = {}

    def _database(self) -> Database:
        if self._opened is None:
            chosen = self._settings.database
            self._opened = open_database(chosen.url.get_secret_value(), pool_size=chosen.pool_size)
            self._stack.push_async_callback(self._opened.close)
            self.checks["database"] = self._opened.ping
        return self._opened

    def _objects(self) -> Objects:
        if self._store is None:
            chosen = self._settings.objects
            store = open_objects(chosen.url, _s3_options(chosen))
            self.checks["objects"] = store.ping
            self._store = store
        return self._store

    async def _peer(self, name: str, url: str) -> Peer:
        if not url:
            raise InvalidInput(f"Where is the {name} service? Set {name}.url")
        peer = await self._stack.enter_async_context(Peer(url, self._key))
        self.checks[name] = peer.ping
        self.versions[name] = peer.version
        return peer

    async def limiter(self) -> Limiter:
        """What counts the requests at the public door."""
        chosen = self._settings.limits
        shared = open_shared_counts(chosen.url.get_secret_value())
        if shared is not None:
            self._stack.push_async_callback(shared.close)
        limiter = GatewayLimiter(chosen, clock=self._clock, shared=shared)
        await self._stack.enter_async_context(limiter.running())
        return limiter

    async def accounts(self, *, here: bool) -> Accounts:
        """People, their money, and what they bought."""
        chosen = self._settings.accounts
        if not here:
            client = AccountsClient(await self._peer("accounts", chosen.url), settings=chosen)
            await self._stack.enter_async_context(client.running())
            return client
        rates = open_rates(self._settings.limits.url.get_secret_value())
        self._stack.push_async_callback(rates.close)
        service = AccountsService(
            database=self._database(),
            settings=chosen,
            clock=self._clock,
            rates=rates,
            provider=open_payments(
                chosen.payments_url,
                secret=webhook_secret(self._settings),
                tolerance_seconds=chosen.webhook_tolerance_seconds,
                clock=self._clock,
            ),
            signing=load_or_create_signing_keys(
                Path(chosen.signing_keys), stage=self._settings.stage
            ),
        )
        await self._stack.enter_async_context(service.running())
        return service

    def access(self, accounts: Accounts) -> Access:
        """Who sends a request: a person, a key of theirs, or who holds the key of this system."""
        access = AccountsAccess(
            accounts,
            settings=self._settings.accounts,
            clock=self._clock,
            others=KeyAccess(self._key),
        )
        if isinstance(accounts, AccountsService):
            accounts.listen(access.forget)
        return access

    async def order_files(self, storage: Storage, *, sweep: bool = False) -> OrderFiles:
        """Where files of orders are kept until they are forecast; with `sweep`, not for ever."""
        files = OrderFiles(storage, self._settings.batches, self._clock)
        if sweep:
            await self._stack.enter_async_context(files.sweeping())
        return files

    async def storage(self, *, here: bool) -> Storage:
        if not here:
            return StorageClient(await self._peer("storage", self._settings.storage.url))
        warehouse = open_warehouse(self._settings.warehouse.url.get_secret_value())
        self._stack.push_async_callback(warehouse.close)
        self.checks["warehouse"] = warehouse.ping
        service = StorageService(
            database=self._database(),
            warehouse=warehouse,
            objects=self._objects(),
            settings=self._settings.storage,
            clock=self._clock,
        )
        await self._stack.enter_async_context(service.running())
        return service

    async def collector(self, storage: Storage | None, *, here: bool) -> Collector:
        if not here or storage is None:
            return CollectorClient(await self._peer("collector", self._settings.collector.url))
        service = CollectorService(
            database=self._database(),
            storage=storage,
            settings=self._settings.collector,
            clock=self._clock,
        )
        await self._stack.enter_async_context(service.running())
        return service

    async def ml(self, storage: Storage | None, *, here: bool) -> Ml:
        if not here or storage is None:
            return MlClient(await self._peer("ml", self._settings.ml.url))
        service = MlService(
            database=self._database(),
            storage=storage,
            settings=self._settings.ml,
            promise=self._settings.promise,
            promise_zones=self._settings.promise_zones,
            clock=self._clock,
            registry=self.registry,
        )
        await self._stack.enter_async_context(service.running())
        return service

    async def jobs(
        self, *, here: bool, work: bool, accounts: Accounts, kinds: Mapping[str, Kind]
    ) -> Jobs:
        """Background jobs; with `work` they are also done here."""
        if not here:
            return JobsClient(await self._peer("jobs", self._settings.jobs.url))
        chosen = self._settings.queue
        queue = open_queue(chosen.url.get_secret_value(), self._clock, prefix=chosen.prefix)
        self._stack.push_async_callback(queue.close)
        self.checks["queue"] = queue.ping
        service = JobsService(
            database=self._database(),
            queue=queue,
            objects=self._objects(),
            ledger=accounts,
            kinds=kinds,
            settings=self._settings.jobs,
            clock=self._clock,
            secret=self._key,
            work=work,
            registry=self.registry,
        )
        await self._stack.enter_async_context(service.running())
        return service


def _s3_options(settings: ObjectsSettings) -> dict[str, str]:
    options = {
        "endpoint": settings.endpoint,
        "region": settings.region,
        "access_key_id": settings.access_key_id.get_secret_value(),
        "secret_access_key": settings.secret_access_key.get_secret_value(),
    }
    return {name: value for name, value in options.items() if value}
