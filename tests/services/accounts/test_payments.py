"""Payments through a provider, on each database."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from foodex.adapters.payments.signing import HEADER, sign
from foodex.core.errors import BadRequest, Conflict, InvalidInput, NotAuthenticated, NotFound
from foodex.domain.ledger import EntryKind, Fault
from foodex.domain.money import Money
from foodex.domain.payments import Notice, Payment, PaymentState
from foodex.services.accounts.payments import Payments
from tests.services.accounts.conftest import SECRET, Bank


async def started(bank: Bank, amount_minor: int = 500) -> tuple[Payment, Money]:
    await bank.account()
    payment = await bank.payments.start_payment("ada", amount_minor)
    return payment, Money(amount_minor=amount_minor, currency="EUR")


def signed(bank: Bank, notice: Notice) -> tuple[bytes, dict[str, str]]:
    body = msgspec.json.encode(notice)
    return body, {HEADER: sign(SECRET, body, bank.clock.now())}


async def test_what_is_paid_is_credited_once(bank: Bank) -> None:
    payment, amount = await started(bank)
    assert payment.state is PaymentState.PENDING
    assert payment.pay_at
    body, headers = bank.provider.pay(str(payment.provider_id), amount)
    first = await bank.payments.receive_payment(body, headers)
    assert first.state is PaymentState.PAID
    bank.clock.pass_(minutes=1)
    again = [bank.provider.pay(str(payment.provider_id), amount), (body, headers)] * 5
    told = await asyncio.gather(*(bank.payments.receive_payment(*one) for one in again))
    assert set(told) == {first}
    (entry,) = (await bank.ledger.entries("ada")).entries
    assert (entry.kind, entry.amount_minor, entry.subject) == (
        EntryKind.TOP_UP,
        500,
        payment.provider_id,
    )
    assert await bank.payments.payment("ada", payment.id) == first
    with pytest.raises(NotFound):
        await bank.payments.payment("bob", payment.id)
    await bank.holds()


async def test_of_many_notices_at_once_one_is_credited(bank: Bank) -> None:
    payment, amount = await started(bank)
    notice = bank.provider.pay(str(payment.provider_id), amount)
    await asyncio.gather(*(bank.payments.receive_payment(*notice) for _ in range(10)))
    assert await bank.left() == 500
    await bank.holds()


class Taker:
    """A provider that takes real money: nobody can have it tell what was not paid."""

    name = "bank"

    def __init__(self, bank: Bank) -> None:
        self.create_payment = bank.provider.create_payment
        self.read_notice = bank.provider.read_notice


async def test_only_in_a_demonstration_a_payment_is_pretended(bank: Bank) -> None:
    payment, _ = await started(bank)
    settings = {"database": bank.database, "settings": bank.settings, "clock": bank.clock}
    real = Payments(provider=Taker(bank), **settings)
    asked = await real.start_payment("ada", 500)
    with pytest.raises(Conflict, match="real money"):
        await real.pretend_payment("ada", asked.id)
    assert await bank.left() == 0
    assert (await bank.payments.pretend_payment("ada", payment.id)).state is PaymentState.PAID
    assert await bank.left() == 500
    await bank.holds()


async def test_a_failed_payment_credits_nothing_until_it_is_paid(bank: Bank) -> None:
    payment, amount = await started(bank)
    provider_id = str(payment.provider_id)
    for state, left in (
        (PaymentState.FAILED, 0),
        (PaymentState.PENDING, 0),
        (PaymentState.PAID, 500),
        (PaymentState.FAILED, 500),
    ):
        await bank.payments.receive_payment(*bank.provider.pay(provider_id, amount, state))
        assert await bank.left() == left
    await bank.holds()


async def test_a_signature_must_be_genuine_and_recent(bank: Bank) -> None:
    payment, amount = await started(bank)
    body, headers = bank.provider.pay(str(payment.provider_id), amount)
    now = bank.clock.now()
    wrong = [
        {},
        {HEADER: ""},
        {HEADER: "t=1,v1="},
        {HEADER: sign("another secret", body, now)},
        {HEADER: sign(SECRET, body + b" ", now)},
        {HEADER: sign(SECRET, body, now - timedelta(seconds=301))},
        {HEADER: sign(SECRET, body, now + timedelta(seconds=301))},
        {HEADER: headers[HEADER].replace("t=", f"t={int(now.timestamp()) - 1},t=")},
        {HEADER: headers[HEADER].replace("v1", "v0")},
        {HEADER: "v1=é"},
        {HEADER: headers[HEADER] + "," * 1_000},
    ]
    for one in wrong:
        with pytest.raises(NotAuthenticated):
            await bank.payments.receive_payment(body, one)
    bank.clock.pass_(seconds=301)
    with pytest.raises(NotAuthenticated):
        await bank.payments.receive_payment(body, headers)
    assert await bank.left() == 0
    both = sign("the next secret", body, bank.clock.now()).split(",")[1]
    rolled = {HEADER: f"{sign(SECRET, body, bank.clock.now())},{both}"}
    assert (await bank.payments.receive_payment(body, rolled)).state is PaymentState.PAID


async def test_a_signed_notice_is_still_checked(bank: Bank) -> None:
    payment, _ = await started(bank)
    notice = Notice(
        provider_id=str(payment.provider_id),
        state=PaymentState.PAID,
        amount_minor=500,
        currency="EUR",
    )
    for other, error in (
        ({"amount_minor": 50_000}, Conflict),
        ({"currency": "USD"}, Conflict),
        ({"provider_id": "stranger"}, NotFound),
    ):
        with pytest.raises(error):
            await bank.payments.receive_payment(*signed(bank, replace(notice, **other)))
    for body in (b"", b"{", b'{"amount_minor":"500"}', b"[" * 10_000, b"\xff"):
        with pytest.raises(BadRequest):
            await bank.payments.receive_payment(
                body, {HEADER: sign(SECRET, body, bank.clock.now())}
            )
    assert await bank.left() == 0
    await bank.holds()


@pytest.mark.parametrize("amount", [-5, 0, 99, 10_000_001, 5.5, "500"])
async def test_a_payment_has_limits(bank: Bank, amount: int) -> None:
    await bank.account()
    with pytest.raises(InvalidInput):
        await bank.payments.start_payment("ada", amount)
    with pytest.raises(NotFound):
        await bank.payments.start_payment("eve", 500)


async def test_an_audit_compares_payments_with_entries(bank: Bank) -> None:
    await started(bank)
    async with bank.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE accounts_payments SET state = 'paid'")
    found = await bank.ledger.verify()
    assert [difference.fault for difference in found.differences] == [Fault.PAYMENT]
