"""Payments: asked of a provider, and credited once it says that they were made."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from foodex.core.access import who
from foodex.core.clock import Clock
from foodex.core.errors import Conflict, NotFound
from foodex.core.settings import AccountsSettings
from foodex.core.sql import Database
from foodex.domain.ledger import EntryKind, Posting, no_account
from foodex.domain.money import Money, checked_amount
from foodex.domain.payments import Notice, Payment, PaymentsPage, PaymentState
from foodex.ports.payments import Payments as Provider
from foodex.ports.payments import PretendedPayments
from foodex.services.accounts import ledger_rows
from foodex.services.accounts.ledger import write
from foodex.services.accounts.tables import payments

log = structlog.get_logger("foodex.accounts")


class Payments:
    """Implements `ports.accounts.Payments` over a provider."""

    def __init__(
        self, *, database: Database, provider: Provider, settings: AccountsSettings, clock: Clock
    ) -> None:
        self._database, self._provider = database, provider
        self._settings, self._clock = settings, clock

    async def start_payment(self, account: str, amount_minor: int) -> Payment:
        """Ask the provider for a payment; the payer goes to its `pay_at`."""
        limits = self._settings
        checked_amount(amount_minor, least=limits.top_up_least_minor, most=limits.top_up_most_minor)
        async with self._database.connect() as connection:
            found = await ledger_rows.balance(connection, account)
        if found is None:
            raise no_account(account)
        now = self._clock.now()
        payment = Payment(
            id=secrets.token_hex(16),
            account=account,
            amount_minor=amount_minor,
            currency=found.currency,
            provider=self._provider.name,
            provider_id=None,
            pay_at="",
            state=PaymentState.PENDING,
            who=who(),
            created_at=now,
            changed_at=now,
        )
        money = Money(amount_minor=amount_minor, currency=found.currency)
        asked = await self._provider.create_payment(payment.id, money)
        payment = replace(payment, provider_id=asked.provider_id, pay_at=asked.pay_at)
        # Nobody has seen where to pay yet, so nothing can be paid that is not written down.
        async with self._database.transaction() as connection:
            await connection.execute(sa.insert(payments).values(_values(payment)))
        return payment

    async def receive_payment(self, body: bytes, headers: Mapping[str, str]) -> Payment:
        """Take in a provider's signed notice; what it tells twice is done once.

        Raises `NotAuthenticated` for a bad or old signature, `NotFound` for a payment that is not
        ours, and `Conflict` where what was paid is not what was asked for.
        """
        notice = self._provider.read_notice(body, headers)
        async with self._database.transaction() as connection:
            payment = await self._locked(connection, notice.provider_id)
            if payment.state is notice.state or payment.state is PaymentState.PAID:
                return payment
            if notice.state is PaymentState.PENDING:
                return payment
            if notice.state is PaymentState.PAID:
                await self._credit(connection, payment, notice)
            payment = replace(payment, state=notice.state, changed_at=self._clock.now())
            await connection.execute(
                sa.update(payments)
                .where(payments.c.id == payment.id)
                .values(state=payment.state.value, changed_at=payment.changed_at)
            )
        log.info("payment", payment=payment.id, state=payment.state.value)
        return payment

    async def pretend_payment(self, account: str, payment_id: str) -> Payment:
        """Have the provider of a demonstration tell that this was paid, signed as a real one would.

        Raises `Conflict` where the provider is a real one, and `NotFound`.
        """
        payment = await self.payment(account, payment_id)
        provider = self._provider
        if not isinstance(provider, PretendedPayments) or payment.provider_id is None:
            raise Conflict(f"{provider.name} takes real money: pay at {payment.pay_at}")
        money = Money(amount_minor=payment.amount_minor, currency=payment.currency)
        return await self.receive_payment(*provider.pay(payment.provider_id, money))

    async def payment(self, account: str, payment_id: str) -> Payment:
        """One payment of this account."""
        async with self._database.connect() as connection:
            found = await connection.execute(
                sa.select(payments).where(
                    payments.c.id == payment_id, payments.c.account_id == account
                )
            )
            row = found.one_or_none()
        if row is None:
            raise NotFound("There is no such payment")
        return _payment(row)

    async def payments(
        self,
        account: str | None,
        *,
        state: PaymentState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> PaymentsPage:
        """One page of an account's payments, newest first; of all accounts, if none is given."""
        limit = checked_amount(limit, "limit", most=self._settings.page_rows)
        newest = (payments.c.created_at.desc(), payments.c.id.desc())
        statement = sa.select(payments).order_by(*newest).limit(limit + 1)
        if account is not None:
            statement = statement.where(payments.c.account_id == account)
        if state is not None:
            statement = statement.where(payments.c.state == state.value)
        if before is not None:
            last = sa.select(payments.c.created_at, payments.c.id).where(payments.c.id == before)
            older = sa.tuple_(payments.c.created_at, payments.c.id) < last.scalar_subquery()
            statement = statement.where(older)
        async with self._database.connect() as connection:
            found = [_payment(row) for row in await connection.execute(statement)]
        more = len(found) > limit
        return PaymentsPage(
            payments=tuple(found[:limit]),
            next_before=found[limit - 1].id if more else None,
        )

    async def _locked(self, connection: AsyncConnection, provider_id: str) -> Payment:
        found = await connection.execute(
            sa.select(payments)
            .where(
                payments.c.provider == self._provider.name, payments.c.provider_id == provider_id
            )
            .with_for_update()
        )
        row = found.one_or_none()
        if row is None:
            raise NotFound("There is no such payment")
        return _payment(row)

    async def _credit(self, connection: AsyncConnection, payment: Payment, notice: Notice) -> None:
        if (notice.amount_minor, notice.currency) != (payment.amount_minor, payment.currency):
            raise Conflict("The amount paid is not the amount that was asked for")
        before = await ledger_rows.locked(connection, payment.account)
        if before is None:
            raise no_account(payment.account)
        posting = Posting(
            kind=EntryKind.TOP_UP,
            amount_minor=payment.amount_minor,
            reference=f"payment:{payment.id}",
            subject=notice.provider_id,
            who=payment.who,
            note=f"paid through {payment.provider}",
        )
        await write(connection, before, [posting], self._clock.now())


def _values(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.id,
        "account_id": payment.account,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "provider": payment.provider,
        "provider_id": payment.provider_id,
        "pay_at": payment.pay_at,
        "state": payment.state.value,
        "who": payment.who,
        "created_at": payment.created_at,
        "changed_at": payment.changed_at,
    }


def _payment(row: sa.Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        account=row.account_id,
        amount_minor=row.amount_minor,
        currency=row.currency,
        provider=row.provider,
        provider_id=row.provider_id,
        pay_at=row.pay_at,
        state=PaymentState(row.state),
        who=row.who,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
