"""Random histories of money, on each database, against a few lines that say the same."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foodex.adapters.database.engine import open_database
from foodex.core.errors import Conflict, FoodexError, NotFound, PaymentRequired
from foodex.core.sql import Database, migrate
from foodex.domain.ledger import Balance, EntryKind, Posting, Price, posted
from foodex.domain.purchases import Answer
from tests.services.accounts.conftest import Bank, SetClock, purchase

ACCOUNTS = ("ada", "bob")
amounts = st.integers(1, 12)
accounts = st.sampled_from(ACCOUNTS)
names = st.sampled_from(["a", "b", "c"])
moves = st.one_of(
    st.tuples(st.just("top_up"), accounts, amounts, names),
    st.tuples(st.just("correct"), accounts, st.integers(-12, 12).filter(bool), names),
    st.tuples(st.just("reserve"), accounts, amounts, names),
    st.tuples(st.just("charge_reserved"), names, amounts, names),
    st.tuples(st.just("release"), names),
    st.tuples(st.just("buy"), accounts, st.sampled_from(["helsinki", "free", "lahti"]), names),
    st.tuples(st.just("refund"), st.integers(0, 5), amounts, names),
)


class Model:
    """What ought to be: balances by the rules, and what was done under which reference."""

    def __init__(self) -> None:
        self.balances = {name: Balance(account=name, currency="EUR") for name in ACCOUNTS}
        self.done: dict[tuple[str, ...], tuple[Any, ...]] = {}
        self.reserved: dict[str, tuple[str, int, int, bool]] = {}
        self.charges: list[list[Any]] = []

    def post(self, account: str, kind: EntryKind, amount: int) -> None:
        posting = Posting(kind=kind, amount_minor=amount, reference="r", subject="s", who="w")
        self.balances[account], _ = posted(self.balances[account], posting, SetClock().now())

    def once(self, name: tuple[str, ...], what: tuple[Any, ...]) -> bool:
        """Whether this is to be done; `Conflict` if its reference did something else."""
        if name in self.done and self.done[name] != what:
            raise Conflict
        return name not in self.done

    def top_up(self, account: str, amount: int, name: str) -> None:
        if self.once(("top_up", name), (account, amount)):
            self.post(account, EntryKind.TOP_UP, amount)
            self.done["top_up", name] = (account, amount)

    def correct(self, account: str, amount: int, name: str) -> None:
        if self.once(("correct", name), (account, amount)):
            self.post(account, EntryKind.CORRECTION, amount)
            self.done["correct", name] = (account, amount)

    def reserve(self, account: str, amount: int, name: str) -> None:
        if name in self.reserved:
            if self.reserved[name][:2] != (account, amount):
                raise Conflict
            return
        self.post(account, EntryKind.RESERVATION, -amount)
        self.reserved[name] = (account, amount, amount, False)

    def charge_reserved(self, job: str, amount: int, name: str) -> None:
        if job not in self.reserved:
            raise NotFound
        account, whole, left, closed = self.reserved[job]
        if self.once(("job", job, name), (amount,)):
            if amount > left:
                raise Conflict
            self.post(account, EntryKind.RELEASE, amount)
            self.post(account, EntryKind.CHARGE, -amount)
            self.reserved[job] = (account, whole, left - amount, closed)
            self.done["job", job, name] = (amount,)

    def release(self, job: str) -> None:
        if job not in self.reserved:
            raise NotFound
        account, whole, left, _ = self.reserved[job]
        if left:
            self.post(account, EntryKind.RELEASE, left)
        self.reserved[job] = (account, whole, 0, True)

    def buy(self, account: str, model: str, name: str) -> None:
        if self.once(("buy", account, name), (model,)):
            price = {"helsinki": 3, "free": 0, "lahti": 2}[model]
            self.post(account, EntryKind.CHARGE, -price)
            self.charges.append([account, price, price])
            self.done["buy", account, name] = (model,)

    def refund(self, which: int, amount: int, name: str) -> None:
        if which >= len(self.charges):
            raise NotFound
        account, _, left = self.charges[which]
        if self.once(("refund", name), (account, amount)):
            if left == 0 or amount > left:
                raise Conflict
            self.post(account, EntryKind.REFUND, amount)
            self.charges[which][2] = left - amount
            self.done["refund", name] = (account, amount)


class Real:
    """The same moves on the services."""

    def __init__(self, bank: Bank, prefix: str) -> None:
        self.bank, self.prefix, self.sales = bank, prefix, bank.sales()
        self.charges: list[tuple[str, str]] = []

    def own(self, name: str) -> str:
        return f"{self.prefix}{name}"

    async def top_up(self, account: str, amount: int, name: str) -> None:
        await self.bank.ledger.top_up(self.own(account), amount, reference=self.own(name))

    async def correct(self, account: str, amount: int, name: str) -> None:
        await self.bank.ledger.correct(
            self.own(account), amount, reference=self.own(name), note="so"
        )

    async def reserve(self, account: str, amount: int, name: str) -> None:
        await self.bank.ledger.reserve(self.own(account), price(amount), reference=self.own(name))

    async def charge_reserved(self, job: str, amount: int, name: str) -> None:
        await self.bank.ledger.charge_reserved(self.own(job), price(amount), reference=name)

    async def release(self, job: str) -> None:
        await self.bank.ledger.release(self.own(job))

    async def buy(self, account: str, model: str, name: str) -> None:
        asked = purchase(
            self.own(account),
            order=model.encode(),
            answer=Answer(answer=b"{}", model=model),
            idempotency_key=name,
        )
        receipt = await self.sales.buy(asked)
        if not receipt.replayed:
            self.charges.append((self.own(account), f"prediction:{receipt.prediction_id}"))

    async def refund(self, which: int, amount: int, name: str) -> None:
        if which >= len(self.charges):
            raise NotFound
        account, charge = self.charges[which]
        await self.bank.ledger.refund(account, charge, amount, reference=self.own(name))


def price(amount_minor: int) -> Price:
    return Price(operation="eta", unit_minor=amount_minor, currency="EUR")


async def outcome(doing: Callable[[], Any]) -> type[Exception] | None:
    try:
        done = doing()
        if isinstance(done, Coroutine):
            await done
    except FoodexError as error:
        return type(error)
    return None


async def live(database: Database, prefix: str, history: list[tuple[Any, ...]]) -> None:
    bank = Bank(database=database, clock=SetClock())
    model, real = Model(), Real(bank, prefix)
    for name in ACCOUNTS:
        await bank.ledger.open_account(real.own(name))
    async with real.sales.running():
        for kind, *values in history:
            expected = await outcome(lambda: getattr(model, kind)(*values))  # noqa: B023
            found = await outcome(lambda: getattr(real, kind)(*values))  # noqa: B023
            assert found is expected, (kind, values)
            assert expected in (None, Conflict, NotFound, PaymentRequired)
    for name, balance in model.balances.items():
        told = await bank.ledger.balance(real.own(name))
        assert (told.balance_minor, told.entries) == (balance.balance_minor, balance.entries)
    await bank.holds()


@pytest.fixture
def runner(database_url: str) -> Any:
    with asyncio.Runner() as runner:
        database = open_database(database_url)
        runner.run(migrate(database, "accounts"))
        yield runner, database
        runner.run(database.close())


def test_any_history_ends_as_the_rules_say(runner: Any) -> None:
    run, database = runner
    number = itertools.count()

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(st.lists(moves, max_size=25))
    def lives(history: list[tuple[Any, ...]]) -> None:
        run.run(live(database, f"{next(number)}-", history))

    lives()
