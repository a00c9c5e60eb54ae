"""The walk an owner takes: from an export to a promise, by commands."""

import csv
import io
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from tests.cli.conftest import UNTIL, Shop

pytestmark = pytest.mark.xdist_group("cli")

FIGURES = {
    "n",
    "mae_minutes",
    "rmse_minutes",
    "r2",
    "bias_minutes",
    "within_5",
    "within_10",
    "p90_abs_error_minutes",
    "coverage_90",
    "width_90_minutes",
    "on_time_share",
}
SHARES = ("within_5", "within_10", "coverage_90", "on_time_share")


def _rows(shop: Shop) -> int:
    return len(list(csv.reader(io.StringIO(shop.export.decode())))) - 1


def test_suggestion_asks_for_the_zone_and_is_refused_until_answered(shop: Shop) -> None:
    before = shop.stored()
    said = shop("mapping", "suggest", "orders.csv", "-o", "first.toml")
    assert said.code == 0
    assert "zone" in said.err
    assert 'time_zone = "?"' in (shop.folder / "first.toml").read_text()
    refused = shop("import", "orders.csv", "-m", "first.toml", "-d", "other")
    assert refused.code == 2
    assert "time_zone" in refused.err
    assert shop.stored() == before


def test_import_keeps_every_row_and_the_same_content_adds_nothing(shop: Shop) -> None:
    rows = _rows(shop)
    counts = shop.stored()["rows"]
    assert counts["city", "raw"] == counts["city", "processed"] == rows
    again = shop("import", "orders.csv", "-m", "mapping.toml", "-d", "city", "--json")
    assert again.code == 0
    assert again.json["state"] == "duplicate"
    assert shop.stored()["rows"] == counts


def test_import_shows_an_example_of_each_rule_that_rejected(shop: Shop) -> None:
    table = list(csv.reader(io.StringIO(shop.export.decode())))
    head = table[0]
    for row, (column, value) in enumerate(
        [
            ("Ordered", "yesterday"),
            ("Total Duration (s)", "-60"),
            ("Restaurant Lat", "123.4"),
            ("Distance (m)", "near"),
        ],
        start=1,
    ):
        table[row][head.index(column)] = value
    table[5] = table[5][:4]
    text = io.StringIO()
    csv.writer(text).writerows(table)
    shop.file("faulty.csv", text.getvalue())
    said = shop("import", "faulty.csv", "-m", "mapping.toml", "-d", "faulty")
    assert said.code == 0, said.err
    for place in (
        "row 1, placed_at: 'yesterday'",
        "row 2, delivery_minutes: -1",
        "row 3, store_lat: 123.4",
        "row 4, distance_km: 'near'",
        "row 5, the row: has 4 fields",
    ):
        assert place in said.out
    rows = shop.stored()["rows"]
    # A line that cannot be cut into fields is no row of any table; its text is with its reason.
    assert rows["faulty", "processed"] == _rows(shop) - 5
    assert shop("datasets", "delete", "faulty", "-y").code == 0


def test_nothing_usable_is_an_error_with_examples(shop: Shop) -> None:
    head, *lines = shop.export.decode().splitlines()
    place = head.split(",").index("Ordered")
    cells = [line.split(",") for line in lines[:20]]
    for row in cells:
        row[place] = "soon"
    shop.file("useless.csv", "\n".join([head, *(",".join(row) for row in cells)]))
    said = shop("import", "useless.csv", "-m", "mapping.toml", "-d", "useless")
    assert said.code == 2
    assert "row 1, placed_at: 'soon'" in said.err
    assert shop("datasets", "delete", "useless", "-y").code == 0


@pytest.mark.parametrize(
    ("since", "version"), [(("--since", UNTIL), ":1"), ((), "")], ids=["since", "as trained"]
)
def test_evaluation_has_the_promised_figures(
    shop: Shop, since: tuple[str, ...], version: str
) -> None:
    said = shop("evaluate", "--model", f"eta{version}", "--dataset", "city", *since, "--json")
    assert said.code == 0, said.err
    found = said.json
    assert set(found) >= FIGURES
    assert 50 < found["n"] < _rows(shop) / 2
    assert datetime.fromisoformat(found["since"]) == datetime.fromisoformat(UNTIL)
    baselines = found["baselines"]
    assert set(baselines) >= {
        "median",
        "store_hour_median",
        "own_estimate",
        "own_estimate_unbiased",
    }
    for figures in (found, *baselines.values()):
        assert set(figures) >= FIGURES
        assert all(0 <= figures[name] <= 1 for name in SHARES if figures[name] is not None)
    assert all(found[name] is not None for name in FIGURES)


def test_boosting_rollback_and_promotion(shop: Shop) -> None:
    trained = shop(
        *("train", "-d", "city", "-m", "boosted", "--until", UNTIL, "--without"),
        *("vehicle,own_estimate_minutes", "--json"),
    )
    assert trained.code == 0, trained.err
    version = trained.json
    assert version["version"] == 1
    assert version["in_production"] is True
    assert datetime.fromisoformat(version["created_at"]).tzinfo is not None
    used = set(version["summary"]["features"])
    assert used
    assert not used & {"vehicle", "own_estimate_minutes"}
    second = shop(
        *("train", "-d", "city", "-m", "boosted", "--until", UNTIL, "-a", "linear_regression"),
        "--json",
    ).json
    assert second["in_production"] is False
    assert shop("models", "promote", "boosted:2", "--json").json["production"] == 2
    assert shop("predict", "-m", "boosted", "items=2", "--json").json["version"] == 2
    assert shop("models", "rollback", "boosted", "--json").json["production"] == 1
    shown = shop("models", "show", "boosted", "--json").json
    assert [change["version"] for change in shown["production_log"]] == [1, 2, 1]
    assert {v["version"]: v["in_production"] for v in shown["versions"]} == {1: True, 2: False}
    plain = shop("models", "show", "boosted:1")
    assert "gradient_boosting" in plain.out
    assert "distance_km" in plain.out


def test_prediction_of_a_whole_order_comes_from_the_model(shop: Shop) -> None:
    order = _order(shop)
    words = [f"{name}={value}" for name, value in order.items()]
    plain = shop("predict", "-m", "eta", *words, "--explain")
    assert plain.code == 0, plain.err
    assert "Promise" in plain.out
    assert "a typical order" in plain.out
    told = shop("predict", "-m", "eta", *words, "--explain", "--json").json
    assert told["source"] == "model"
    assert told["quantiles_minutes"] == sorted(told["quantiles_minutes"])
    assert told["promise"]["minutes"] % 5 == 0
    explained = told["explanation"]
    total = explained["typical_minutes"] + sum(f["minutes"] for f in explained["factors"])
    middle = told["quantiles_minutes"][len(told["quantiles_minutes"]) // 2]
    assert total == pytest.approx(middle, abs=0.01)
    shop.file("order.json", pl.DataFrame([order]).write_ndjson())
    from_file = shop("predict", "-m", "eta", "--order", "@order.json", "--json").json
    assert from_file["quantiles_minutes"] == pytest.approx(told["quantiles_minutes"], abs=0.5)


def _order(shop: Shop) -> dict[str, Any]:
    shown = shop("datasets", "show", "city", "--rows", "1", "--json").json
    wanted = shop("predict", "-m", "eta", "--json").json["missing"]
    row = shown["rows"][0]
    return {n: row[n] for n in ("placed_at", *wanted) if row.get(n) is not None}


def test_state_folder_may_be_named_before_or_after_the_command(shop: Shop) -> None:
    before = shop("--state", shop.state, "models", "list", "--json", state=None)
    after = shop("models", "list", "--json", "--state", shop.state, state=None)
    assert before.json == after.json
    assert [model["name"] for model in before.json].count("eta") == 1


def test_settings_are_shown_with_secrets_masked(shop: Shop) -> None:
    hidden = {
        "FOODEX_SECURITY__KEY": "geheim-1",
        "FOODEX_DATABASE__URL": "postgresql+asyncpg://me:geheim-2@db/foodex",
        "FOODEX_HTTP__PORT": "9123",
    }
    for words in (("config", "show"), ("config", "show", "--json")):
        said = shop(*words, env=hidden)
        assert said.code == 0
        assert "geheim" not in said.out
        assert "me:***@db" in said.out
        assert "9123" in said.out
    assert shop("config", "show", "--json", env=hidden).json["http"]["port"] == 9123


def test_city_writes_the_same_history_for_the_same_seed(shop: Shop) -> None:
    words = ("city", "history", "--days", "1", "--orders-per-day", "60", "--until", "2026-03-01")
    said = shop(*words, "--out", "a.csv", "--json")
    assert said.json == {
        "file": "a.csv",
        "orders": len((shop.folder / "a.csv").read_text().splitlines()) - 1,
        "simulated": True,
    }
    shop(*words, "--out", "b.csv")
    shop(*words, "--out", "c.parquet")
    assert (shop.folder / "a.csv").read_bytes() == (shop.folder / "b.csv").read_bytes()
    assert pl.read_parquet(shop.folder / "c.parquet").height == said.json["orders"]


def test_an_empty_state_says_what_to_do(shop: Shop) -> None:
    state = shop.folder / "empty"
    assert "foodex import" in shop("datasets", state=state).out
    assert "foodex train" in shop("models", "list", state=state).out
    assert shop("datasets", "--json", state=state).json == []
    told = shop("predict", "distance_km=2", "--json", state=state).json
    assert told["source"] == "distance"
    assert told["promise"]["minutes"] > 0
