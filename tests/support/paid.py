"""A FoodEx that sells forecasts over HTTP, and those who buy them."""

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from foodex.adapters.database.engine import open_database
from tests.support.lives import Life, Nursery
from tests.support.raw_http import Lost, Told, Wire, written

ETA = "/api/v1/eta"
PRICE_MINOR = 2

_RECORDED = sa.text("""
SELECT p.id, p.answer, p.price_minor, e.amount_minor
FROM accounts_predictions p
JOIN accounts_entries e ON e.account_id = p.account_id AND e.number = p.entry_number
WHERE p.account_id = :account AND e.kind = 'charge'
""")
_KEYS = sa.text("""
SELECT prediction_id, key FROM accounts_idempotency WHERE account_id = :account
""")


class Shop:
    """Lives of one FoodEx: a state folder, a database, and who has a key."""

    def __init__(
        self, nursery: Nursery, state: Path, url: str = "", env: Mapping[str, str] = {}
    ) -> None:
        self.nursery, self.state = nursery, state
        self.url = url or f"sqlite+aiosqlite:///{state}/foodex.db"
        self.env = {"FOODEX_DATABASE__URL": self.url, **env}
        self.life: Life | None = None

    def begin(self) -> Life:
        """Start it; it need not answer yet."""
        self.life = self.nursery.begin(self.state, self.env)
        return self.life

    async def start(self) -> Life:
        """Start it and wait until it answers."""
        return await asyncio.to_thread(self.begin().wait)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.url.partition("+")[0]

    @property
    def port(self) -> int:
        """Where it answers."""
        assert self.life is not None
        return self.life.port

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> Told:
        """One request over a connection of its own, by default with the system's own key."""
        assert self.life is not None
        wire = Wire(self.port)
        sent = b"" if body is None else json.dumps(body).encode()
        try:
            return await wire.ask(written(method, path, sent, key=key or self.life.key))
        finally:
            wire.close()

    async def ok(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        """The same under /api/v1/accounts, expecting success; the answer's JSON."""
        told = await self.ask(method, f"/api/v1/accounts{path}", body, key=key)
        assert 200 <= told.status < 300, (told.status, told.body)
        return told.json

    async def client(self, name: str, minor: int, *scopes: str) -> str:
        """Somebody with money; the secret of their key."""
        await self.ok("POST", "/people", {"name": name, "roles": ["client"]})
        if minor:
            await self.ok("POST", "/top-ups", {"account": name, "amount_minor": minor})
        return (await self.key_of(name, *scopes))["secret"]

    async def key_of(self, name: str, *scopes: str, called: str = "shop") -> Any:
        """Another key of somebody."""
        wanted = {"name": called, "scopes": scopes or ("eta", "balance:read", "predictions:read")}
        return await self.ok("POST", f"/people/{name}/keys", wanted)

    async def left(self, name: str) -> int:
        """Somebody's balance in minor units."""
        found: int = (await self.ok("GET", f"/balance?account={name}"))["balance_minor"]
        return found

    async def holds(self) -> None:
        """The whole ledger computed anew is as it stands."""
        told = await self.ok("GET", "/ledger/verification")
        assert told["holds"], told

    async def recorded(self, account: str) -> list[Any]:
        """Charged predictions as the database has them: key, id, answer, price and amount."""
        database = open_database(self.url)
        try:
            async with database.connect() as connection:
                whose = {"account": account}
                # Joined here: no index leads from a prediction to its key.
                keys = {row[0]: row[1] for row in await connection.execute(_KEYS, whose)}
                rows = await connection.execute(_RECORDED, whose)
                return [(keys.get(row[0]), *row) for row in rows]
        finally:
            await database.close()


@dataclass
class Buyer:
    """A client program: what is not answered is asked again under the same key."""

    name: str
    key: str
    told: dict[str, Told] = field(default_factory=dict)
    replayed: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        self._names: Iterator[int] = itertools.count()
        self.waiting: str | None = None

    def request(self, name: str) -> bytes:
        """The request of this name, the same each time; its order bears its name."""
        order = json.dumps({"order_id": name, "items": 1 + len(name) % 5}).encode()
        return written("POST", ETA, order, key=self.key, headers={"idempotency-key": name})

    async def buy(self, wire: Wire) -> None:
        """Buy one; raises `Lost` where there is no answer."""
        name = self.next()
        self.take(name, await wire.ask(self.request(name)))

    def next(self) -> str:
        """What to ask next: again what was not answered, or else something new."""
        self.waiting = self.waiting or f"{self.name}-{next(self._names)}"
        return self.waiting

    def take(self, name: str, told: Told) -> None:
        """Keep an answer."""
        assert told.status == 200, (told.status, told.body)
        self.replayed += "idempotency-replayed" in told.headers
        self.told[name] = told
        self.waiting = None

    async def again(self, wire: Wire) -> None:
        """What was answered last is answered so again."""
        if not self.told:
            return
        name, before = next(reversed(self.told.items()))
        told = await wire.ask(self.request(name))
        assert told.headers.get("idempotency-replayed") == "true"
        assert (told.body, _id(told)) == (before.body, _id(before))

    async def until_lost(self, port: int) -> None:
        """Go on buying until nobody answers any more."""
        wire = Wire(port)
        try:
            await self.again(wire)
            while True:
                await self.buy(wire)
        except Lost:
            self.lost += 1
        finally:
            wire.close()


def _id(told: Told) -> str:
    return told.headers["foodex-prediction-id"]


async def all_is_kept(
    shop: Shop, account: str, buyers: Sequence[Buyer], paid_in_minor: int
) -> None:
    """What buyers were told is recorded as they were told it, charged once, and nothing else is."""
    told = {name: one for buyer in buyers for name, one in buyer.told.items()}
    recorded = await shop.recorded(account)
    assert {row[0]: (row[1], bytes(row[2])) for row in recorded} == {
        name: (_id(one), one.body) for name, one in told.items()
    }
    assert len(recorded) == len(told)
    assert all(row[3] == -row[4] == PRICE_MINOR for row in recorded)
    assert await shop.left(account) == paid_in_minor - PRICE_MINOR * len(told)
    await shop.holds()
    for one in [one for buyer in buyers for one in list(buyer.told.values())[-2:]]:
        path = f"/predictions/{_id(one)}?account={account}"
        assert (await shop.ok("GET", path))["answer"] == one.json
