"""Paid predictions on each database.

`FOODEX_TEST_CHARGES` sets how many at once ask for what is enough for half of them.
"""

import asyncio
import os
from typing import Any

import pytest
from msgspec.structs import replace

from foodex.core.errors import (
    Conflict,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    PaymentRequired,
    Unavailable,
)
from foodex.domain.purchases import Answer, Receipt
from tests.services.accounts.conftest import Bank, purchase

CHARGES = int(os.environ.get("FOODEX_TEST_CHARGES", "2000"))


async def results(*buying: Any) -> list[Any]:
    return await asyncio.gather(*buying, return_exceptions=True)


async def test_a_prediction_is_charged_recorded_and_then_answered(bank: Bank) -> None:
    await bank.account(balance_minor=10)
    sales = bank.sales()
    async with sales.running():
        receipt = await sales.buy(purchase(number=7))
    assert receipt == Receipt(
        prediction_id=receipt.prediction_id,
        answer=b'{"median_minutes":7}',
        price_minor=2,
        currency="EUR",
        balance_minor=8,
    )
    kept = await bank.history.prediction("ada", receipt.prediction_id)
    asked = purchase(number=7)
    assert asked.answer is not None
    assert (kept.order, kept.answer, kept.features, kept.inputs) == (
        asked.order,
        asked.answer.answer,
        asked.answer.features,
        asked.answer.inputs,
    )
    assert (kept.model, kept.version, kept.key_id, kept.at) == (
        "lahti",
        4,
        "key-1",
        bank.clock.now(),
    )
    entry = (await bank.ledger.entries("ada")).entries[0]
    assert (entry.number, entry.amount_minor) == (kept.entry_number, -2)
    assert entry.price is not None
    assert (entry.price.operation, entry.price.model, entry.price.unit_minor) == (
        "eta",
        "lahti",
        2,
    )
    await bank.holds()


async def test_the_price_is_that_of_the_model_that_answered(bank: Bank) -> None:
    await bank.account(balance_minor=10)
    sales = bank.sales()
    async with sales.running():
        for model, left in (("helsinki", 7), ("free", 7), (None, 5)):
            answer = Answer(answer=b"{}", model=model)
            assert (await sales.buy(purchase(answer=answer))).balance_minor == left
        with pytest.raises(NotFound):
            await sales.buy(purchase(operation="horoscope"))
    await bank.holds()


async def test_who_cannot_pay_is_refused_alone(bank: Bank) -> None:
    await bank.account(balance_minor=5)
    await bank.account("bob", 100)
    sales = bank.sales()
    dear = Answer(answer=b"{}", model="helsinki")
    async with sales.running():
        told = await results(
            sales.buy(purchase("ada")),
            sales.buy(purchase("bob")),
            sales.buy(purchase("ada", answer=dear)),
            sales.buy(purchase("ada", answer=dear)),
            sales.buy(purchase("eve")),
            sales.buy(purchase("bob")),
        )
    assert [getattr(one, "balance_minor", None) for one in told] == [3, 98, 0, None, None, 96]
    assert isinstance(told[3], PaymentRequired)
    assert told[3].extra == {"balance_minor": 0, "price_minor": 3, "currency": "EUR"}
    assert told[4].extra == {"balance_minor": 0, "price_minor": 2, "currency": "EUR"}
    await bank.holds()


async def test_what_is_bought_together_fares_apart(bank: Bank) -> None:
    await bank.account(balance_minor=3)
    sales = bank.sales()
    async with sales.running():
        told = await sales.buy_many(
            [
                purchase(idempotency_key="no\nkey"),
                purchase(number=1),
                purchase(operation="horoscope"),
                purchase(number=2),
                purchase(answer=None),
            ]
        )
        assert await sales.buy_many([]) == ()
        assert [type(one) for one in await sales.buy_many([purchase(idempotency_key="")])] == [
            InvalidInput
        ]
    assert [type(one) for one in told] == [
        InvalidInput,
        Receipt,
        NotFound,
        PaymentRequired,
        InternalError,
    ]
    assert await bank.left() == 1
    await bank.holds()


async def test_one_that_is_too_dear_does_not_bar_cheaper_ones(bank: Bank) -> None:
    await bank.account(balance_minor=2)
    sales = bank.sales()
    dear = Answer(answer=b"{}", model="helsinki")
    async with sales.running():
        told = await results(
            sales.buy(purchase(answer=dear)), sales.buy(purchase()), sales.buy(purchase())
        )
    assert isinstance(told[0], PaymentRequired)
    assert isinstance(told[1], Receipt)
    assert isinstance(told[2], PaymentRequired)
    await bank.holds()


async def test_an_account_in_another_currency_cannot_buy(bank: Bank) -> None:
    await bank.ledger.open_account("ada", "USD")
    await bank.ledger.top_up("ada", 100)
    sales = bank.sales()
    async with sales.running():
        with pytest.raises(Conflict, match="USD"):
            await sales.buy(purchase())
    assert await bank.left() == 100


async def test_a_balance_for_half_of_them_answers_half_of_them(bank: Bank) -> None:
    await bank.account(balance_minor=CHARGES)
    sales = bank.sales()
    async with sales.running():
        told = await results(*(sales.buy(purchase(number=n)) for n in range(CHARGES)))
    paid = [one for one in told if isinstance(one, Receipt)]
    assert len(paid) == CHARGES // 2
    assert sum(isinstance(one, PaymentRequired) for one in told) == CHARGES // 2
    assert sorted(one.balance_minor for one in paid) == list(range(0, CHARGES, 2))
    assert await bank.left() == 0
    await bank.holds()


async def test_top_ups_and_reservations_go_on_beside_sales(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales(batch=8)
    async with sales.running():
        told = await results(
            *(sales.buy(purchase(number=n)) for n in range(100)),
            *(bank.ledger.top_up("ada", 2) for _ in range(20)),
        )
    paid = sum(isinstance(one, Receipt) for one in told)
    assert paid >= 50
    assert await bank.left() == 140 - 2 * paid
    await bank.holds()


async def test_a_key_gives_the_same_answer_again_and_charges_once(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales()
    asked = purchase(number=1, idempotency_key="again")
    async with sales.running():
        first = await sales.buy(asked)
        later = replace(asked, answer=Answer(answer=b"another by now"))
        assert await sales.buy(later) == replace(first, replayed=True)
        with pytest.raises(Conflict):
            await sales.buy(purchase(number=2, idempotency_key="again"))
        await bank.account("bob", 100)
        other = await sales.buy(replace(asked, account="bob"))
    assert other.prediction_id != first.prediction_id
    assert not other.replayed
    assert (await bank.left(), await bank.left("bob")) == (98, 98)
    await bank.holds()


async def test_a_key_holds_within_one_batch(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales()
    same = [purchase(number=1, idempotency_key="k") for _ in range(5)]
    async with sales.running():
        told = await results(
            *(sales.buy(one) for one in same),
            sales.buy(purchase(number=2, idempotency_key="k")),
            sales.buy(purchase(number=3, idempotency_key="l")),
        )
    assert len({one.prediction_id for one in told[:5]}) == 1
    assert [one.replayed for one in told[:5]] == [False, True, True, True, True]
    assert isinstance(told[5], Conflict)
    assert await bank.left() == 96
    await bank.holds()


async def test_a_refused_key_can_be_used_once_there_is_money(bank: Bank) -> None:
    await bank.account()
    sales = bank.sales()
    asked = purchase(idempotency_key="k")
    async with sales.running():
        told = await results(sales.buy(asked), sales.buy(asked))
        assert [type(one) for one in told] == [PaymentRequired] * 2
        await bank.ledger.top_up("ada", 2)
        assert (await sales.buy(asked)).balance_minor == 0
    await bank.holds()


@pytest.mark.parametrize("key", ["", "x" * 256, "nul\0", "é", "two\nlines"])
async def test_a_key_is_plain_text(bank: Bank, key: str) -> None:
    sales = bank.sales()
    async with sales.running():
        with pytest.raises(InvalidInput) as refused:
            await sales.buy(purchase(idempotency_key=key))
    assert refused.value.problems[0].field == "Idempotency-Key"


async def test_what_brings_no_answer_is_refused_alone(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales()
    async with sales.running():
        wanted = [purchase(number=n, answer=None if n == 3 else answered(n)) for n in range(6)]
        told = await results(*(sales.buy(one) for one in wanted))
        twice = [purchase(number=9, answer=answered(n), idempotency_key="k") for n in (7, 8)]
        replayed = await results(*(sales.buy(one) for one in twice))
    assert [getattr(one, "answer", None) for one in told] == [b"0", b"1", b"2", None, b"4", b"5"]
    assert isinstance(told[3], InternalError)
    assert [one.answer for one in replayed] == [b"7", b"7"]
    assert await bank.left() == 100 - 12
    await bank.holds()


def answered(number: int) -> Answer:
    return Answer(answer=b"%d" % number)


async def test_a_member_that_cannot_be_written_hurts_no_other(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales()
    async with sales.running():
        first = await sales.buy(purchase())
        told = await results(
            *(sales.buy(purchase(number=n)) for n in range(5)),
            sales.buy(purchase(id=first.prediction_id)),
            sales.buy(purchase(answer=Answer(answer=b"", version=2**70))),
            *(sales.buy(purchase(number=n)) for n in range(5)),
        )
    assert [type(one) for one in told[5:7]] == [InternalError] * 2
    assert all(isinstance(one, Receipt) for one in told[:5] + told[7:])
    assert await bank.left() == 100 - 22
    await bank.holds()


async def test_callers_who_give_up_take_nobody_down(bank: Bank) -> None:
    await bank.account(balance_minor=10_000)
    sales = bank.sales(batch=16)
    async with sales.running():
        buying = [asyncio.create_task(sales.buy(purchase(number=n))) for n in range(200)]
        for number, task in enumerate(buying):
            if number % 3 == 0:
                task.cancel()
            if number % 20 == 0:
                await asyncio.sleep(0)
        told = await results(*buying)
        assert isinstance(await sales.buy(purchase()), Receipt)
    paid = sum(isinstance(one, Receipt) for one in told)
    gone = sum(isinstance(one, asyncio.CancelledError) for one in told)
    assert paid + gone == 200
    assert paid >= 133
    spent = (10_000 - await bank.left()) // 2
    assert paid + 1 <= spent <= 201
    await bank.holds()


async def test_more_than_can_wait_is_shed(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales(waiting=4)
    async with sales.running():
        told = await results(*(sales.buy(purchase()) for _ in range(6)))
    assert [type(one) for one in told] == [Receipt] * 4 + [Overloaded] * 2
    assert told[5].retry_after_seconds == 1
    with pytest.raises(Unavailable):
        await sales.buy(purchase())
    assert await bank.left() == 92


async def test_what_waits_at_the_end_is_still_written(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales(batch=2)
    async with sales.running():
        buying = [asyncio.create_task(sales.buy(purchase(number=n))) for n in range(7)]
        await asyncio.sleep(0)
    assert all(isinstance(one, Receipt) for one in await results(*buying))
    await bank.holds()


async def test_two_sellers_on_one_database_sell_no_more_than_one(bank: Bank) -> None:
    await bank.account(balance_minor=200)
    one, two = bank.sales(batch=8), bank.sales(batch=8)
    async with one.running(), two.running():
        told = await results(
            *(
                seller.buy(purchase(number=n, idempotency_key=f"k{n}"))
                for n in range(80)
                for seller in (one, two)
            )
        )
    receipts = [one for one in told if isinstance(one, Receipt)]
    assert len(receipts) == 160
    assert len({receipt.prediction_id for receipt in receipts}) == 80
    assert await bank.left() == 40
    await bank.holds()
