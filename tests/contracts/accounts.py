"""What every backend of the accounts port does; the subclass gives `start`."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from foodex.adapters.payments.local import LocalPayments
from foodex.core.access import Principal, Role, acting_as
from foodex.core.errors import (
    Conflict,
    InternalError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    PaymentRequired,
    TooManyRequests,
)
from foodex.domain.ledger import EntryFilter, EntryKind, Price
from foodex.domain.money import Money
from foodex.domain.payments import Payment, PaymentState
from foodex.domain.people import Action, AuditFilter, KeyUse, Scope
from foodex.domain.purchases import Answer, PredictionFilter, Purchase, Receipt
from foodex.ports.accounts import Accounts
from foodex.services.accounts.keys import digest

Start = Callable[[], AbstractAsyncContextManager[Accounts]]

PASSWORD = "correct horse battery"
NAN_ROW = b"\x00\x00\x00\x00\x00\x00\xf8\x7f" + bytes(range(8))


def purchase(number: int = 0, **values: Any) -> Purchase:
    return Purchase(
        **{"account": "ada", "who": "ada", "key_id": "k1", "order": b'{"n":%d}' % number, **values}
    )


def answer(number: int = 0) -> Answer:
    return Answer(
        answer=b'{"minutes":%d}' % number,
        model="lahti",
        version=4,
        features=NAN_ROW,
        inputs=b"\xff\x00",
    )


async def rich(accounts: Accounts, name: str = "ada", balance_minor: int = 100) -> None:
    await accounts.create_person(name, (Role.CLIENT,), PASSWORD)
    if balance_minor:
        await accounts.top_up(name, balance_minor, reference=f"first-{name}")


class AccountsContract:
    @pytest.fixture
    def start(self) -> Start:
        raise NotImplementedError

    @pytest.fixture
    async def accounts(self, start: Start) -> AsyncIterator[Accounts]:
        async with start() as accounts:
            yield accounts

    # --- Money ---

    async def test_an_account_is_opened_filled_and_read(self, accounts: Accounts) -> None:
        made = await accounts.open_account("shop/1;x")
        assert (made.currency, made.balance_minor, made.entries) == ("EUR", 0, 0)
        assert await accounts.open_account("shop/1;x") == made
        with pytest.raises(Conflict, match="EUR"):
            await accounts.open_account("shop/1;x", "USD")
        with acting_as(Principal("root", frozenset({Role.ADMIN}))):
            entry = await accounts.top_up("shop/1;x", 70, reference="r", note="=1+1 über")
        assert (entry.who, entry.amount_minor, entry.note) == ("root", 70, "=1+1 über")
        assert await accounts.top_up("shop/1;x", 70, reference="r") == entry
        with pytest.raises(Conflict):
            await accounts.top_up("shop/1;x", 71, reference="r")
        down = await accounts.correct("shop/1;x", -20, note="too much")
        assert (await accounts.balance("shop/1;x")).balance_minor == down.balance_minor == 50
        assert [b.account for b in await accounts.balances()] == ["shop/1;x"]
        assert await accounts.balances(after="shop/1;x") == ()
        page = await accounts.entries("shop/1;x", limit=1)
        assert page.entries == (down,)
        rest = await accounts.entries("shop/1;x", before=page.next_before)
        assert (rest.entries, rest.next_before) == ((entry,), None)
        only = EntryFilter(kinds=(EntryKind.TOP_UP,), since=entry.at, until=entry.at)
        assert (await accounts.entries("shop/1;x", only)).entries == ()
        only = EntryFilter(kinds=(EntryKind.TOP_UP,), since=entry.at)
        assert (await accounts.entries("shop/1;x", only)).entries == (entry,)
        table = b"".join([piece async for piece in accounts.entries_csv("shop/1;x")])
        assert table.decode().splitlines()[1].endswith(",root,'=1+1 über")

    async def test_what_is_not_there_or_not_possible(self, accounts: Accounts) -> None:
        for asked in (
            accounts.balance("nobody"),
            accounts.top_up("nobody", 1),
            accounts.entries("nobody"),
            accounts.reservation("nosuch"),
            accounts.payment("nobody", "nosuch"),
            accounts.prediction(None, "nosuch"),
            accounts.prediction("nobody", "nosuch"),
            accounts.person("nobody"),
            accounts.keys("nobody"),
        ):
            with pytest.raises(NotFound):
                await asked
        with pytest.raises(NotFound):
            _ = [piece async for piece in accounts.entries_csv("nobody")]
        await accounts.open_account("ada")
        for amount in (0, -1, 10**13):
            with pytest.raises(InvalidInput) as caught:
                await accounts.top_up("ada", amount)
            assert caught.value.problems[0].field == "amount_minor"
        with pytest.raises(PaymentRequired) as short:
            await accounts.correct("ada", -5, note="no")
        assert short.value.extra == {"balance_minor": 0, "price_minor": 5, "currency": "EUR"}

    async def test_a_reservation_is_charged_and_released(self, accounts: Accounts) -> None:
        await rich(accounts)
        job = Price(operation="batch", unit_minor=2, currency="EUR", quantity=40)
        part = Price(operation="batch", unit_minor=2, currency="EUR", quantity=30, model="lahti")
        with acting_as(Principal("ada", frozenset({Role.CLIENT}), "ada")):
            made = await accounts.reserve("ada", job, reference="job-1")
            assert await accounts.reserve("ada", job, reference="job-1") == made
            with pytest.raises(PaymentRequired) as short:
                await accounts.reserve("ada", job, reference="job-2")
            assert short.value.extra["balance_minor"] == 20
            charged = await accounts.charge_reserved("job-1", part, reference="all")
            assert charged == await accounts.charge_reserved("job-1", part, reference="all")
            with pytest.raises(Conflict) as beyond:
                await accounts.charge_reserved("job-1", part, reference="more")
            assert beyond.value.extra == {"left_minor": 20}
            released = await accounts.release("job-1")
        assert (charged.left_minor, released.left_minor) == (20, 0)
        assert released.closed_at
        assert await accounts.reservation("job-1") == released
        assert (await accounts.balance("ada")).balance_minor == 40
        entries = (await accounts.entries("ada")).entries
        assert {one.who for one in entries if one.kind is not EntryKind.TOP_UP} == {"ada"}
        charge = next(one for one in entries if one.kind is EntryKind.CHARGE)
        assert charge.price == part
        back = await accounts.refund("ada", charge.reference, 10, note="late")
        assert (back.subject, back.balance_minor) == (charge.reference, 50)
        verified = await accounts.verify()
        assert (verified.holds, verified.accounts, verified.differences) == (True, 1, ())
        assert verified.totals == (Money(amount_minor=50, currency="EUR"),)

    async def test_a_payment_is_credited_once(
        self, accounts: Accounts, provider: LocalPayments
    ) -> None:
        await rich(accounts, balance_minor=0)
        with acting_as(Principal("ada", frozenset({Role.CLIENT}), "ada")):
            asked = await accounts.start_payment("ada", 500)
            assert await accounts.payment("ada", asked.id) == asked
        assert (asked.state, asked.who) == (PaymentState.PENDING, "ada")
        money = Money(amount_minor=500, currency="EUR")
        body, headers = provider.pay(str(asked.provider_id), money)
        for _ in range(2):
            paid = await accounts.receive_payment(body, headers)
            assert (paid.id, paid.state) == (asked.id, PaymentState.PAID)
        assert (await accounts.balance("ada")).balance_minor == 500
        pretended = await accounts.start_payment("ada", 300)
        for _ in range(2):
            told = await accounts.pretend_payment("ada", pretended.id)
            assert (told.id, told.state) == (pretended.id, PaymentState.PAID)
        assert (await accounts.balance("ada")).balance_minor == 800
        with pytest.raises(NotFound):
            await accounts.pretend_payment("ada", "f" * 32)
        for _ in range(2):
            with pytest.raises(NotAuthenticated):
                await accounts.receive_payment(body + b" ", headers)
        refused = await accounts.audit(AuditFilter(actions=(Action.NOTICE_REFUSED,)))
        assert len(refused.entries) == 1

    async def test_payments_are_listed_by_pages(self, accounts: Accounts) -> None:
        for name in ("ada", "bob"):
            await rich(accounts, name, 0)
        adas = [await accounts.start_payment("ada", 500 + n) for n in range(3)]
        bobs = await accounts.start_payment("bob", 700)
        paid = await accounts.pretend_payment("ada", adas[0].id)
        by_id = {one.id: one for one in (paid, *adas[1:])}
        own = (await accounts.payments("ada")).payments
        assert {one.id: one for one in own} == by_id
        listed: list[Payment] = []
        cursor: str | None = None
        for _ in range(4):
            page = await accounts.payments(None, before=cursor, limit=1)
            listed += page.payments
            cursor = page.next_before
        assert cursor is None
        assert {one.id: one for one in listed} == by_id | {bobs.id: bobs}
        (only,) = (await accounts.payments(None, state=PaymentState.PAID)).payments
        assert only == paid

    async def test_usage_is_told_by_day(self, accounts: Accounts) -> None:
        await rich(accounts)
        (filled,) = (await accounts.entries("ada")).entries
        since, until = filled.at - timedelta(days=30), filled.at + timedelta(days=1)
        assert await accounts.usage("ada", since=since, until=until) == ()
        for number in range(3):
            await accounts.buy(purchase(number, answer=answer(number)))
        job = Price(operation="batch", unit_minor=1, currency="EUR", quantity=40)
        part = Price(operation="batch", unit_minor=1, currency="EUR", quantity=30)
        await accounts.reserve("ada", job, reference="job-1")
        await accounts.charge_reserved("job-1", part, reference="all")
        await accounts.release("job-1")
        # A midnight may pass in between.
        found = await accounts.usage("ada", since=since, until=until)
        told = {
            name: tuple(
                sum(getattr(one, what) for one in found if one.operation == name)
                for what in ("quantity", "charged_minor")
            )
            for name in ("eta", "batch")
        }
        assert told == {"eta": (3, 6), "batch": (30, 30)}
        assert {one.day for one in found} <= {filled.at.date(), until.date()}
        assert await accounts.usage("ada", since=since, until=since) == ()
        assert await accounts.usage("ada", since=until, until=until) == ()
        assert await accounts.usage("nobody", since=since, until=until) == ()

    # --- Sales ---

    async def test_what_is_bought_is_recorded_to_the_byte(self, accounts: Accounts) -> None:
        await rich(accounts)
        receipt = await accounts.buy(purchase(7, answer=answer(7)))
        assert receipt == Receipt(
            prediction_id=receipt.prediction_id,
            answer=b'{"minutes":7}',
            price_minor=2,
            currency="EUR",
            balance_minor=98,
        )
        found = await accounts.prediction("ada", receipt.prediction_id)
        assert (found.order, found.answer) == (b'{"n":7}', b'{"minutes":7}')
        assert (found.features, found.inputs) == (NAN_ROW, b"\xff\x00")
        assert (found.model, found.version, found.key_id) == ("lahti", 4, "k1")
        assert await accounts.prediction(None, receipt.prediction_id) == found
        await accounts.open_account("bob")
        with pytest.raises(NotFound):
            await accounts.prediction("bob", receipt.prediction_id)
        (listed,) = (await accounts.predictions("ada")).predictions
        assert (listed.id, listed.order, listed.at) == (found.id, None, found.at)
        for filter_ in (
            PredictionFilter(model="turku"),
            PredictionFilter(key_id="k2"),
            PredictionFilter(until=found.at),
        ):
            assert (await accounts.predictions("ada", filter_)).predictions == ()
        table = [piece async for piece in accounts.predictions_csv("ada")]
        assert b'"{""minutes"":7}"' in b"".join(table)
        assert {(p.operation, p.unit_minor) for p in await accounts.price_list()} == {("eta", 2)}
        assert await accounts.purge() == 0

    async def test_of_a_crowd_each_gets_what_is_theirs(self, start: Start) -> None:
        async with start() as accounts:
            await rich(accounts, "ada", 20)
            await rich(accounts, "bob", 3)
            wanted = [purchase(n, answer=answer(n)) for n in range(9)]
            bob = {"account": "bob", "who": "bob"}
            wanted += [purchase(9, **bob, answer=answer(n)) for n in (10, 11)]
            wanted += [purchase(12), purchase(13, account="nobody", answer=answer(13))]
            wanted += [purchase(14, answer=answer(14), idempotency_key="twice")] * 2
            wanted += [purchase(15, answer=answer(15), operation="route")]
            results = await asyncio.gather(
                *(accounts.buy(one) for one in wanted), return_exceptions=True
            )
            for number, got in enumerate(results[:9]):
                assert isinstance(got, Receipt), got
                assert got.answer == b'{"minutes":%d}' % number
            first, second, unanswered, nobody, one, other, route = results[9:]
            assert isinstance(first, Receipt)
            assert isinstance(second, PaymentRequired)
            assert second.extra == {"balance_minor": 1, "price_minor": 2, "currency": "EUR"}
            assert isinstance(unanswered, InternalError)
            assert isinstance(nobody, PaymentRequired)
            assert isinstance(one, Receipt)
            assert isinstance(other, Receipt)
            assert (one.prediction_id, other.replayed) == (other.prediction_id, True)
            assert isinstance(route, NotFound)
            assert (await accounts.balance("ada")).balance_minor == 0
            assert (await accounts.verify()).holds

    async def test_an_idempotency_key_replays_whatever_goes_wrong_now(self, start: Start) -> None:
        async with start() as accounts:
            await rich(accounts)
            first = await accounts.buy(purchase(1, answer=answer(1), idempotency_key="k"))
            for now in (None, answer(2)):
                again = await accounts.buy(purchase(1, answer=now, idempotency_key="k"))
                assert (again.answer, again.replayed) == (first.answer, True)
                assert again.prediction_id == first.prediction_id
                with pytest.raises(Conflict, match="another order"):
                    await accounts.buy(purchase(2, answer=now, idempotency_key="k"))
            with pytest.raises(InternalError):
                await accounts.buy(purchase(3, idempotency_key="new"))
            with pytest.raises(InvalidInput):
                await accounts.buy(purchase(4, answer=answer(4), idempotency_key="\n"))
            assert (await accounts.balance("ada")).balance_minor == 98

    # --- People ---

    async def test_people_come_change_and_are_shut_out(self, accounts: Accounts) -> None:
        ada = await accounts.register("Ada", PASSWORD)
        assert (ada.name, ada.roles, ada.account) == ("ada", (Role.CLIENT,), "ada")
        with pytest.raises(Conflict, match="taken"):
            await accounts.register("ada", PASSWORD)
        with pytest.raises(InvalidInput) as weak:
            await accounts.register("bob", "short")
        assert weak.value.problems[0].field == "password"
        made = await accounts.create_person("root@example.com", (Role.ADMIN,))
        assert made.password
        assert await accounts.person("root@example.com") == made.person
        page = await accounts.people(limit=1)
        assert (page.people, page.next_after) == ((ada,), "ada")
        assert (await accounts.people(after="ada")).people == (made.person,)
        both = (Role.CLIENT, Role.ANALYST)
        assert set((await accounts.change_roles("ada", both)).roles) == set(both)
        with pytest.raises(Conflict, match="last admin"):
            await accounts.block("root@example.com")
        blocked = await accounts.block("ada")
        assert blocked.blocked_at
        with pytest.raises(NotAuthenticated):
            await accounts.sign_in("ada", PASSWORD)
        assert (await accounts.unblock("ada")).blocked_at is None
        renewed = await accounts.set_password("ada")
        await accounts.sign_in("ada", str(renewed.password))
        told = await accounts.audit(AuditFilter(target="ada", actions=(Action.BLOCKED,)))
        assert [(one.who, one.action) for one in told.entries] == [("system", Action.BLOCKED)]
        newest = await accounts.audit(limit=1)
        older = await accounts.audit(before=newest.next_before, limit=1)
        assert older.entries[0].number < newest.entries[0].number

    async def test_sessions_begin_go_on_and_end(self, accounts: Accounts) -> None:
        await rich(accounts)
        tokens = await accounts.sign_in("ada", PASSWORD)
        assert await accounts.token_keys()
        session = session_of(tokens.access_token)
        caller = await accounts.caller_by_session(session)
        assert caller is not None
        assert (caller.person, caller.account, caller.scopes) == ("ada", "ada", None)
        following = await accounts.refresh(tokens.refresh_token)
        assert session_of(following.access_token) == session
        with pytest.raises(Conflict):
            await accounts.refresh(tokens.refresh_token)
        before = (await accounts.changes(-1)).revision
        await accounts.sign_out(following.refresh_token)
        assert await accounts.caller_by_session(session) is None
        assert (await accounts.changes(before)).people == ("ada",)
        await accounts.sign_in("ada", PASSWORD)
        assert await accounts.sign_out_everywhere("ada") == 1
        await accounts.change_password("ada", PASSWORD, "another horse battery")
        with pytest.raises(NotAuthenticated):
            await accounts.change_password("ada", PASSWORD, "another horse battery")
        await accounts.sign_in("ada", "another horse battery")

    async def test_guessing_is_held_off_and_says_for_how_long(self, accounts: Accounts) -> None:
        for _ in range(5):
            with pytest.raises(NotAuthenticated):
                await accounts.sign_in("nobody", "wrong wrong wrong")
        with pytest.raises(TooManyRequests) as held:
            await accounts.sign_in("nobody", "wrong wrong wrong")
        assert held.value.retry_after_seconds
        assert 0 < held.value.retry_after_seconds <= 900

    async def test_keys_are_made_used_and_revoked(self, accounts: Accounts) -> None:
        await rich(accounts)
        ends = datetime(2100, 1, 1, 12, tzinfo=UTC)
        made = await accounts.create_key("ada", "shop", tuple(Scope), expires_at=ends)
        assert made.key.scopes == tuple(Scope)
        assert made.key.expires_at == ends
        caller = await accounts.caller_by_key(digest(made.secret))
        assert caller is not None
        assert (caller.person, caller.key_id, caller.scopes) == ("ada", made.key.id, tuple(Scope))
        assert await accounts.caller_by_key("0" * 64) is None
        used = made.key.created_at + timedelta(seconds=1)
        await accounts.keys_used((KeyUse(key_id=made.key.id, at=used),))
        (listed,) = await accounts.keys("ada")
        assert listed.last_used_at == used
        with pytest.raises(Conflict):
            await accounts.create_key("ada", "shop", (Scope.ETA,))
        gone = await accounts.revoke_key("ada", made.key.id)
        assert gone.revoked_at
        assert await accounts.caller_by_key(digest(made.secret)) is None
        with pytest.raises(NotFound):
            await accounts.revoke_key("ada", "nosuch")

    async def test_refusals_are_told_and_not_too_often(self, accounts: Accounts) -> None:
        for place in ("a", "b", "c"):
            await accounts.tell_refused("ada", "GET /people", f"/people/{place}")
        await accounts.tell_refused("ada", "GET /audit")
        told = (await accounts.audit(AuditFilter(actions=(Action.REFUSED,)))).entries
        assert [one.detail for one in told] == ["GET /audit", "GET /people: /people/a"]


def session_of(token: str) -> str:
    claims = token.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(claims + "=="))["sid"]
    return found
