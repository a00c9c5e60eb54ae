"""The service itself and the client over real HTTP pass the same cases, on each database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.rates.opening import open_rates
from foodex.core.access import KeyAccess
from foodex.core.peer import Peer
from foodex.core.settings import HttpSettings, OperationPrices
from foodex.ports.accounts import Accounts
from foodex.services.accounts import service as module
from foodex.services.accounts.app import create_app
from foodex.services.accounts.client import AccountsClient
from foodex.services.accounts.history import History
from foodex.services.accounts.service import AccountsService
from foodex.services.accounts.tokens import SigningKeys
from tests.contracts.accounts import AccountsContract, Start, answer, purchase, rich
from tests.services.accounts.conftest import SECRET, SETTINGS, SetClock
from tests.support.serving import serve

CHOSEN = SETTINGS.model_copy(update={"prices": {"eta": OperationPrices(default=2)}})


@pytest.fixture
def provider() -> LocalPayments:
    return LocalPayments(secret=SECRET, tolerance_seconds=300, clock=SetClock())


@asynccontextmanager
async def started(
    url: str, signing: SigningKeys, provider: LocalPayments
) -> AsyncIterator[AccountsService]:
    database = open_database(url)
    service = AccountsService(
        database=database,
        settings=CHOSEN,
        clock=SetClock(),
        rates=open_rates("memory://"),
        provider=provider,
        signing=signing,
    )
    async with service.running():
        yield service
    await database.close()


async def test_bodies_past_their_retention_are_forgotten_in_the_background(
    database_url: str,
    signing: SigningKeys,
    provider: LocalPayments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with started(database_url, signing, provider) as accounts:
        await rich(accounts)
        old = await accounts.buy(purchase(answer=answer(), id=f"{0:012x}{7:020x}"))
        new = await accounts.buy(purchase(answer=answer()))
    forgot, purge = asyncio.Event(), History.purge

    async def told(self: History) -> int:
        gone = await purge(self)
        forgot.set()
        return gone

    monkeypatch.setattr(History, "purge", told)
    monkeypatch.setattr(module, "_PURGE_AFTER_SECONDS", 0.0)
    async with started(database_url, signing, provider) as accounts, asyncio.timeout(10):
        await forgot.wait()
        assert (await accounts.prediction("ada", old.prediction_id)).answer is None
        assert (await accounts.prediction("ada", new.prediction_id)).answer == answer().answer
        assert (await accounts.verify()).holds


class TestService(AccountsContract):
    @pytest.fixture
    def start(self, database_url: str, signing: SigningKeys, provider: LocalPayments) -> Start:
        return lambda: started(database_url, signing, provider)


class TestClient(AccountsContract):
    @pytest.fixture
    def start(self, database_url: str, signing: SigningKeys, provider: LocalPayments) -> Start:
        @asynccontextmanager
        async def start() -> AsyncIterator[Accounts]:
            async with started(database_url, signing, provider) as service:
                app = create_app(service, access=KeyAccess("key"), settings=HttpSettings())
                async with serve(app) as url, Peer(url, "key") as peer:
                    client = AccountsClient(peer, settings=CHOSEN)
                    async with client.running():
                        yield client

        return start
