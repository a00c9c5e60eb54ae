"""The history of paid predictions on each database."""

import csv
import io
from datetime import timedelta

import pytest

from foodex.core.errors import Conflict, NotFound
from foodex.domain.purchases import Answer, PredictionFilter
from tests.services.accounts.conftest import Bank, purchase


async def bought(bank: Bank) -> list[str]:
    await bank.account(balance_minor=1_000)
    sales, made = bank.sales(), []
    async with sales.running():
        for number in range(6):
            answer = Answer(answer=b"=1+%d" % number, model="helsinki" if number % 2 else None)
            asked = purchase(number=number, answer=answer, key_id=f"key-{number // 3}")
            made.append((await sales.buy(asked)).prediction_id)
            bank.clock.pass_(days=1)
    return made


async def test_predictions_are_filtered_and_paged(bank: Bank) -> None:
    made = await bought(bank)
    start = bank.clock.now() - timedelta(days=6)

    async def ids(**filter_: object) -> list[str]:
        found, before = [], None
        while True:
            page = await bank.history.predictions(
                "ada",
                PredictionFilter(**filter_),
                before=before,
                limit=2,
            )
            found += [prediction.id for prediction in page.predictions]
            assert all(prediction.order is None for prediction in page.predictions)
            if (before := page.next_before) is None:
                return found

    assert await ids() == made[::-1]
    assert await ids(model="helsinki") == [made[5], made[3], made[1]]
    assert await ids(key_id="key-1") == [made[5], made[4], made[3]]
    assert await ids(since=start + timedelta(days=2), until=start + timedelta(days=4)) == [
        made[3],
        made[2],
    ]
    assert (await bank.history.predictions("bob")).predictions == ()


async def test_one_reads_ones_own_predictions_only(bank: Bank) -> None:
    made = await bought(bank)
    assert (await bank.history.prediction(None, made[0])).account == "ada"
    told = []
    for account, id_ in (("bob", made[0]), ("bob", "0" * 32)):
        with pytest.raises(NotFound) as refused:
            await bank.history.prediction(account, id_)
        told.append(str(refused.value))
    assert told[0] == told[1]


async def test_an_export_has_orders_and_answers(bank: Bank) -> None:
    made = await bought(bank)
    text = b"".join([piece async for piece in bank.history.predictions_csv("ada")]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == made
    assert [row["answer"] for row in rows][:2] == ["'=1+0", "'=1+1"]
    assert rows[0]["order"] == '{"order_id":"0"}'
    assert rows[0]["at"] == "2026-03-06T12:00:00Z"


async def test_bodies_are_forgotten_in_time_and_charges_never(bank: Bank) -> None:
    made = await bought(bank)
    sales = bank.sales()
    asked = purchase(number=9, idempotency_key="k")
    async with sales.running():
        await sales.buy(asked)
    bank.clock.pass_(days=90 - 2)
    assert await bank.history.purge() == 4
    assert await bank.history.purge() == 0
    for id_ in made:
        found = await bank.history.prediction("ada", id_)
        kept = id_ in made[4:]
        assert (found.order is not None, found.answer is not None) == (kept, kept)
        assert found.features is None
    bank.clock.pass_(days=5)
    assert await bank.history.purge() == 3
    left = await bank.left()
    async with sales.running():
        with pytest.raises(Conflict, match="no longer kept"):
            await sales.buy(asked)
    assert await bank.left() == left
    await bank.holds()
