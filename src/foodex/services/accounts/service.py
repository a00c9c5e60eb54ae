"""The accounts service: one object over its parts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from foodex.core.access import who
from foodex.core.clock import Clock
from foodex.core.errors import FoodexError, NotAuthenticated
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database, migrate
from foodex.domain.ledger import Price
from foodex.domain.payments import Payment
from foodex.domain.people import Action
from foodex.ports.payments import Payments as Provider
from foodex.ports.rates import Rates
from foodex.services.accounts import audit_log
from foodex.services.accounts.callers import Callers
from foodex.services.accounts.guessing import Guessing, source
from foodex.services.accounts.history import History
from foodex.services.accounts.keys import Keys
from foodex.services.accounts.ledger import Ledger
from foodex.services.accounts.passwords import Passwords
from foodex.services.accounts.payments import Payments
from foodex.services.accounts.people import People
from foodex.services.accounts.predictions import PaidPredictions
from foodex.services.accounts.sessions import Sessions
from foodex.services.accounts.tokens import SigningKeys

_PURGE_AFTER_SECONDS: Final = 60.0
"""A command that only looks something up is gone by then."""
_PURGE_EVERY_SECONDS: Final = 86_400.0
_PURGE_SECONDS: Final = 600.0
"""Longest a day's forgetting may take; what is left then is tomorrow's."""

log = structlog.get_logger("foodex.accounts")


class AccountsService:
    """Implements `ports.accounts.Accounts`. Used within `running()`.

    Each method of the port is one of a part, and stands here under its name.
    """

    def __init__(
        self,
        *,
        database: Database,
        settings: AccountsSettings,
        clock: Clock,
        rates: Rates,
        provider: Provider,
        signing: SigningKeys,
    ) -> None:
        self._database, self._clock = database, clock
        self._callers = Callers(database=database, signing=signing, clock=clock)
        self._guessing = Guessing(rates=rates, settings=settings)
        self._sessions = Sessions(
            database=database,
            passwords=(passwords := Passwords(settings)),
            guessing=self._guessing,
            signing=signing,
            settings=settings,
            clock=clock,
            tell=self._callers.tell,
        )
        people = People(
            database=database,
            passwords=passwords,
            guessing=self._guessing,
            settings=settings,
            clock=clock,
            tell=self._callers.tell,
        )
        keys = Keys(database=database, settings=settings, clock=clock, tell=self._callers.tell)
        ledger = Ledger(database=database, settings=settings, clock=clock)
        self._payments = Payments(
            database=database, provider=provider, settings=settings, clock=clock
        )
        self._sales = PaidPredictions(database=database, settings=settings, clock=clock)
        history = History(database=database, settings=settings, clock=clock)

        self.open_account = ledger.open_account
        self.balance = ledger.balance
        self.balances = ledger.balances
        self.top_up = ledger.top_up
        self.correct = ledger.correct
        self.refund = ledger.refund
        self.reserve = ledger.reserve
        self.charge_reserved = ledger.charge_reserved
        self.release = ledger.release
        self.reservation = ledger.reservation
        self.entries = ledger.entries
        self.entries_csv = ledger.entries_csv
        self.usage = ledger.usage
        self.verify = ledger.verify

        self.start_payment = self._payments.start_payment
        self.pretend_payment = self._payments.pretend_payment
        self.payment = self._payments.payment
        self.payments = self._payments.payments
        self.buy = self._sales.buy
        self.buy_many = self._sales.buy_many
        self.prediction = history.prediction
        self.predictions = history.predictions
        self.predictions_csv = history.predictions_csv
        self.purge = history.purge

        self.register = people.register
        self.create_person = people.create_person
        self.person = people.person
        self.people = people.people
        self.change_roles = people.change_roles
        self.block = people.block
        self.unblock = people.unblock
        self.set_password = people.set_password
        self.audit = people.audit

        self.sign_in = self._sessions.sign_in
        self.refresh = self._sessions.refresh
        self.sign_out = self._sessions.sign_out
        self.sign_out_everywhere = self._sessions.sign_out_everywhere
        self.change_password = self._sessions.change_password

        self.create_key = keys.create_key
        self.keys = keys.keys
        self.revoke_key = keys.revoke_key

        self.caller_by_key = self._callers.caller_by_key
        self.caller_by_session = self._callers.caller_by_session
        self.changes = self._callers.changes
        self.keys_used = self._callers.keys_used
        self.token_keys = self._callers.token_keys

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have this called with the name of each person who was changed in this process."""
        self._callers.listen(listener)

    async def price_list(self) -> tuple[Price, ...]:
        """What predictions cost; a price without a model is that of all models not named."""
        return self._sales.prices.listed()

    async def receive_payment(self, body: bytes, headers: Mapping[str, str]) -> Payment:
        """Take in a provider's signed notice; one that is not signed goes to the audit log."""
        try:
            return await self._payments.receive_payment(body, headers)
        except NotAuthenticated:
            if await self._guessing.tell_refusal("notice", source()):
                await self._tell(Action.NOTICE_REFUSED, "")
            raise

    async def tell_refused(self, person: str, what: str, about: str = "") -> None:
        """Write that somebody was refused `what`; once a minute, however often it was."""
        if await self._guessing.tell_refusal("refused", person, what):
            detail = f"{what}: {about}" if about else what
            await self._tell(Action.REFUSED, person[:200], actor=person[:200], detail=detail)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block predictions are sold, and once a day what is too old is forgotten."""
        await migrate(self._database, "accounts")
        async with self._sales.running():
            forgetting = asyncio.create_task(self._keep_forgetting(), name="accounts forgetting")
            try:
                yield
            finally:
                forgetting.cancel()
                with suppress(asyncio.CancelledError):
                    await forgetting

    async def _keep_forgetting(self) -> None:
        await asyncio.sleep(_PURGE_AFTER_SECONDS)
        while True:
            try:
                async with asyncio.timeout(_PURGE_SECONDS):
                    bodies, sessions = await self.purge(), await self._sessions.purge()
                if bodies or sessions:
                    log.info("forgot what is too old", bodies=bodies, sessions=sessions)
            except TimeoutError:
                log.warning("forgetting took too long; the rest waits until tomorrow")
            except FoodexError as error:
                log.warning("what is too old could not be forgotten", error=str(error))
            except Exception as error:
                # A day later it is tried again; the service goes on meanwhile.
                log.exception("what is too old could not be forgotten", error=type(error).__name__)
            await asyncio.sleep(_PURGE_EVERY_SECONDS)

    async def _tell(
        self, action: Action, target: str, *, actor: str | None = None, detail: str = ""
    ) -> None:
        async with self._database.transaction() as connection:
            await audit_log.tell(
                connection, action, target, self._clock.now(), actor=actor or who(), detail=detail
            )
