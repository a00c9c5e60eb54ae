"""A business on a running FoodEx, however it runs: a short history, two models, and its people."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from foodex.city import export_as_company_csv, simulate_history
from tests.support.command_line import ROOT
from tests.support.running import Foodex

MAPPING: Final = (ROOT / "src/foodex/city/data/export.toml").read_text()
DAYS: Final = 9
SPLIT: Final = "2026-03-08T00:00:00+02:00"
PASSWORD: Final = "correct horse battery"
ORDER: Final = {
    "store_lat": 60.1699,
    "store_lon": 24.9384,
    "customer_lat": 60.1741,
    "items": 3,
}

RUNS: Final[dict[str, dict[str, Any]]] = {
    "report-model": {"model": "eta"},
    "report-period": {"dataset": "city", "days": 3},
    "compare-models": {"models": ["eta", "bare:1"], "dataset": "city", "since": SPLIT},
    "what-if": {"dataset": "city", "model": "eta", "day": "2026-03-09", "quantile": 0.9},
    "plan-costs": {"predictions": 1_000_000, "objects_gb": "10"},
}
"""Parameters of the scenarios that leave a report."""


class Shop:
    """A running FoodEx whose data set `city` and models `eta` and `bare` are there."""

    def __init__(self, up: Foodex, *, adapters: dict[str, str], state: Path | None = None) -> None:
        self.up, self.adapters, self.state = up, adapters, state
        frame = simulate_history(
            seed=5, start=datetime(2026, 3, 2, tzinfo=UTC), days=DAYS, orders_per_day=160
        )
        self.orders = frame.height
        self.export = export_as_company_csv(frame)
        self._runs: dict[str, Any] = {}

    def learn(self) -> "Shop":
        """Collect the history and train the models, as a user does: by scenarios."""
        upload = self.up.ok("POST", "/collector/uploads?name=orders.csv", self.export)
        self.up.ok("PUT", "/collector/mappings/city", {"toml": MAPPING})
        collected = self.done(
            "collect-data", upload=upload["location"], mapping="city", dataset="city"
        )
        assert collected["outcome"]["facts"]["load"]["rows_kept"] == self.orders
        for model, without in (("eta", ["vehicle"]), ("bare", ["vehicle", "own_estimate_minutes"])):
            trained = self.done(
                "train-model",
                model=model,
                dataset="city",
                algorithm="linear_regression",
                until=SPLIT,
                without=without,
            )
            assert trained["outcome"]["facts"]["version"] == 1
        return self

    def begin(self, name: str, key: str | None = None, **parameters: Any) -> Any:
        """The answer to who wants a run."""
        path = f"/api/v1/scenarios/{name}/runs"
        return self.up("POST", path, parameters, key=key)

    def ended(self, run: Any) -> Any:
        """A run when it has ended."""
        return self.up.ended(f"/scenarios/runs/{run['id']}", seconds=120)

    def done(self, name: str, key: str | None = None, **parameters: Any) -> Any:
        """A run that succeeded."""
        begun = self.begin(name, key, **parameters)
        assert begun.status == 202, begun.body
        run = self.ended(begun.json)
        assert run["state"] == "done", (run["error"], run["problems"])
        assert run["outcome"]["summary"]
        return run

    def once(self, name: str) -> Any:
        """The one run with the parameters of `RUNS`, for all who look at it."""
        if name not in self._runs:
            self._runs[name] = self.done(name, **RUNS[name])
        return self._runs[name]

    def repeated(self, run: Any) -> Any:
        """The same once more."""
        again = self.ended(self.up.ok("POST", f"/scenarios/runs/{run['id']}/repeat"))
        assert again["state"] == "done", again["error"]
        return again

    def file(self, run: Any, name: str, key: str | None = None) -> bytes:
        """A file of a run."""
        told = self.up("GET", f"/api/v1/scenarios/runs/{run['id']}/files/{name}", key=key)
        assert told.status == 200
        return told.body

    def report(self, run: Any) -> Any:
        """The report that a run left, once it is found whole in all three forms."""
        assert [file["name"] for file in run["files"]] == [
            "report.html",
            "report.pdf",
            "report.json",
        ]
        value = json.loads(self.file(run, "report.json"))
        page = self.file(run, "report.html").decode()
        assert value["title"] in page.replace("&#39;", "'")
        assert self.file(run, "report.pdf").startswith(b"%PDF")
        assert list(value["summary"]) == run["outcome"]["summary"]
        return value

    def client(self, name: str, minor: int) -> str:
        """A client with money; their access token."""
        made = self.up.ok("POST", "/accounts/people", {"name": name, "roles": ["client"]})
        if minor:
            self.up.ok("POST", "/accounts/top-ups", {"account": name, "amount_minor": minor})
        given = {"name": name, "password": made["password"]}
        return str(self.up.ok("POST", "/accounts/sign-in", given)["access_token"])

    def left(self, name: str) -> int:
        """A client's balance."""
        return int(self.up.ok("GET", f"/accounts/balance?account={name}")["balance_minor"])

    def job(self, job_id: str) -> Any:
        """A job when it has ended and its money is where it belongs."""
        return self.up.follow(
            f"/jobs/{job_id}",
            lambda job: job["state"] not in ("waiting", "running") and job["settled"],
            seconds=120,
        )
