"""A shop with a short simulated history, imported and learned from by commands alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foodex.city import export_as_company_csv, simulate_history
from tests.support.command_line import Answer, CommandLine, command_line

FROM = datetime(2026, 3, 2, tzinfo=UTC)
UNTIL = "2026-03-04T00:00:00Z"
"""The last of the three days is for judging."""


@dataclass(frozen=True)
class Shop:
    """The folder where commands run, and the state folder they share."""

    run: CommandLine
    folder: Path
    state: Path
    export: bytes
    mapping: str

    def __call__(self, *words: object, **options: Any) -> Answer:
        return self.run(*words, **{"state": self.state, **options})

    def file(self, name: str, content: bytes | str) -> Path:
        """Write a file where the commands run."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def stored(self) -> dict[str, Any]:
        """What nobody may harm: data sets with their rows, models with their versions."""
        datasets = self("datasets", "--json").json
        models = self("models", "list", "--json").json
        return {
            "rows": {(d["name"], d["layer"]): d["rows"] for d in datasets},
            "changed": {(d["name"], d["layer"]): d["changed_at"] for d in datasets},
            "models": {m["name"]: (m["versions"], m["production"]) for m in models},
        }


@pytest.fixture(scope="session")
def export() -> bytes:
    """Three days of a simulated city as a company would export them."""
    frame = simulate_history(seed=7, start=FROM, days=3, orders_per_day=150)
    return export_as_company_csv(frame)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, export: bytes) -> Iterator[Shop]:
    """A shop whose data set `city` and model `eta` are there."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "orders.csv").write_bytes(export)
    with command_line(folder) as run:
        state = folder / "state"
        suggested = run("mapping", "suggest", "orders.csv", "--json", state=state)
        assert suggested.code == 0, suggested.err
        toml = suggested.json["toml"]
        (folder / "asking.toml").write_text(toml)
        mapping = toml.replace('time_zone = "?"', 'time_zone = "Europe/Helsinki"')
        (folder / "mapping.toml").write_text(mapping)
        made = Shop(run, folder, state, export, mapping)
        imported = made("import", "orders.csv", "--mapping", "mapping.toml", "--dataset", "city")
        assert imported.code == 0, imported.err
        trained = made(
            *("train", "--dataset", "city", "--model", "eta", "--until", UNTIL),
            *("--algorithm", "linear_regression", "--without", "vehicle"),
        )
        assert trained.code == 0, trained.err
        yield made
