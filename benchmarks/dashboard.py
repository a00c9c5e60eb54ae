"""How quickly the pages are there, and how smoothly the map moves, in Chromium on this machine.

The browser draws without a graphics card, as on a small office computer or a virtual desktop.
"""

import csv
import io
import itertools
import json
import os
import random
import shutil
import statistics
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from benchmarks.processes import Up, up
from benchmarks.report import Row

TITLE = "The dashboard"
PAGES: Final = (
    *("/", "/predict", "/batches", "/data", "/models", "/scenarios", "/reports"),
    *("/costs", "/account", "/admin"),
)
POINTS: Final = 20_000
DATASET: Final = "many_stores"
CALLS: Final = 40
VISITS: Final = 3
PAN_SECONDS: Final = 6.0
LOOK_MS: Final = 20
_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome")
_MAPPING: Final = (
    'time_zone = "Europe/Helsinki"\n\n[fields]\n'
    + "\n".join(
        f'{name} = {{ column = "{name}" }}'
        for name in (
            "store_id",
            "store_lat",
            "store_lon",
            "delivery_minutes",
            "own_estimate_minutes",
        )
    )
    + '\nplaced_at = { column = "placed_at", formats = ["%Y-%m-%dT%H:%M:%S%z"] }\n'
)

# Settled: nothing is being loaded, every chart is drawn, and so is the map where there is one.
_SETTLED: Final = """() => document.readyState === "complete"
  && !document.querySelector(".loading:not([hidden]), .htmx-request")
  && [...document.querySelectorAll("[data-chart]")].every((one) => one.querySelector("svg"))
  && [...document.querySelectorAll("[data-map]")].every((one) => one.dataset.drawn)
  && performance.now()"""
_PAINTED: Final = """() =>
  performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""

# A frame counts if the map drew something in it.
_WATCH: Final = """
for (const name of ["drawElements", "drawArrays"]) {
  const draw = WebGL2RenderingContext.prototype[name];
  WebGL2RenderingContext.prototype[name] = function (...all) {
    globalThis.drew = true;
    return draw.apply(this, all);
  };
}
"""

# The map is dragged to and fro; the pointer is told of within the page once a frame, as a hand's
# is. Answers with the moments (ms) of frames that were drawn.
_DRAG: Final = """(seconds) => new Promise((resolve) => {
  const canvas = document.querySelector("[data-map] canvas");
  canvas.scrollIntoView({ block: "center" });
  const box = canvas.getBoundingClientRect();
  const tell = (kind, x, y) => canvas.dispatchEvent(new MouseEvent(kind, {
    bubbles: true, cancelable: true, view: window, button: 0, buttons: kind === "mouseup" ? 0 : 1,
    clientX: box.x + box.width / 2 + x, clientY: box.y + box.height / 2 + y,
  }));
  tell("mousedown", 0, 0);
  const frames = [];
  let began = 0;
  const step = (now) => {
    began ||= now;
    if (globalThis.drew) frames.push(now - began);
    globalThis.drew = false;
    const away = (now - began) / 1000;
    if (away > seconds) {
      tell("mouseup", 0, 0);
      resolve(frames);
      return;
    }
    tell("mousemove", 100 * Math.sin(away * 2), 60 * Math.sin(away * 3));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def measure() -> list[Row]:
    """Start FoodEx with its demonstration, and look at its pages as an admin does."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        with up(state) as running, sync_playwright() as playwright:
            cookies = _signed_in(running, state)
            _load_points(running)
            pages = _page_rows(running, cookies)
            browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
            rows = [*pages, *_visit_rows(browser, running, cookies)]
            rows.append(_map_row(browser, running, cookies))
            browser.close()
    return rows


def _page_rows(running: Up, cookies: dict[str, str]) -> list[Row]:
    medians = {path: _median_ms(running.url + path, cookies) for path in PAGES}
    slowest = max(medians, key=lambda path: medians[path])
    middle = statistics.median(medians.values())
    return [
        Row(
            what="a page's HTML, over HTTP on loopback (median)",
            measured=f"{middle:.1f} ms",
            must="≤ 25 ms",
            reached=medians[slowest] <= 25,
            note=f"of {len(PAGES)} pages; the slowest is {slowest} with {medians[slowest]:.1f} ms",
        )
    ]


def _visit_rows(browser: Browser, running: Up, cookies: dict[str, str]) -> list[Row]:
    painted: dict[str, float] = {}
    settled: dict[str, float] = {}
    for path in PAGES:
        visits = [_visit(browser, running, cookies, path) for _ in range(VISITS)]
        painted[path] = statistics.median(one[0] for one in visits)
        settled[path] = statistics.median(one[1] for one in visits)
    return [
        _visit_row("first contentful paint of a page, nothing cached", painted, 1.0),
        _visit_row("a page settled: figures, charts and map drawn", settled, 2.0),
    ]


def _visit_row(what: str, seconds: dict[str, float], most: float) -> Row:
    slowest = max(seconds, key=lambda path: seconds[path])
    return Row(
        what=what,
        measured=f"{seconds[slowest]:.2f} s",
        must=f"≤ {most:.0f} s",
        reached=seconds[slowest] <= most,
        note=f"the slowest of {len(seconds)} pages, {slowest}; "
        f"half of them within {statistics.median(seconds.values()):.2f} s",
    )


def _visit(
    browser: Browser, running: Up, cookies: dict[str, str], path: str
) -> tuple[float, float]:
    """Seconds to the first paint, and until the page has settled, in a browser of its own."""
    with _context(browser, running, cookies) as context:
        page = context.new_page()
        page.goto(running.url + path)
        settled, painted = (
            page.wait_for_function(seen, polling=LOOK_MS, timeout=60_000).json_value()
            for seen in (_SETTLED, _PAINTED)
        )
        return painted / 1000, settled / 1000


def _map_row(browser: Browser, running: Up, cookies: dict[str, str]) -> Row:
    with _context(browser, running, cookies) as context:
        page = context.new_page()
        page.add_init_script(_WATCH)
        page.goto(f"{running.url}/?dataset={DATASET}")
        page.wait_for_selector("[data-map][data-drawn]", timeout=120_000)
        frames: list[float] = page.evaluate(_DRAG, PAN_SECONDS)
        shown = page.evaluate(
            "fetch(document.querySelector('[data-map]').dataset.places)"
            ".then((told) => told.json()).then((places) => places.stores.length)"
        )
    rate = len(frames) / PAN_SECONDS
    longest = max((b - a for a, b in itertools.pairwise(frames)), default=0.0)
    return Row(
        what=f"frames a second while a map of {shown:,} stores is moved",
        measured=f"{rate:.0f}",
        must="≥ 20",
        aim="60",
        reached=rate >= 20 and shown == POINTS,
        note=f"drawn without a graphics card; the longest frame took {longest:.0f} ms",
    )


@contextmanager
def _context(browser: Browser, running: Up, cookies: dict[str, str]) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
    context.add_cookies(
        [{"name": name, "value": value, "url": running.url} for name, value in cookies.items()]
    )
    try:
        yield context
    finally:
        context.close()


def _chromium() -> str:
    wanted = os.environ.get("FOODEX_TEST_CHROMIUM")
    for name in (wanted,) if wanted else _CHROMIUMS:
        if path := shutil.which(name):
            return path
    raise RuntimeError("there is no Chromium on this machine")


def _signed_in(running: Up, state: Path) -> dict[str, str]:
    password = (state / "demo-admin.password").read_text().strip()
    told = _ask(running, "/accounts/sign-in", {"name": "demo-admin", "password": password})
    return {"foodex_access": told["access_token"], "foodex_refresh": told["refresh_token"]}


def _median_ms(url: str, cookies: dict[str, str]) -> float:
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    request = urllib.request.Request(url, headers={"cookie": cookie})
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def _load_points(running: Up) -> None:
    """A data set of orders of very many stores, on the demonstration city's streets."""
    chance = random.Random(7)
    text = io.StringIO()
    writer = csv.writer(text)
    names = ("store_id", "store_lat", "store_lon", "placed_at")
    writer.writerow((*names, "delivery_minutes", "own_estimate_minutes"))
    start = datetime(2026, 3, 2, tzinfo=UTC)
    for number in range(POINTS):
        lat, lon = chance.uniform(60.1642, 60.1791), chance.uniform(24.9352, 24.9534)
        for _ in range(2):
            placed = start + timedelta(minutes=chance.randrange(7 * 24 * 60 - 120))
            took = chance.lognormvariate(3.4, 0.3)
            row = (f"store-{number}", f"{lat:.6f}", f"{lon:.6f}", f"{placed:%Y-%m-%dT%H:%M:%S%z}")
            writer.writerow((*row, f"{took:.2f}", chance.choice((25, 30, 35))))
    source = _ask(running, "/collector/uploads?name=stores.csv", text.getvalue().encode())
    load = _ask(
        running,
        "/collector/loads",
        {"source": source, "mapping": _MAPPING, "dataset": DATASET},
    )
    while load["state"] == "running":
        load = _ask(running, f"/collector/loads/{load['id']}?wait=5&seen={load['progress']}")
    if load["state"] != "done":
        raise RuntimeError(f"the stores could not be loaded: {load}")


def _ask(running: Up, path: str, body: Any = None) -> Any:
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{running.url}/api/v1{urllib.parse.quote(path, safe='/?&=.')}",
        data=sent,
        headers={"authorization": f"Bearer {running.key}"},
    )
    if not isinstance(body, bytes):
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
