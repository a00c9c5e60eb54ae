"""Send HTTP requests over kept connections as fast as they are answered, and time each.

    python -m benchmarks.load SPEC.json

`SPEC` names `host`, `port`, `path`, `requests` (each with `headers` and `body`, sent in turn),
`connections`, `warm_seconds` and `seconds`. Prints what was measured as JSON. It speaks just
enough HTTP/1.1 for that: a client with a library's comforts would itself be what is measured.
"""

import asyncio
import itertools
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import uvloop


class Connection(asyncio.Protocol):
    """One connection: sends the next request as soon as the last one is answered."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(next(self.load.requests))

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or not whole(buffer, end):
            self.buffer = buffer
            return
        self.buffer = b""
        self.load.answered(buffer, self.began)
        if self.load.going:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.load.lost(self)


def whole(buffer: bytes, end: int) -> bool:
    """Whether an answer whose headers end there has its whole body."""
    headers = buffer[:end].lower()
    at = headers.find(b"content-length:")
    if at >= 0:
        line = headers[at + 15 :].partition(b"\r\n")[0]
        return len(buffer) >= end + 4 + int(line)
    return b"transfer-encoding: chunked" in headers and buffer.endswith(b"0\r\n\r\n")


class Load:
    """All connections together."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.requests = itertools.cycle([written(spec, one) for one in spec["requests"]])
        self.times: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.lost_connections = 0
        self.going, self.counting = True, False
        self.open = 0
        self.first_wrong = ""

    def answered(self, answer: bytes, began: float) -> None:
        if not self.counting:
            return
        self.times.append(time.perf_counter() - began)
        status = answer[9:12]
        if status == b"200":
            self.statuses["200"] += 1
        else:
            self.statuses[status.decode()] += 1
            self.first_wrong = self.first_wrong or answer[:600].decode(errors="replace")

    def lost(self, _: Connection) -> None:
        self.open -= 1
        if self.going:
            self.lost_connections += 1
            self.connect()

    def connect(self) -> None:
        self.open += 1
        loop = asyncio.get_running_loop()
        self.tasks = {*getattr(self, "tasks", ()), loop.create_task(self._connect(loop))}

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        await loop.create_connection(lambda: Connection(self), self.spec["host"], self.spec["port"])

    async def run(self) -> dict[str, Any]:
        for _ in range(self.spec["connections"]):
            self.connect()
        await asyncio.sleep(self.spec["warm_seconds"])
        self.counting = True
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(self.spec["seconds"])
        self.counting = False
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        self.going = False
        await asyncio.sleep(0.2)
        times = sorted(self.times)
        return {
            "per_second": self.statuses["200"] / seconds,
            "p50_ms": quantile(times, 0.5) * 1000,
            "p99_ms": quantile(times, 0.99) * 1000,
            "errors": len(times) - self.statuses["200"] + self.lost_connections,
            "statuses": dict(self.statuses),
            "first_wrong": self.first_wrong,
            "client_busy": cpu / seconds,
        }


def written(spec: dict[str, Any], request: dict[str, Any]) -> bytes:
    """A request as it goes over the wire."""
    body = request["body"].encode()
    headers = {
        "host": f"{spec['host']}:{spec['port']}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **request.get("headers", {}),
    }
    lines = [f"POST {spec['path']} HTTP/1.1", *(f"{name}: {v}" for name, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def quantile(times: list[float], level: float) -> float:
    return times[min(len(times) - 1, math.floor(level * len(times)))] if times else math.nan


if __name__ == "__main__":
    print(json.dumps(uvloop.run(Load(json.loads(Path(sys.argv[1]).read_text())).run())))
