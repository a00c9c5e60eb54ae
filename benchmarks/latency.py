"""How long one order takes to its promise: in this process, and over HTTP."""

import asyncio
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.processes import up
from benchmarks.report import Row
from foodex.city import simulate_history
from foodex.domain.promises import PromisePolicy
from foodex.eta import TrainingOptions, columns_of_orders, train

TITLE = "One order"
ORDER = {
    "store_id": "sim-store-007",
    "distance_km": 1.4,
    "items": 3,
    "subtotal_minor": 3150,
    "temperature_c": 8.5,
    "precipitation_mm": 0.2,
    "traffic_ratio": 0.8,
}
CALLS = 3000


def measure() -> list[Row]:
    """Train on a simulated city, then ask for one order again and again."""
    return [*in_process(), *over_http()]


def in_process() -> list[Row]:
    frame = simulate_history(seed=7, start=datetime(2026, 8, 3, tzinfo=UTC), days=28)
    model = train(frame, TrainingOptions(time_zone="Europe/Helsinki"))
    state = model.state_of(frame)
    now = datetime(2026, 9, 1, 11, tzinfo=UTC)
    policy = PromisePolicy()
    row = model.encode(columns_of_orders([ORDER | {"placed_at": now}]), state)
    matrix = getattr(row, "rows", row)

    whole = _median_ms(lambda: model.forecast(ORDER, state, now=now, policy=policy))
    bare = _median_ms(lambda: model.predictor.predict(matrix))
    return [
        Row(
            what="one raw order to its promise, in process (median)",
            measured=f"{whole:.3f} ms",
            must="≤ 0.4 ms",
            aim="0.2 ms",
            reached=whole <= 0.4,
            note=f"{whole / bare:.1f} × the bare model call ({bare:.3f} ms)",
        )
    ]


def _median_ms(call: object) -> float:
    assert callable(call)
    for _ in range(200):
        call()
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def over_http() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, up(Path(folder) / "state") as running:
        times = asyncio.run(_ask(running.url, running.key))
    median = statistics.median(times) * 1000
    p95 = statistics.quantiles(times, n=20)[-1] * 1000
    return [
        Row(
            what="`POST /api/v1/eta`, one connection (median)",
            measured=f"{median:.2f} ms",
            must="≤ 1.5 ms",
            aim="1 ms",
            reached=median <= 1.5,
            note=f"p95 {p95:.2f} ms; client and server share the machine",
        )
    ]


async def _ask(url: str, key: str) -> list[float]:
    body = msgspec.json.encode(ORDER)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    times = []
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(CALLS + 200):
            began = time.perf_counter()
            async with session.post(url + "/api/v1/eta", data=body) as answer:
                await answer.read()
                assert answer.status == 200
            if number >= 200:
                times.append(time.perf_counter() - began)
    return times
