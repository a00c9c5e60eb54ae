"""Killed without a goodbye in the middle of its work: nothing is lost, nothing is there twice."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.support.lives import Nursery
from tests.support.running import Up, up

pytestmark = [pytest.mark.xdist_group("killed"), pytest.mark.timeout(240)]

# Small batches make many checkpoints, so there is a middle to be killed in.
PATIENT = {"FOODEX_COLLECTOR__BATCH_ROWS": "500"}
COPIES = 100
AT_ONCE = {"FOODEX_ML__JOB_NICE": "0"}
QUICK = {"FOODEX_JOBS__LEASE_SECONDS": "3", "FOODEX_JOBS__SWEEP_SECONDS": "0.5"}


def _large(export: bytes) -> bytes:
    """The history many times over, each order with a number of its own, some rows spoiled."""
    frame = pl.read_csv(export, infer_schema=False)
    copies = pl.concat([frame.with_columns(pl.lit(str(n)).alias("copy")) for n in range(COPIES)])
    return (
        copies.with_row_index("at")
        .with_columns(
            pl.col("Order No") + "-" + pl.col("copy"),
            pl.when(pl.col("at") % 101 == 7)
            .then(pl.lit("yesterday"))
            .otherwise("Ordered")
            .alias("Ordered"),
        )
        .drop("at", "copy")
        .write_csv()
        .encode()
    )


def _content(running: Up, dataset: str) -> tuple[Any, ...]:
    """A data set's rows in both layers as a fingerprint that does not depend on the load."""
    found: list[Any] = []
    for layer in ("raw", "processed"):
        columns = running.ok("GET", f"/storage/datasets/{dataset}?layer={layer}")["columns"]
        names = ", ".join(
            f"`{c['name']}`" for c in columns if c["name"] not in ("row_id", "load_id")
        )
        sql = (
            f"SELECT count(), uniqExact(row_id), sum(cityHash64(row_id % 4294967296, {names})) "
            f"FROM {layer}_{dataset}"
        )
        found += running.ok("POST", "/storage/query", {"sql": sql})["rows"]
    return tuple(found)


def _visible(running: Up, dataset: str) -> set[int]:
    """How many rows of a data set anybody can see, counted in both ways."""
    told = running("GET", f"/api/v1/storage/datasets/{dataset}")
    if told.status == 404:
        return {0}
    asked = running.ok(
        "POST", "/storage/query", {"sql": f"SELECT count() FROM processed_{dataset}"}
    )
    return {told.json["rows"], asked["rows"][0][0]}


def _load_row(state: Path, load_id: int) -> tuple[str, int]:
    """A load's state and how many rows of it are staged, as its row says."""
    with closing(sqlite3.connect(f"file:{state}/foodex.db?mode=ro", uri=True)) as database:
        found = database.execute(
            "SELECT state, staged_row FROM collector_loads WHERE id = ?", (load_id,)
        ).fetchone()
    return found[0], found[1]


def _goes_on(state: Path, load_id: int, reached: tuple[str, int]) -> bool:
    return _load_row(state, load_id) > reached


def test_killed_twice_while_importing(
    lives: Nursery, tmp_path: Path, export: bytes, mapping: str
) -> None:
    state, content = tmp_path / "state", _large(export)
    with up(state, "--no-demo", lives=lives, env=PATIENT) as running:
        kept = running.load("kept.csv", export, mapping=mapping, dataset="kept")
        assert running.ended(f"/collector/loads/{kept['id']}")["state"] == "done"
        before = _content(running, "kept")
        load = running.load("large.csv", content, mapping=mapping, dataset="killed")
        path = f"/collector/loads/{load['id']}"
        seen = running.follow(path, lambda f: f["progress"] > 0.05)
        assert seen["state"] == "running"
        visible = _visible(running, "killed")
        running.kill()
    reached = _load_row(state, load["id"])
    assert reached[0] == "running"
    # It goes on while FoodEx starts, so it is watched from outside.
    further = up(
        state,
        "--no-demo",
        lives=lives,
        env=PATIENT,
        until=lambda: _goes_on(state, load["id"], reached),
    )
    with further as running:
        running.kill()
    assert _load_row(state, load["id"])[0] == "running"
    # In batches of another size, which is nothing that a load shows.
    with up(state, "--no-demo", lives=lives) as running:
        done = running.ended(path, 120)
        assert done["state"] == "done", done
        calm = running.load("calm.csv", content, mapping=mapping, dataset="calm")
        undisturbed = running.ended(f"/collector/loads/{calm['id']}", 120)
        told = ("rows_read", "rows_kept", "rows_rejected", "rejected_by_rule", "content_hash")
        assert {name: done[name] for name in told} == {name: undisturbed[name] for name in told}
        assert done["rows_rejected"] > 0
        assert _content(running, "killed") == _content(running, "calm")
        assert _visible(running, "killed") == {done["rows_kept"]}
        assert visible <= {0, done["rows_kept"]}, "a part of a load was seen"
        assert _content(running, "kept") == before
        rejected = [
            running("GET", f"/api/v1/collector/loads/{one['id']}/rejections.csv").body
            for one in (done, undisturbed)
        ]
        assert rejected[0] == rejected[1]
        assert rejected[0].count(b"\n") == done["rows_rejected"] + 1
        again = running.load("again.csv", content, mapping=mapping, dataset="killed")
        assert running.ended(f"/collector/loads/{again['id']}")["state"] == "duplicate"


@pytest.fixture(scope="module")
def taught(
    lives: Nursery, tmp_path_factory: pytest.TempPathFactory, export: bytes, mapping: str
) -> Path:
    """A state folder with a data set and a model in production."""
    state = tmp_path_factory.mktemp("taught") / "state"
    with up(state, "--no-demo", lives=lives) as running:
        load = running.load("orders.csv", export, mapping=mapping, dataset="city")
        assert running.ended(f"/collector/loads/{load['id']}")["state"] == "done"
        wish = {"dataset": "city", "model": "eta", "algorithm": "linear_regression"}
        job = running.ok("POST", "/ml/trainings", wish)
        assert running.ended(f"/ml/jobs/{job['id']}")["state"] == "done"
    return state


def _process_of(path: str) -> int:
    """The number of the process that does a job; its folder's name stands among its words."""
    listed = subprocess.run(
        ["ps", "-wweo", "pid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    job = path.rpartition("/")[2]
    found = [
        int(words[0])
        for words in map(str.split, listed.splitlines())
        if "foodex.services.ml.job" in words and words[-1].endswith(job) and "Z" not in words[1]
    ]
    assert len(found) == 1, found
    return found[0]


def _until_gone(pid: int, seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while True:
        left = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
        if not left or left.startswith("Z"):
            return
        assert time.monotonic() < ends, f"process {pid} outlived its parent"
        time.sleep(0.05)


def _begin(running: Up) -> str:
    """Begin a training; its path, once its process is at work."""
    wish = {"dataset": "city", "model": "eta", "parameters": {"num_iterations": 20}}
    job = running.ok("POST", "/ml/trainings", wish)
    path = f"/ml/jobs/{job['id']}"
    seen = running.follow(path, lambda f: f["progress"] > 0.15)
    assert seen["state"] == "running"
    return path


def _versions(running: Up) -> list[int]:
    return sorted(v["version"] for v in running.ok("GET", "/ml/models/eta/versions"))


def test_killed_while_training(lives: Nursery, taught: Path) -> None:
    order = {"distance_km": 2, "items": 3}
    with up(taught, "--no-demo", lives=lives, env=AT_ONCE) as running:
        before, answer = _versions(running), running.ok("POST", "/eta", order)
        path = _begin(running)
        child = _process_of(path)
        running.kill()
    _until_gone(child)
    with up(taught, "--no-demo", lives=lives, env=AT_ONCE) as running:
        after = running.ok("POST", "/eta", order)
        assert after["quantiles_minutes"] == pytest.approx(answer["quantiles_minutes"], abs=0.5)
        ended = running.ended(path, 120)
        assert ended["state"] == "done", ended
        assert _versions(running) == [*before, ended["result"]["version"]]
        assert list((taught / "work/jobs").iterdir()) == []


def test_training_process_killed(lives: Nursery, taught: Path) -> None:
    with up(taught, "--no-demo", lives=lives, env=AT_ONCE) as running:
        before = _versions(running)
        path = _begin(running)
        os.kill(_process_of(path), signal.SIGKILL)
        ended = running.ended(path, 120)
        assert ended["state"] == "done", ended
        assert _versions(running) == [*before, ended["result"]["version"]]


def test_killed_while_a_file_is_forecast(lives: Nursery, taught: Path) -> None:
    rows = 60_000
    body = "distance_km,items\n" + "".join(f"{n % 9 / 2},{n % 4}\n" for n in range(rows))
    with up(taught, "--no-demo", lives=lives, env=QUICK) as running:
        made = running.ok("POST", "/accounts/people", {"name": "bulk", "roles": ["client"]})
        running.ok("POST", "/accounts/top-ups", {"account": "bulk", "amount_minor": rows})
        given = {"name": "bulk", "password": made["password"]}
        token = running.ok("POST", "/accounts/sign-in", given, key="")["access_token"]
        place = "/api/v1/predictions/files?name=o.csv"
        sent = running("POST", place, body.encode(), key=token).json
        job = running.ok("POST", "/predictions/batches", {"file": sent["file"]}, key=token)
        balance = "/accounts/balance?account=bulk"
        assert running.ok("GET", balance)["balance_minor"] == 0
        seen = running.follow(f"/jobs/{job['id']}", lambda found: found["progress"] > 0)
        assert seen["state"] == "running"
        running.kill()
    with up(taught, "--no-demo", lives=lives, env=QUICK) as running:
        done = running.follow(
            f"/jobs/{job['id']}",
            lambda found: found["state"] not in ("waiting", "running") and found["settled"],
            120,
        )
        assert (done["state"], done["units_done"], done["attempts"]) == ("done", rows, 2)
        assert running.ok("GET", balance)["balance_minor"] == 0
        token = running.ok("POST", "/accounts/sign-in", given, key="")["access_token"]
        charged = running.ok("GET", "/accounts/entries?kind=charge", key=token)["entries"]
        assert [one["amount_minor"] for one in charged] == [-rows]
        found = running("GET", f"/api/v1/jobs/{job['id']}/files/predictions.csv", key=token)
        assert found.body.count(b"\n") == rows + 1
        assert running.ok("GET", "/accounts/ledger/verification")["holds"]
        assert not [path for path in (taught / "jobs").rglob("*") if path.is_file()]
