"""FoodEx as partners meet it: a model trained on made-up orders, people with keys and money."""

import csv
import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.pinned import CLIENT_CORE, HOST, Request, free_port, server
from benchmarks.processes import Asker, up
from foodex.city import simulate_history

TREES, LEAVES, FEATURES = 500, 15, 24
TREES_OF_THE_SPREAD: Final = 60
MODEL: Final = "serving"
KNOWN: Final = (
    "store_id",
    "distance_km",
    "items",
    "subtotal_minor",
    "temperature_c",
    "precipitation_mm",
)
"""Of these, the time and the history of deliveries FoodEx makes its 24 features."""
MAPPING: Final = """\
time_zone = "Europe/Helsinki"
[file]
format = "csv"
[fields]
order_id = { column = "order_id" }
store_id = { column = "store_id" }
placed_at = { column = "placed_at" }
delivered_at = { column = "delivered_at" }
distance_km = { column = "distance_km" }
items = { column = "items" }
subtotal_minor = { column = "subtotal_minor" }
temperature_c = { column = "temperature_c" }
precipitation_mm = { column = "precipitation_mm" }
"""
TRAINING: Final = {
    "dataset": MODEL,
    "model": MODEL,
    "algorithm": "gradient_boosting",
    # Learning so slowly, it is never better to stop before the last tree.
    "parameters": {"num_iterations": TREES, "num_leaves": LEAVES, "learning_rate": 0.002},
    "promote": True,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A state folder with a model, and who may ask it: the system's key and those of partners."""

    state: Path
    environment: dict[str, str]
    own_key: str
    keys: tuple[str, ...]
    orders: tuple[str, ...]

    def command(self, port: int) -> tuple[str, ...]:
        """How it is started."""
        place = ("--port", str(port), "--state", str(self.state))
        return (sys.executable, "-m", "foodex.cli", "up", *place)

    def ml_command(self, port: int) -> tuple[str, ...]:
        """How its ml service is started by itself; `storage_beside` must run."""
        place = ("--port", str(port), "--state", f"{self.state}-ml")
        return (sys.executable, "-m", "foodex.cli", "serve", "ml", *place)

    @contextmanager
    def storage_beside(self) -> Iterator[Mapping[str, str]]:
        """Runs the storage service on the callers' core; gives what the ml service is told."""
        port = free_port()
        told = self.environment | {
            "FOODEX_SECURITY__KEY": self.own_key,
            "FOODEX_DATABASE__URL": f"sqlite+aiosqlite:///{self.state}/foodex.db",
            "FOODEX_STORAGE__URL": f"http://{HOST}:{port}",
        }
        place = ("--port", str(port), "--state", str(self.state))
        headers = {"authorization": f"Bearer {self.own_key}"}
        with server(
            (sys.executable, "-m", "foodex.cli", "serve", "storage", *place),
            port=port,
            ready=Request("/api/v1/storage/query", '{"sql": "SELECT 1"}', headers),
            environment=told,
            core=CLIENT_CORE,
        ):
            yield told

    def unpaid(self) -> list[Request]:
        """Forecasts that nobody pays for, from the ml service's own route."""
        headers = {"authorization": f"Bearer {self.own_key}"}
        return [Request("/api/v1/ml/forecast", order, headers) for order in self.orders]

    def own_door(self) -> list[Request]:
        """The same at the public door, asked by the system's own key, which nobody pays for."""
        headers = {"authorization": f"Bearer {self.own_key}"}
        return [Request("/api/v1/eta", order, headers) for order in self.orders]

    def paid(self, accounts: int) -> list[Request]:
        """Forecasts at the public door, the money taken from so many accounts in turn."""
        return [
            Request(
                "/api/v1/eta",
                self.orders[number % len(self.orders)],
                {"authorization": f"Bearer {self.keys[number % accounts]}"},
            )
            for number in range(max(accounts, len(self.orders)))
        ]


def prepare(folder: Path, database: str | None, *, accounts: int = 100) -> Prepared:
    """Import made-up orders, train on them, make people with keys and money."""
    state = folder / ("sqlite" if database is None else "postgresql")
    environment = {
        "FOODEX_CITY__DEMONSTRATION": "false",
        "FOODEX_LIMITS__KEY_PER_MINUTE": "100000000",
        "FOODEX_LOG__LEVEL": "warning",
    }
    if database is not None:
        environment["FOODEX_DATABASE__URL"] = database
    placed = datetime(2026, 8, 3, tzinfo=UTC)
    frame = simulate_history(seed=7, start=placed, days=4)
    names = ("order_id", "placed_at", "delivered_at", *KNOWN)
    rows = list(frame.select(names).iter_rows(named=True))
    with (folder / "orders.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(
            {name: v.isoformat() if isinstance(v, datetime) else v for name, v in row.items()}
            for row in rows
        )
    now = placed + timedelta(days=4, hours=11)
    orders = tuple(
        json.dumps({name: row[name] for name in KNOWN} | {"placed_at": now.isoformat()})
        for row in rows[:64]
    )
    with up(state, environment=environment) as running:
        ask = Asker(running.url, running.key)
        content = (folder / "orders.csv").read_bytes()
        source = ask("POST", "/collector/uploads?name=orders.csv", content)
        wish = {"source": source, "mapping": MAPPING, "dataset": MODEL}
        ask.until_done("/collector/loads", ask("POST", "/collector/loads", wish)["id"])
        ask.until_done("/ml/jobs", ask("POST", "/ml/trainings", TRAINING)["id"])
        version = ask("GET", f"/ml/models/{MODEL}/version")
        summary = version["summary"]
        wanted = (TREES + TREES_OF_THE_SPREAD, FEATURES)
        if (summary["trees"], len(summary["features"])) != wanted:
            raise RuntimeError(f"{summary['trees']} trees, {len(summary['features'])} features")
        keys = tuple(_person(ask, f"partner-{number}") for number in range(accounts))
        return Prepared(state, environment, running.key, keys, orders)


def _person(ask: Asker, name: str) -> str:
    """Make somebody with money; the secret of their key."""
    person = ask("POST", "/accounts/people", {"name": name, "roles": ["client"]})["person"]
    money = {"account": person["account"], "amount_minor": 10_000_000, "reference": name}
    ask("POST", "/accounts/top-ups", money)
    wanted = {"name": "benchmark", "scopes": ["eta", "balance:read"]}
    return str(ask("POST", f"/accounts/people/{name}/keys", wanted)["secret"])


def balance_minor(port: int, request: Request) -> int:
    """What is left on the account that pays for a request."""
    url = f"http://{HOST}:{port}/api/v1/accounts/balance"
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=dict(request.headers)), timeout=10
    ) as answer:
        return int(json.loads(answer.read())["balance_minor"])
