"""The routes as strangers meet them: what is refused, how, and what is written down of it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from foodex.adapters.database.engine import open_database
from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.payments.signing import HEADER, sign
from foodex.adapters.rates.opening import open_rates
from foodex.core.access import KeyAccess, Role
from foodex.core.clock import SystemClock
from foodex.core.settings import HttpSettings
from foodex.domain.money import Money
from foodex.domain.people import Action, AuditFilter
from foodex.domain.purchases import Answer, Purchase
from foodex.services.accounts.access import AccountsAccess
from foodex.services.accounts.app import PREFIX, create_app
from foodex.services.accounts.service import AccountsService
from foodex.services.accounts.tokens import SigningKeys
from foodex.services.gateway.refusals import tell_of_refusals
from tests.services.accounts.conftest import PASSWORD, SECRET, SETTINGS
from tests.support.serving import serve

JSON = {"content-type": "application/json"}


@dataclass
class Told:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Door:
    """A served accounts service, and who may be expected there."""

    service: AccountsService
    provider: LocalPayments
    url: str
    web: aiohttp.ClientSession

    async def __call__(
        self, method: str, path: str, body: Any = None, *, by: str = "", **headers: str
    ) -> Told:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if by:
            sent["authorization"] = f"Bearer {by}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent = JSON | sent
        async with self.web.request(
            method, self.url + PREFIX + path, data=body, headers=sent
        ) as answer:
            told = Told(answer.status, await answer.read(), answer.headers)
        if told.status >= 400:
            assert told.headers["content-type"] == "application/problem+json"
            assert told.json["status"] == told.status
            assert b"Traceback" not in told.body
            assert b"sqlite" not in told.body.lower()
        return told

    async def token(self, name: str) -> str:
        return (await self.service.sign_in(name, PASSWORD)).access_token

    async def lines(self, *actions: Action) -> list[tuple[str, str, str]]:
        found = (await self.service.audit(AuditFilter(actions=actions))).entries
        return [(one.who, one.target, one.detail) for one in found]


@pytest.fixture
async def door(tmp_path: Any, signing: SigningKeys) -> AsyncIterator[Door]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/accounts.db")
    clock = SystemClock()
    provider = LocalPayments(secret=SECRET, tolerance_seconds=300, clock=clock)
    service = AccountsService(
        database=database,
        settings=SETTINGS,
        clock=clock,
        rates=open_rates("memory://"),
        provider=provider,
        signing=signing,
    )
    access = AccountsAccess(service, settings=SETTINGS, clock=clock, others=KeyAccess("own key"))
    service.listen(access.forget)
    async with service.running(), access.running(), aiohttp.ClientSession() as web:
        for name, role in (("root", Role.ADMIN), ("ada", Role.CLIENT), ("bob", Role.CLIENT)):
            await service.create_person(name, (role,), PASSWORD)
        app = create_app(service, access=access, settings=HttpSettings())
        tell_of_refusals(app, service)
        async with serve(app) as url:
            yield Door(service, provider, url, web)
    await database.close()


async def test_wrong_passwords_and_unknown_names_read_the_same(door: Door) -> None:
    wrong = await door("POST", "/sign-in", {"name": "ada", "password": "wrong wrong"})
    unknown = await door("POST", "/sign-in", {"name": "nobody-here", "password": "wrong wrong"})
    assert wrong.status == unknown.status == 401
    same = [{**told.json, "request_id": ""} for told in (wrong, unknown)]
    assert same[0] == same[1]
    assert await door.lines(Action.SIGN_IN_FAILED) == [("nobody", "", ""), ("nobody", "ada", "")]


def forged(token: str, signing: SigningKeys) -> dict[str, str]:
    """Tokens that open nothing, by what is wrong with them."""
    head, claims, signature = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    kid = signing.public()[0].kid
    public = signing.public()[0].x
    stranger = OKPKey.generate_key("Ed25519", {"kid": kid})

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    none = part({"alg": "none", "typ": "at+jwt", "kid": kid})
    mac = jwt.encode(
        {"alg": "HS256", "typ": "at+jwt", "kid": kid},
        read,
        OctKey.import_key(public.encode()),
        algorithms=["HS256"],
    )
    foreign = jwt.encode(
        {"alg": "Ed25519", "kid": kid},
        read,
        stranger,
        algorithms=["Ed25519"],
        default_type="at+jwt",
    )
    return {
        "alg none": f"{none}.{claims}.",
        "alg none, signed": f"{none}.{claims}.{signature}",
        "signed with the public key as a secret": mac,
        "a stranger's key under our name": foreign,
        "another's claims": f"{head}.{part({**read, 'sid': '0' * 32})}.{signature}",
        "cut": token[:-3],
        "no signature": f"{head}.{claims}.",
        "long": f"{head}.{claims}.{'A' * 5_000}",
        "not ours": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    }


async def test_forged_and_foreign_tokens_open_nothing_and_learn_nothing(
    door: Door, signing: SigningKeys
) -> None:
    token = await door.token("ada")
    assert (await door("GET", "/me", by=token)).json["name"] == "ada"
    said = set()
    for why, one in forged(token, signing).items():
        told = await door("GET", "/me", by=one)
        assert told.status == 401, why
        said.add(told.json["detail"])
    assert len(said) == 1
    assert (await door("GET", "/me", by="fdx_nonsense")).json["detail"] in said


async def test_an_old_token_opens_nothing(door: Door, signing: SigningKeys) -> None:
    claims = (await door.token("ada")).split(".")[1]
    session = json.loads(base64.urlsafe_b64decode(claims + "=="))["sid"]

    long_ago = datetime.now(UTC) - timedelta(hours=1)
    old = signing.sign(person="ada", session=session, now=long_ago, seconds=300)
    assert (await door("GET", "/me", by=old)).status == 401


async def test_a_key_does_what_its_scopes_say_until_it_is_revoked(door: Door) -> None:
    token = await door.token("ada")
    wanted = {"name": "shop", "scopes": ["balance:read"]}
    made = (await door("POST", "/people/me/keys", wanted, by=token)).json
    secret = made["secret"]
    assert (await door("GET", "/balance", by=secret)).json["balance_minor"] == 0
    for method, path in (
        ("GET", "/predictions"),
        ("GET", "/people/me/keys"),
        ("POST", "/payments"),
    ):
        assert (await door(method, path, by=secret)).status == 403, path
    listed = await door("GET", "/people/me/keys", by=token)
    assert secret not in listed.body.decode()
    assert secret.split("_")[2] not in listed.body.decode()
    await door("DELETE", f"/people/me/keys/{made['key']['id']}", by=token)
    assert (await door("GET", "/balance", by=secret)).status == 401
    refused = await door.lines(Action.REFUSED)
    assert ("ada", "ada", f"GET /predictions: {PREFIX}/predictions") in refused


async def test_what_is_anothers_is_not_there(door: Door) -> None:
    await door.service.top_up("bob", 500)
    bought = await door.service.buy(
        Purchase(account="bob", who="bob", order=b"{}", answer=Answer(answer=b"{}"))
    )
    paying = await door.service.start_payment("bob", 500)
    token = await door.token("ada")
    for path, missing in (
        ("/balance?account=bob", "/balance?account=nosuch"),
        ("/entries?account=bob", "/entries?account=nosuch"),
        ("/entries.csv?account=bob", "/entries.csv?account=nosuch"),
        ("/predictions?account=bob", "/predictions?account=nosuch"),
        ("/predictions.csv?account=bob", "/predictions.csv?account=nosuch"),
        (f"/predictions/{bought.prediction_id}", "/predictions/" + "0" * 32),
        (f"/predictions/{bought.prediction_id}?account=bob", "/predictions/1?account=nosuch"),
        (f"/payments/{paying.id}", "/payments/" + "0" * 32),
        ("/people/bob", "/people/nosuch"),
        ("/people/bob/keys", "/people/nosuch/keys"),
    ):
        there, not_there = await door("GET", path, by=token), await door("GET", missing, by=token)
        assert there.status == not_there.status == 404, path
        said = {told.json["detail"].replace("bob", "nosuch") for told in (there, not_there)}
        assert len(said) == 1, path
    for path in (
        "/people/bob/sign-out-everywhere",
        "/people/bob/keys",
        "/people/bob/password-change",
    ):
        body = {"name": "mine", "scopes": ["eta"], "old": PASSWORD, "new": "a new password"}
        assert (await door("POST", path, body, by=token)).status == 404, path
    wish = {"account": "bob", "amount_minor": 500}
    assert (await door("POST", "/payments", wish, by=token)).status == 404
    assert (await door("GET", "/balance", by=token)).json["balance_minor"] == 0
    refused = await door.lines(Action.REFUSED)
    assert ("ada", "ada", "another's account: bob") in refused
    # One line a minute, however much is tried.
    assert len(refused) == 2


async def test_payments_and_use_are_ones_own(door: Door) -> None:
    tokens = {name: await door.token(name) for name in ("root", "ada", "bob")}
    asked = {"amount_minor": 500}
    begun = (await door("POST", "/payments", asked, by=tokens["ada"])).json
    listed = {
        name: [one["id"] for one in (await door("GET", "/payments", by=token)).json["payments"]]
        for name, token in tokens.items()
    }
    assert listed == {"root": [], "ada": [begun["id"]], "bob": []}
    for path in ("/payments?account=ada", "/usage?account=ada"):
        assert (await door("GET", path, by=tokens["bob"])).status == 404
    everybody = "/payments?everybody=true&state=pending"
    assert (await door("GET", everybody, by=tokens["bob"])).status == 403
    (seen,) = (await door("GET", everybody, by=tokens["root"])).json["payments"]
    assert seen == begun
    assert (await door("GET", "/usage", by=tokens["ada"])).json == []


async def test_admins_see_all_and_their_keys_what_is_theirs(door: Door) -> None:
    await door.service.top_up("bob", 500)
    root = await door.token("root")
    assert (await door("GET", "/balance?account=bob", by=root)).json["balance_minor"] == 500
    wanted = {"name": "k", "scopes": ["balance:read", "predictions:read"]}
    secret = (await door("POST", "/people/me/keys", wanted, by=root)).json["secret"]
    assert (await door("GET", "/balance", by=secret)).json["balance_minor"] == 0
    assert (await door("GET", "/balance?account=bob", by=secret)).status == 404
    for role in (Role.OPERATOR, Role.ANALYST):
        await door.service.create_person(f"an-{role}", (role,), PASSWORD)
        token = await door.token(f"an-{role}")
        assert (await door("GET", "/balance?account=bob", by=token)).status == 404
        assert (await door("GET", "/balances", by=token)).status == 403


@pytest.mark.parametrize(
    "amount", [0, -5, 1.5, 1.0, 1e30, 10**13, 10**40, "5", True, None, [], {}], ids=repr
)
async def test_what_is_no_amount_is_told_by_its_field(door: Door, amount: Any) -> None:
    root = await door.token("root")
    for path, more in (
        ("/top-ups", {"account": "ada"}),
        ("/payments", {}),
        ("/refunds", {"account": "ada", "charge": "x"}),
    ):
        if path == "/refunds" and amount is None:
            continue
        told = await door("POST", path, {"amount_minor": amount, **more}, by=root)
        assert told.status == 422
        assert [one["field"] for one in told.json["problems"]] == ["amount_minor"]
    assert (await door.service.balance("ada")).entries == 0


async def test_notices_are_believed_by_their_signature_alone(door: Door) -> None:
    token = await door.token("ada")
    asked = (await door("POST", "/payments", {"amount_minor": 500}, by=token)).json
    money = Money(amount_minor=500, currency="EUR")
    body, headers = door.provider.pay(asked["provider_id"], money)
    signature = headers[HEADER]
    place = "/payments/notices"
    for wrong in ("", "t=1,v1=00", signature[:-1] + "x", signature.replace("v1", "v2")):
        assert (await door("POST", place, body, foodex_signature=wrong)).status == 401
    larger = body.replace(b"500", b"900")
    assert (await door("POST", place, larger, foodex_signature=signature)).status == 401
    # The owner's key is no signature either.
    assert (await door("POST", place, body, by="own key")).status == 401
    assert (await door.service.balance("ada")).balance_minor == 0
    told = [await door("POST", place, body, foodex_signature=signature) for _ in range(3)]
    assert [(one.status, one.body) for one in told] == [(204, b"")] * 3
    assert (await door.service.balance("ada")).balance_minor == 500
    paid = await door("GET", f"/payments/{asked['id']}", by=token)
    assert paid.json["state"] == "paid"
    nonsense = sign(SECRET, b"nonsense", SystemClock().now())
    assert (await door("POST", place, b"nonsense", foodex_signature=nonsense)).status == 400
    large = b"x" * 100_000
    assert (await door("POST", place, large, foodex_signature=signature)).status == 413
    assert await door.lines(Action.NOTICE_REFUSED) == [("nobody", "", "")]


NESTED = b'{"name":' + b"[" * 10_000 + b"]" * 10_000 + b',"password":"x"}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b'{"name":"ada"}', 422),
        (b'{"name":"ada","password":5}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"ada"', 422),
        (b"\xff\xfe", 400),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (NESTED, 400),
        (b'{"name":"\\ud800","password":"\\ud800"}', 422),
        (b'{"name":"a\\u0000","password":"x"}', 422),
        (b'{"name":NaN,"password":Infinity}', 422),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_bodies_that_cannot_be_used(door: Door, body: bytes, status: int) -> None:
    for path in ("/sign-in", "/register"):
        assert (await door("POST", path, body)).status == status


async def test_a_body_of_another_kind_is_refused(door: Door) -> None:
    good = json.dumps({"name": "ada", "password": PASSWORD}).encode()
    for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x"):
        told = await door("POST", "/sign-in", good, content_type=kind)
        assert told.status == 400, kind
    told = await door("POST", "/sign-in", good, content_type="application/json; charset=utf-8")
    assert told.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/balance?account=%00",
        "/balance?account=a%20b",
        f"/balance?account={'x' * 300}",
        "/entries?since=yesterday",
        "/entries?since=2026-01-01T00:00:00",
        "/entries?since=0001-01-01T00:00:00%2B14:00",
        "/entries?until=9999-12-31T23:59:59-14:00",
        "/entries?before=0",
        "/entries?before=99999999999999999999",
        "/entries?limit=0",
        "/entries?limit=1001",
        "/entries?limit=99999999999999999999",
        "/entries?kind=gift",
        "/predictions?model=%00",
        "/predictions?key_id=%00",
        "/predictions/%00",
        "/predictions/1?bodies=xml",
        "/audit?action=sneezed",
        "/audit?who=%00",
        "/people?after=%00",
        "/balances?after=%00",
    ],
)
async def test_queries_that_make_no_sense(door: Door, path: str) -> None:
    told = await door("GET", path, by=await door.token("root"))
    assert told.status == 422
    assert told.json["problems"]


async def test_names_of_all_kinds_in_paths(door: Door) -> None:
    root = await door.token("root")
    for name in ("%00", "a%2Fb", "..", "%F0%9F%8D%95", "x" * 500, "' OR 1=1 --"):
        for method, rest in (("GET", ""), ("GET", "/keys"), ("POST", "/block")):
            told = await door(method, f"/people/{name}{rest}", by=root)
            assert told.status in (404, 405), (name, rest)
    assert (await door("POST", "/people/ADA/block", by=root)).json["name"] == "ada"


async def test_a_session_from_sign_in_to_sign_out(door: Door) -> None:
    given = {"name": "Ada", "password": PASSWORD}
    first = (await door("POST", "/sign-in", given)).json
    second = (await door("POST", "/refresh", {"refresh_token": first["refresh_token"]})).json
    assert (await door("GET", "/me", by=second["access_token"])).status == 200
    again = await door("POST", "/refresh", {"refresh_token": first["refresh_token"]})
    assert again.status == 409
    for wrong in ("", "fdr_x", second["access_token"], "\ud800"):
        assert (await door("POST", "/refresh", {"refresh_token": wrong})).status == 401
        assert (await door("POST", "/sign-out", {"refresh_token": wrong})).status == 204
    await door("POST", "/sign-out", {"refresh_token": second["refresh_token"]})
    assert (await door("GET", "/me", by=second["access_token"])).status == 401


async def test_a_prediction_is_told_as_json_and_to_the_byte(door: Door) -> None:
    await door.service.top_up("ada", 500)
    row = base64.b64decode("AAAAAAAA+H8AAAAAAAD4PwAAAAAAAPB/")
    made = Answer(answer=b'{"minutes": 7}', features=row, inputs=b"not json \xff")
    bought = await door.service.buy(
        Purchase(account="ada", who="ada", order=b'{ "items": 1 }', answer=made)
    )
    place, token = f"/predictions/{bought.prediction_id}", await door.token("ada")
    told = (await door("GET", place, by=token)).json
    assert (told["order"], told["answer"]) == ({"items": 1}, {"minutes": 7})
    assert told["features"] == [None, 1.5, None]
    assert told["inputs"] == "not json \ufffd"
    told = (await door("GET", f"{place}?bodies=base64", by=token)).json
    assert base64.b64decode(told["order"]) == b'{ "items": 1 }'
    assert base64.b64decode(told["features"]) == row


async def test_many_strangers_at_once_are_held_off_and_owners_are_not(door: Door) -> None:
    wrong = {"name": "ada", "password": "wrong wrong"}
    told = await asyncio.gather(*(door("POST", "/sign-in", wrong) for _ in range(12)))
    assert sorted(one.status for one in told) == [401] * 5 + [429] * 7
    held = next(one for one in told if one.status == 429)
    assert 0 < int(held.headers["retry-after"]) <= 900
    assert (await door("GET", "/me", by=await door.token("bob"))).status == 200
