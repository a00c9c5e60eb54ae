"""Services apart of which one is killed: the others go on without it, and with it again."""

import time
from collections.abc import Callable

import pytest

from tests.support.apart import WORKERS, Apart
from tests.support.running import Foodex
from tests.support.shop import ORDER, Shop

pytestmark = [pytest.mark.xdist_group("apart"), pytest.mark.timeout(240)]


def test_a_quote_is_answered_without_storage(services_apart: Shop, apart: Apart) -> None:
    forecast = apart.ok("POST", "/eta?model=bare", ORDER)
    rows = apart.ok("GET", "/storage/datasets/city")["rows"]
    apart.kill("storage")
    try:
        assert apart("GET", "/health/ready", key="").status == 503
        assert apart("GET", "/api/v1/storage/datasets/city").status == 503
        again = apart.ok("POST", "/eta?model=bare", ORDER)
        assert (again["source"], forecast["source"]) == ("model", "model")
    finally:
        apart.start("storage")
    _until(lambda: apart("GET", "/health/ready", key="").status == 200)
    assert apart.ok("GET", "/storage/datasets/city")["rows"] == rows


def test_people_are_known_at_the_gateway_and_nowhere_behind_it(
    services_apart: Shop, apart: Apart
) -> None:
    token = services_apart.client("eve", 5)
    wanted = {"name": "shop", "scopes": ["balance:read"]}
    made = apart.ok("POST", "/accounts/people/me/keys", wanted, key=token)
    # Neither the person nor their key opens what lies behind the gateway.
    behind = Foodex(apart.address("accounts"), apart.key)
    assert behind("GET", "/api/v1/accounts/me").status == 200
    for key in (token, made["secret"]):
        assert apart("GET", "/api/v1/accounts/me", key=key).status == 200
        assert behind("GET", "/api/v1/accounts/me", key=key).status == 401
    apart.ok("DELETE", f"/accounts/people/me/keys/{made['key']['id']}", key=token)
    _until(lambda: apart("GET", "/api/v1/accounts/me", key=made["secret"]).status == 401)
    apart.kill("accounts")
    try:
        # Who cannot be asked about is not let in, and the system's own key is.
        _until(lambda: apart("GET", "/api/v1/accounts/me", key=token).status == 503)
        assert apart("GET", "/api/v1/accounts/me").status == 200
    finally:
        apart.start("accounts")
    assert apart("GET", "/api/v1/accounts/me", key=token).status == 200
    _until(lambda: apart("GET", "/health/ready", key="").status == 200)


def test_a_worker_that_is_killed_is_stood_in_for(services_apart: Shop, apart: Apart) -> None:
    rows = 60_000
    token = services_apart.client("bulk", rows)
    lines = (f"{n % 9 / 2},{n % 4},s{n}\n" for n in range(rows))
    body = ("distance_km,items,note\n" + "".join(lines)).encode()
    sent = apart("POST", "/api/v1/predictions/files?name=o.csv", body, key=token)
    job = apart.ok("POST", "/predictions/batches", {"file": sent.json["file"]}, key=token)
    apart.follow(f"/jobs/{job['id']}", lambda found: found["state"] != "waiting")
    (busy,) = [name for name in WORKERS if job["id"] in apart.log(name)]
    apart.kill(busy)
    try:
        done = services_apart.job(job["id"])
        assert (done["state"], done["units_done"], done["attempts"]) == ("done", rows, 2)
        place = f"/api/v1/jobs/{job['id']}/files/predictions.csv"
        assert apart("GET", place, key=token).body.count(b"\n") == rows + 1
        assert services_apart.left("bulk") == 0
        assert apart.ok("GET", "/accounts/ledger/verification")["holds"]
    finally:
        apart.start(busy)


def _until(holds: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)
