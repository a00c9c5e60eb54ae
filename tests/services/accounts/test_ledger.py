"""The ledger on each database."""

import asyncio
import csv
import io
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from foodex.core.access import Principal, acting_as
from foodex.core.errors import Conflict, InvalidInput, NotFound, PaymentRequired
from foodex.domain.ledger import EntryFilter, EntryKind, Fault, Price, Reservation
from foodex.domain.money import MAX_AMOUNT_MINOR
from foodex.services.accounts import audit_rows
from foodex.services.accounts.ledger import Ledger
from foodex.services.accounts.tables import balances, entries, predictions
from tests.services.accounts.conftest import Bank, purchase


def price(unit_minor: int, quantity: int = 1) -> Price:
    return Price(operation="eta", unit_minor=unit_minor, quantity=quantity, currency="EUR")


async def test_entries_add_up_to_the_balance_and_say_who_and_when(bank: Bank) -> None:
    await bank.account()
    with acting_as(Principal("grace", frozenset())):
        made = await bank.ledger.top_up("ada", 500, note="by bank transfer")
    await bank.ledger.correct("ada", -20, note="a mistake")
    page = await bank.ledger.entries("ada")
    assert [(e.number, e.kind, e.amount_minor, e.balance_minor) for e in page.entries] == [
        (2, EntryKind.CORRECTION, -20, 480),
        (1, EntryKind.TOP_UP, 500, 500),
    ]
    assert page.entries[1] == made
    assert (made.who, made.note, made.at) == ("grace", "by bank transfer", bank.clock.now())
    assert await bank.left() == 480
    await bank.holds()


@pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT_MINOR + 1, 1.5, "7", True])
async def test_an_amount_that_is_none_is_refused(bank: Bank, amount: int) -> None:
    await bank.account()
    with pytest.raises(InvalidInput) as refused:
        await bank.ledger.top_up("ada", amount)
    assert refused.value.problems[0].field == "amount_minor"
    assert await bank.left() == 0


async def test_a_balance_has_a_ceiling(bank: Bank) -> None:
    await bank.account(balance_minor=MAX_AMOUNT_MINOR)
    with pytest.raises(InvalidInput):
        await bank.ledger.top_up("ada", 1)
    await bank.holds()


async def test_a_reference_is_used_once(bank: Bank) -> None:
    await bank.account()
    await bank.account("bob")
    first = await bank.ledger.top_up("ada", 500, reference="transfer-1")
    assert await bank.ledger.top_up("ada", 500, reference="transfer-1") == first
    for account, amount in (("ada", 501), ("bob", 500)):
        with pytest.raises(Conflict):
            await bank.ledger.top_up(account, amount, reference="transfer-1")
    assert await bank.left() == 500
    await bank.holds()


async def test_of_many_at_once_under_one_reference_one_is_done(bank: Bank) -> None:
    await bank.account()
    await asyncio.gather(*(bank.ledger.top_up("ada", 5, reference="transfer-1") for _ in range(20)))
    assert await bank.left() == 5


@pytest.mark.parametrize("reference", ["", "two words", "x" * 201, "é", "nul\0"])
async def test_a_reference_is_a_plain_word(bank: Bank, reference: str) -> None:
    await bank.account(balance_minor=10)
    with pytest.raises(InvalidInput):
        await bank.ledger.reserve("ada", price(1), reference=reference)


async def test_there_is_no_account_until_it_is_opened(bank: Bank) -> None:
    for action in (
        bank.ledger.balance("eve"),
        bank.ledger.top_up("eve", 5),
        bank.ledger.entries("eve"),
        bank.ledger.reserve("eve", price(1), reference="job-1"),
        bank.ledger.release("job-1"),
    ):
        with pytest.raises(NotFound):
            await action
    opened = await bank.ledger.open_account("eve")
    assert await bank.ledger.open_account("eve") == opened
    with pytest.raises(Conflict):
        await bank.ledger.open_account("eve", "USD")
    assert [b.account for b in await bank.ledger.balances()] == ["eve"]
    assert await bank.ledger.balances(after="eve") == ()


async def test_a_correction_cannot_take_more_than_there_is(bank: Bank) -> None:
    await bank.account(balance_minor=10)
    with pytest.raises(PaymentRequired) as refused:
        await bank.ledger.correct("ada", -11, note="too much")
    assert refused.value.extra == {"balance_minor": 10, "price_minor": 11, "currency": "EUR"}
    with pytest.raises(InvalidInput):
        await bank.ledger.correct("ada", 1, note=" ")
    assert await bank.left() == 10


async def test_what_is_reserved_is_charged_in_parts_and_the_rest_released(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    await bank.ledger.reserve("ada", price(2, 40), reference="job-1")
    await bank.ledger.reserve("ada", price(2, 40), reference="job-1")
    assert await bank.left() == 20
    with pytest.raises(Conflict):
        await bank.ledger.reserve("ada", price(2, 41), reference="job-1")
    with pytest.raises(PaymentRequired):
        await bank.ledger.reserve("ada", price(21), reference="job-2")
    for _ in range(2):
        after = await bank.ledger.charge_reserved("job-1", price(2, 10), reference="part-1")
        assert after.left_minor == 60
    with pytest.raises(Conflict) as refused:
        await bank.ledger.charge_reserved("job-1", price(2, 31), reference="part-2")
    assert refused.value.extra == {"left_minor": 60}
    with pytest.raises(Conflict):
        await bank.ledger.charge_reserved("job-1", price(2, 11), reference="part-1")
    await bank.holds()
    for _ in range(2):
        assert (await bank.ledger.release("job-1")).closed_at == bank.clock.now()
    with pytest.raises(Conflict):
        await bank.ledger.charge_reserved("job-1", price(2), reference="part-3")
    assert await bank.left() == 80
    found = (await bank.ledger.entries("ada", EntryFilter(kinds=(EntryKind.CHARGE,)))).entries
    assert [(entry.subject, entry.price) for entry in found] == [("job-1", price(2, 10))]
    await bank.holds()


async def test_no_more_is_given_back_than_was_charged(bank: Bank) -> None:
    await bank.account(balance_minor=10)
    sales = bank.sales()
    async with sales.running():
        receipt = await sales.buy(purchase())
    charge = f"prediction:{receipt.prediction_id}"
    await bank.ledger.refund("ada", charge, 1, reference="sorry")
    await bank.ledger.refund("ada", charge, 1, reference="sorry")
    assert await bank.left() == 9
    with pytest.raises(Conflict):
        await bank.ledger.refund("ada", charge, 2)
    assert (await bank.ledger.refund("ada", charge)).amount_minor == 1
    with pytest.raises(Conflict):
        await bank.ledger.refund("ada", charge)
    await bank.account("bob", 10)
    for account, name in (("bob", charge), ("ada", "prediction:none")):
        with pytest.raises(NotFound):
            await bank.ledger.refund(account, name)
    assert await bank.left() == 10
    await bank.holds()


async def test_however_many_ask_at_once_a_balance_is_spent_once(bank: Bank) -> None:
    await bank.account(balance_minor=50)

    async def reserve(number: int) -> bool:
        try:
            await bank.ledger.reserve("ada", price(2), reference=f"job-{number}")
        except PaymentRequired:
            return False
        return True

    granted = await asyncio.gather(*(reserve(number) for number in range(60)))
    assert sum(granted) == 25
    assert await bank.left() == 0
    await bank.holds()


async def test_reservations_that_wait_share_commits_and_are_refused_alone(bank: Bank) -> None:
    await bank.account(balance_minor=10)
    await bank.account("bob", 10)
    await bank.ledger.reserve("bob", price(4), reference="known")
    commits = 0

    def committed(_: object) -> None:
        nonlocal commits
        commits += 1

    dollars = replace(price(1), currency="USD")
    wishes = [
        ("ada", price(4), "first"),
        ("eve", price(1), "nobody"),
        ("ada", price(7), "too-dear"),
        ("bob", price(4), "known"),
        ("ada", price(6), "second"),
        ("bob", price(5), "first"),
        ("ada", price(4), "first"),
        ("ada", dollars, "dollars"),
        ("ada", price(1), "nothing-left"),
        *(("bob", price(1), f"bob-{number}") for number in range(6)),
    ]
    sa.event.listen(bank.database.engine.sync_engine, "commit", committed)
    told = await asyncio.gather(
        *(bank.ledger.reserve(account, wanted, reference=name) for account, wanted, name in wishes),
        return_exceptions=True,
    )
    sa.event.remove(bank.database.engine.sync_engine, "commit", committed)
    assert commits == 1
    assert [one.id if isinstance(one, Reservation) else type(one) for one in told] == [
        "first",
        NotFound,
        PaymentRequired,
        "known",
        "second",
        Conflict,
        "first",
        Conflict,
        PaymentRequired,
        *(f"bob-{number}" for number in range(6)),
    ]
    assert (await bank.left(), await bank.left("bob")) == (0, 0)
    await bank.holds()


async def test_reservations_of_two_processes_never_meet_in_a_circle(bank: Bank) -> None:
    for name in ("ada", "bob"):
        await bank.account(name, 100)
    there = Ledger(database=bank.database, settings=bank.settings, clock=bank.clock)

    async def reserve(ledger: Ledger, account: str, name: str) -> bool:
        try:
            await ledger.reserve(account, price(1), reference=name)
        except Conflict:
            return False
        return True

    # The same references under both accounts, so that each is got by one.
    granted = await asyncio.gather(
        *(
            reserve(ledger, account, f"job-{number}")
            for number in range(100)
            for ledger, account in ((bank.ledger, "ada"), (there, "bob"))
        )
    )
    assert sum(granted) == 100
    assert await bank.left() + await bank.left("bob") == 100
    await bank.holds()


async def test_entries_are_filtered_and_paged(bank: Bank) -> None:
    await bank.account()
    start = bank.clock.now()
    for number in range(7):
        await bank.ledger.top_up("ada", 10 + number)
        await bank.ledger.correct("ada", -1, note="less")
        bank.clock.pass_(hours=1)
    tops = EntryFilter(kinds=(EntryKind.TOP_UP,))
    amounts, before = [], None
    while True:
        page = await bank.ledger.entries("ada", tops, before=before, limit=3)
        amounts += [entry.amount_minor for entry in page.entries]
        if (before := page.next_before) is None:
            break
    assert amounts == [16, 15, 14, 13, 12, 11, 10]
    some = EntryFilter(since=start + timedelta(hours=2), until=start + timedelta(hours=4))
    assert [e.number for e in (await bank.ledger.entries("ada", some)).entries] == [8, 7, 6, 5]
    for limit in (0, 1_001):
        with pytest.raises(InvalidInput):
            await bank.ledger.entries("ada", limit=limit)


async def test_an_export_runs_nothing_in_a_spreadsheet(bank: Bank) -> None:
    await bank.account()
    for note in ('=HYPERLINK("http://x")', "+1", " @x", "-2", 'plain, "quoted"'):
        await bank.ledger.top_up("ada", 10, note=note)
    text = b"".join([piece async for piece in bank.ledger.entries_csv("ada")]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["note"] for row in rows] == [
        '\'=HYPERLINK("http://x")',
        "'+1",
        "' @x",
        "'-2",
        'plain, "quoted"',
    ]
    assert [row["balance_minor"] for row in rows] == ["10", "20", "30", "40", "50"]
    assert rows[0]["at"] == "2026-03-06T12:00:00Z"
    with pytest.raises(NotFound):
        [piece async for piece in bank.ledger.entries_csv("eve")]


async def test_nobody_changes_or_removes_an_entry(bank: Bank) -> None:
    await bank.account(balance_minor=10)
    for statement in (sa.update(entries).values(note="nothing to see"), sa.delete(entries)):
        with pytest.raises(sa.exc.DBAPIError, match="only ever added"):
            async with bank.database.transaction() as connection:
                await connection.execute(statement)


async def test_the_database_itself_refuses_a_balance_below_zero(bank: Bank) -> None:
    await bank.account()
    with pytest.raises(sa.exc.IntegrityError):
        async with bank.database.transaction() as connection:
            await connection.execute(sa.update(balances).values(balance_minor=-1))


async def test_an_audit_finds_what_does_not_hold(bank: Bank) -> None:
    await bank.account(balance_minor=100)
    sales = bank.sales()
    async with sales.running():
        bought = [await sales.buy(purchase(number=number)) for number in range(4)]
    await bank.ledger.reserve("ada", price(5), reference="job-1")
    await bank.holds()
    ids = [receipt.prediction_id for receipt in bought]
    at = bank.clock.now()
    forged = {
        "account_id": "ada",
        "kind": "charge",
        "amount_minor": -1,
        "balance_minor": 7,
        "reference": "prediction:none",
        "subject": "none",
        "who": "eve",
        "note": "",
        "at": at,
    }
    one = predictions.c.id == ids[0]
    for statement, faults in (
        (sa.update(balances).values(balance_minor=1), {Fault.BALANCE_IS_NOT_THE_SUM}),
        (sa.update(balances).values(entries=1), {Fault.ENTRY_IS_MISSING}),
        (
            sa.delete(predictions).where(one),
            {Fault.CHARGE_WITHOUT_PREDICTION},
        ),
        (
            sa.update(predictions).where(one).values(entry_number=99),
            {Fault.PREDICTION_WITHOUT_CHARGE, Fault.CHARGE_WITHOUT_PREDICTION},
        ),
        (sa.update(predictions).where(one).values(price_minor=1), {Fault.PREDICTION_PRICE}),
        (sa.text("UPDATE accounts_reservations SET left_minor = 4"), {Fault.RESERVATION}),
        (sa.text("DELETE FROM accounts_reservations"), {Fault.RESERVATION}),
        (
            sa.insert(entries).values(number=9, **forged),
            {
                Fault.ENTRY_IS_MISSING,
                Fault.RUNNING_BALANCE,
                Fault.BALANCE_IS_NOT_THE_SUM,
                Fault.CHARGE_WITHOUT_PREDICTION,
            },
        ),
    ):
        try:
            async with bank.database.transaction() as connection:
                await connection.execute(statement)
                found = await audit_rows.verify(connection)
                raise _Undo
        except _Undo:
            pass
        assert {difference.fault for difference in found.differences} == faults, statement
        assert not found.holds
    await bank.holds()


class _Undo(Exception):
    pass
