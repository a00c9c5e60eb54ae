"""Accounts on an empty database, of each kind."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from foodex.adapters.database.engine import open_database
from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.rates.opening import open_rates
from foodex.core.access import Principal, Role
from foodex.core.settings import AccountsSettings, OperationPrices
from foodex.core.sql import Database, migrate
from foodex.domain.people import Scope, Tokens
from foodex.domain.purchases import Answer, Purchase
from foodex.services.accounts.access import AccountsAccess
from foodex.services.accounts.callers import Callers
from foodex.services.accounts.guessing import Guessing
from foodex.services.accounts.history import History
from foodex.services.accounts.keys import Keys
from foodex.services.accounts.ledger import Ledger
from foodex.services.accounts.passwords import Passwords
from foodex.services.accounts.payments import Payments
from foodex.services.accounts.people import People
from foodex.services.accounts.predictions import PaidPredictions
from foodex.services.accounts.sessions import Sessions
from foodex.services.accounts.tokens import SigningKeys, load_or_create_signing_keys

SECRET = "a secret that only the provider knows"
SETTINGS = AccountsSettings(
    prices={"eta": OperationPrices(default=2, models={"helsinki": 3, "free": 0})},
    waiting=100_000,
    argon2_memory_kib=8,
    argon2_passes=1,
)
PASSWORD = "correct horse battery"


@dataclass
class SetClock:
    at: datetime = field(default_factory=lambda: datetime(2026, 3, 6, 12, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def pass_(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass
class Bank:
    """The services over one database."""

    database: Database
    clock: SetClock
    settings: AccountsSettings = SETTINGS

    def __post_init__(self) -> None:
        given = {"database": self.database, "settings": self.settings, "clock": self.clock}
        self.ledger = Ledger(**given)
        self.history = History(**given)
        self.provider = LocalPayments(secret=SECRET, tolerance_seconds=300, clock=self.clock)
        self.payments = Payments(provider=self.provider, **given)

    def sales(self, **settings: object) -> PaidPredictions:
        chosen = self.settings.model_copy(update=settings)
        return PaidPredictions(database=self.database, settings=chosen, clock=self.clock)

    async def account(self, name: str = "ada", balance_minor: int = 0) -> str:
        await self.ledger.open_account(name)
        if balance_minor:
            await self.ledger.top_up(name, balance_minor)
        return name

    async def left(self, account: str = "ada") -> int:
        return (await self.ledger.balance(account)).balance_minor

    async def holds(self) -> None:
        verification = await self.ledger.verify()
        assert verification.holds, verification.differences


@dataclass
class Town:
    """The people of one database, and a gateway's access in the same process."""

    database: Database
    clock: SetClock
    signing: SigningKeys
    settings: AccountsSettings = SETTINGS

    def __post_init__(self) -> None:
        given = {"database": self.database, "clock": self.clock}
        self.callers = Callers(signing=self.signing, **given)
        self.guessing = Guessing(rates=open_rates("memory://"), settings=self.settings)
        self.passwords = Passwords(self.settings)
        given |= {"settings": self.settings, "tell": self.callers.tell}
        self.keys = Keys(**given)
        given |= {"passwords": self.passwords, "guessing": self.guessing}
        self.people = People(**given)
        self.sessions = Sessions(signing=self.signing, **given)
        self.access = AccountsAccess(self.callers, settings=self.settings, clock=self.clock)
        self.callers.listen(self.access.forget)

    def with_settings(self, **settings: object) -> "Town":
        chosen = self.settings.model_copy(update=settings)
        return Town(self.database, self.clock, self.signing, chosen)

    def elsewhere(self) -> AccountsAccess:
        """The access of a gateway in another process."""
        return AccountsAccess(self.callers, settings=self.settings, clock=self.clock)

    async def add(self, name: str = "ada", *roles: Role) -> str:
        await self.people.create_person(name, roles or (Role.CLIENT,), PASSWORD)
        return name

    async def signed_in(self, name: str = "ada") -> Tokens:
        return await self.sessions.sign_in(name, PASSWORD)

    async def key(self, person: str = "ada", name: str = "shop") -> str:
        return (await self.keys.create_key(person, name, (Scope.ETA,))).secret

    async def lines(self) -> list[tuple[str, str, str]]:
        """The audit log, oldest first: who, action, target."""
        entries = (await self.people.audit()).entries
        return [(one.who, one.action.value, one.target) for one in reversed(entries)]


async def opened(access: AccountsAccess, credentials: str) -> Principal:
    principal = await access.authenticate({"authorization": f"Bearer {credentials}"})
    assert principal is not None
    return principal


def purchase(account: str = "ada", number: int = 0, **values: object) -> Purchase:
    answer = Answer(
        answer=b'{"median_minutes":%d}' % number,
        model="lahti",
        version=4,
        features=bytes(24 * 8),
        inputs=b'{"offsets":[0.0]}',
    )
    made = Purchase(
        account=account,
        who=account,
        key_id="key-1",
        order=b'{"order_id":"%d"}' % number,
        answer=answer,
    )
    return replace(made, **values)  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/accounts.db"
    found: str = request.getfixturevalue("postgresql_database_url")
    return found


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    database = open_database(database_url)
    await migrate(database, "accounts")
    yield Bank(database=database, clock=SetClock())
    await database.close()


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return load_or_create_signing_keys(tmp_path_factory.mktemp("state") / "signing.json")


@pytest.fixture
async def town(database_url: str, signing: SigningKeys) -> AsyncIterator[Town]:
    database = open_database(database_url)
    await migrate(database, "accounts")
    yield Town(database=database, clock=SetClock(), signing=signing)
    await database.close()
