"""Answers a second from one core, FoodEx beside other ways to serve a model of the same size.

    make bench ARGS="serving"
    make bench ARGS="serving --quick"     one short round, to see that everything works
    FOODEX_BENCHMARKS_ONLY=raw,paid       only the servers with these words in their names

The server has one core, its callers have another. Each server is started anew in each round,
checked with a row whose minutes are known, warmed, and measured with 16 and with 64 connections.
The medians of the rounds are told. Peers get 24 numbers ready-made and answer with one; FoodEx gets
an order, looks up its history, makes 24 features, forecasts (500 trees for the place, 60 small ones
for the spread), calibrates and promises, and takes the money where it is paid.
"""

import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import lightgbm
import numpy as np

from benchmarks import pinned
from benchmarks.peers import PEERS, Peer
from benchmarks.pinned import Figures, Request
from benchmarks.report import Row
from benchmarks.servers import postgresql_database
from benchmarks.serving_foodex import (
    FEATURES,
    LEAVES,
    TREES,
    Prepared,
    balance_minor,
    prepare,
)
from foodex.eta.export import export_trees

TITLE = "Serving: answers a second from one core"
CONNECTIONS: Final = (16, 64)
DISTURBED: Final = 0.1
"""Where others took more of the server's core than this, the row says so."""
UNPAID: Final = "FoodEx, unpaid"
PAID: Final = "FoodEx, paid"
ACCOUNTS: Final = ((1, "one account"), (100, "a hundred accounts"))
ALONE: Final = f"{UNPAID}, the ml service by itself"
LEAST: Final = {ALONE: 5_000, f"{PAID}, SQLite": 4_000, f"{PAID}, PostgreSQL": 3_000}
"""Answers a second that must be reached with 64 connections, by the beginning of a name."""
P99_MS, MEMORY_MIB = 40, 400
"""What paid answers may take: 99 of a hundred of them, with 64 connections, and the process."""
TIMES: Final = {"SQLite": 4, "PostgreSQL": 3}
"""How many times as many paid answers there must be as of the fastest model server."""
SHARE: Final = 0.6
"""Of the unpaid answers a second that paid ones must reach: paying costs two fifths at most."""


@dataclass(frozen=True, slots=True)
class Server:
    """Something to measure: how to start it, what to ask, and how to know that it is right."""

    name: str
    command: Callable[[int], Sequence[str]]
    environment: Callable[[int], Mapping[str, str]]
    folder: Callable[[int], Path]
    requests: Sequence[Request]
    check: Callable[[int], None]
    serves_models: bool = False
    beside: Callable[[], AbstractContextManager[Mapping[str, str]]] = lambda: nullcontext({})
    """What runs beside it on the callers' core; gives further variables for it."""


@dataclass(slots=True)
class Measured:
    """What the rounds found of one server."""

    figures: dict[int, list[Figures]] = field(default_factory=dict)
    memory_mib: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def middle(self, connections: int, name: str = "per_second") -> float:
        """The median of the rounds."""
        return statistics.median(getattr(one, name) for one in self.figures[connections])

    def errors(self) -> int:
        """Errors in all rounds."""
        return sum(one.errors for several in self.figures.values() for one in several)


def measure() -> list[Row]:
    """Measure all servers in turn, several rounds of it."""
    # Ended from outside, what was started must end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    quick = "--quick" in sys.argv
    seconds = float(os.environ.get("FOODEX_BENCHMARKS_SECONDS", "2" if quick else "6"))
    rounds = 1 if quick else 3
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [*_peers(folder), *_foodex(folder, stack)]
        found: dict[str, Measured] = {}
        for number in range(rounds):
            for server in servers:
                print(f"round {number + 1} of {rounds}: {server.name}")
                _measure(server, found.setdefault(server.name, Measured()), seconds)
    return _rows(servers, found)


def _measure(server: Server, into: Measured, seconds: float) -> None:
    port = pinned.free_port()
    with (
        server.beside() as further,
        pinned.server(
            server.command(port),
            port=port,
            ready=server.requests[0],
            environment={**server.environment(port), **further},
            folder=server.folder(port),
        ) as pid,
    ):
        server.check(port)
        for connections in CONNECTIONS:
            others = pinned.Others(pid)
            figures = pinned.load(port, server.requests, connections=connections, seconds=seconds)
            into.others.append(others.share())
            if figures.client_busy > 0.9:
                print("  the client's core was full: the server may have had more to give")
            print(
                f"  {connections}: {figures.per_second:,.0f}/s, p50 {figures.p50_ms:.1f} ms, "
                f"p99 {figures.p99_ms:.1f} ms, {figures.errors} errors; "
                f"others took {into.others[-1]:.0%} of the core"
            )
            into.figures.setdefault(connections, []).append(figures)
        into.memory_mib.append(pinned.memory_mib(pid))


def _wanted(name: str) -> bool:
    words = os.environ.get("FOODEX_BENCHMARKS_ONLY", "")
    return not words or any(word.lower() in name.lower() for word in words.split(","))


def _peers(folder: Path) -> list[Server]:
    chance = np.random.default_rng(7)
    rows = chance.normal(size=(20_000, FEATURES))
    minutes = 30 + 3 * rows[:, :6].sum(axis=1) + chance.normal(size=len(rows))
    parameters = {"num_leaves": LEAVES, "learning_rate": 0.05, "verbose": -1, "seed": 7}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, minutes), TREES)
    model, onnx = folder / "model.txt", folder / "model.onnx"
    booster.save_model(model)
    onnx.write_bytes(export_trees([booster]).SerializeToString())
    asked = rows[:64]
    known = np.asarray(booster.predict(asked, num_threads=1))
    return [
        _peer_server(peer, model, onnx, asked.tolist(), known.tolist())
        for peer in PEERS
        if _wanted(peer.name)
    ]


def _peer_server(
    peer: Peer, model: Path, onnx: Path, rows: list[list[float]], known: list[float]
) -> Server:
    requests = [peer.request(row) for row in rows]
    python = str(peer.python())
    folder = model.parent / peer.folder

    def environment(port: int) -> Mapping[str, str]:
        values = peer.environment(model, onnx, FEATURES, port)
        peer.prepare(values)
        return values

    def check(port: int) -> None:
        for number in (0, 7, 63):
            told = peer.minutes(requests[number].send(port))
            if abs(told - known[number]) > 1e-6:
                raise RuntimeError(f"{peer.name} says {told}, not {known[number]}")

    return Server(
        name=peer.name,
        command=lambda port: peer.command(python, port, folder),
        environment=environment,
        folder=lambda _: folder,
        requests=requests,
        check=check,
        serves_models=peer.serves_models,
    )


def _foodex(folder: Path, stack: ExitStack) -> list[Server]:
    names = (f"{UNPAID}, the public door, the ml service by itself", f"{PAID}, SQLite, PostgreSQL")
    if not any(_wanted(f"{name}, {words}") for name in names for _, words in ACCOUNTS):
        return []
    print("preparing FoodEx on SQLite")
    servers = _foodex_servers(prepare(folder, None), "SQLite", unpaid=True)
    if not any(_wanted(f"{PAID}, PostgreSQL, {words}") for _, words in ACCOUNTS):
        return [server for server in servers if _wanted(server.name)]
    database = stack.enter_context(postgresql_database())
    if database is None:
        print("there is no PostgreSQL (FOODEX_TEST_POSTGRESQL_URL): its rows are left out")
    else:
        print("preparing FoodEx on PostgreSQL")
        servers += _foodex_servers(prepare(folder, database), "PostgreSQL", unpaid=False)
    return [server for server in servers if _wanted(server.name)]


def _foodex_servers(prepared: Prepared, database: str, *, unpaid: bool) -> list[Server]:
    def server(name: str, requests: list[Request], *, paid: bool) -> Server:
        def check(port: int) -> None:
            before = balance_minor(port, requests[0]) if paid else 0
            told = requests[0].send(port)
            if paid and balance_minor(port, requests[0]) >= before:
                raise RuntimeError(f"{name}: nothing was charged")
            free = prepared.unpaid()[0].send(port)
            known = free["quantiles_minutes"][3]
            if free["source"] != "model" or abs(told.get("median_minutes", known) - known) > 0.002:
                raise RuntimeError(f"{name} says {told}, and unpaid {free}")

        return Server(
            name=name,
            command=prepared.command,
            environment=lambda _: prepared.environment,
            folder=lambda _: pinned.ROOT,
            requests=requests,
            check=check,
        )

    found = []
    if unpaid:
        own_door = prepared.own_door()
        found.append(server(f"{UNPAID}, the public door", own_door, paid=False))
        alone = server(ALONE, prepared.unpaid(), paid=False)
        alone = replace(alone, command=prepared.ml_command, beside=prepared.storage_beside)
        found.append(alone)
    for accounts, words in ACCOUNTS:
        name = f"{PAID}, {database}, {words}"
        found.append(server(name, prepared.paid(accounts), paid=True))
    return found


def _rows(servers: Sequence[Server], found: Mapping[str, Measured]) -> list[Row]:
    rows = []
    for server in servers:
        measured = found[server.name]
        several = [measured.middle(connections) for connections in CONNECTIONS]
        waits = "; ".join(
            f"{connections}: p50 {measured.middle(connections, 'p50_ms'):.1f} ms, "
            f"p99 {measured.middle(connections, 'p99_ms'):.1f} ms"
            for connections in CONNECTIONS
        )
        errors, taken = measured.errors(), statistics.median(measured.others)
        must, reached = _must(server.name, measured)
        rows.append(
            Row(
                what=f"{server.name}: 16 and 64 connections",
                measured=" and ".join(f"{one:,.0f}/s" for one in several),
                must=must,
                reached=False if errors else reached,
                note=f"{waits}; {statistics.median(measured.memory_mib):,.0f} MiB"
                + (f"; others took {taken:.0%} of the core" if taken > DISTURBED else "")
                + (f"; {errors} errors" if errors else ""),
            )
        )
    return [*rows, *_ratios(servers, found)]


def _must(name: str, measured: Measured) -> tuple[str, bool | None]:
    """What a server must reach with 64 connections, and whether it does."""
    least = next((least for begin, least in LEAST.items() if name.startswith(begin)), None)
    if least is None:
        return "", None
    reached = measured.middle(CONNECTIONS[-1]) >= least
    if not name.startswith(PAID):
        return f"≥ {least:,}/s", reached
    reached &= measured.middle(CONNECTIONS[-1], "p99_ms") <= P99_MS
    reached &= statistics.median(measured.memory_mib) <= MEMORY_MIB
    return f"≥ {least:,}/s, p99 ≤ {P99_MS} ms, ≤ {MEMORY_MIB} MiB", reached


def _ratios(servers: Sequence[Server], found: Mapping[str, Measured]) -> list[Row]:
    def best(names: Sequence[str], connections: int) -> tuple[float, str]:
        return max((found[name].middle(connections), name) for name in names)

    others = {
        "unpaid": [s.name for s in servers if s.name.startswith(UNPAID)],
        "the fastest model server": [s.name for s in servers if s.serves_models],
        "the raw limit": [s.name for s in servers if s.name.startswith("raw")],
    }
    musts: dict[str, Callable[[str], float | None]] = {
        "unpaid": lambda _: SHARE,
        "the fastest model server": lambda name: TIMES[name.split(", ")[2]],
        "the raw limit": lambda _: None,
    }
    rows = []
    for server in servers:
        if not server.name.startswith(PAID):
            continue
        for other, names in others.items():
            if names:
                pairs = [(found[server.name].middle(c), *best(names, c)) for c in CONNECTIONS]
                least = musts[other](server.name)
                rows.append(
                    Row(
                        what=f"{server.name}, against {other}",
                        measured=" and ".join(f"{own / top:.2f} ×" for own, top, _ in pairs),
                        must="" if least is None else f"≥ {least:g} ×",
                        reached=None if least is None else pairs[-1][0] / pairs[-1][1] >= least,
                        note=" and ".join(dict.fromkeys(name for _, _, name in pairs)),
                    )
                )
    return rows
