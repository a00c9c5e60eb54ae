"""The answer to a file: its rows as they came, and nothing that a spreadsheet would run."""

import json
from pathlib import Path

import polars as pl
import pytest

from foodex.domain.loads import Format
from foodex.ports.orders import ROW
from foodex.services.gateway.kinds.answer_files import SCHEMA, harmless, named, open_answer


def told(rows: int) -> pl.DataFrame:
    values: dict[str, pl.Series] = {}
    for name, dtype in SCHEMA.items():
        filled = "why" if dtype == pl.String else 20
        values[name] = pl.Series([filled, *[None] * (rows - 1)], dtype=dtype)
    return pl.DataFrame(values)


CAME = pl.DataFrame({ROW: [1, 2], "a": ["=1+1", "-5.5"], "b c": ["x", None]})


def test_formulas_become_texts_and_numbers_stay_numbers() -> None:
    risky = ["=1", "+cmd", "-x", "@sum", "\tx", "\rx", "  =1", "-1+cmd|' /C calc'!A0"]
    harmless_ones = ["-5", "+3.5", "-1e-5", "-1,5", "", "a=b", "5-3", None, "-12 %"]
    found = harmless(pl.DataFrame({"x": risky + harmless_ones}))["x"].to_list()
    assert all(one.lstrip(" ").startswith("'") for one in found[: len(risky)])
    assert found[len(risky) :] == harmless_ones


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "answer.csv"
    writer = open_answer(path, Format.CSV, None)
    for _ in range(2):
        writer.write(CAME, told(2), None)
    writer.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("a,b c,forecast_q05,forecast_q10,")
    assert lines[1].startswith("'=1+1,x,20.0,")
    assert lines[2].startswith("-5.5,,,,")


def test_a_formula_in_a_header(tmp_path: Path) -> None:
    path = tmp_path / "answer.csv"
    writer = open_answer(path, Format.CSV, None)
    writer.write(CAME.rename({"a": "=cmd()"}), told(2), None)
    writer.close()
    assert path.read_text().startswith("'=cmd(),b c,")


def test_ndjson_goes_on_from_the_line_that_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "answer.ndjson"
    writer = open_answer(path, Format.NDJSON, None)
    came = pl.DataFrame({ROW: [1, 2, 3], "a": ["1", None, None]})
    writer.write(came, told(3), {1: '{"a": 1.50, "b": {"c": []} }', 3: "{}"})
    writer.close()
    first, second, third = map(json.loads, path.read_text().splitlines())
    assert first["a"] == 1.5
    assert first["b"] == {"c": []}
    assert first["forecast_median"] == 20
    assert set(second) == {f"forecast_{name}" for name in SCHEMA} == set(third)


def test_parquet_of_pieces_with_different_columns(tmp_path: Path) -> None:
    path = tmp_path / "answer.parquet"
    writer = open_answer(path, Format.PARQUET, ["a", "z", "b c"])
    writer.write(CAME, told(2), None)
    writer.write(CAME.select(ROW).with_columns(z=pl.lit("here")), told(2), None)
    writer.close()
    found = pl.read_parquet(path)
    assert found.columns[:3] == ["a", "z", "b c"]
    assert found["z"].to_list() == [None, None, "here", "here"]
    assert found["forecast_median"].dtype == pl.Float64


@pytest.mark.parametrize("taken", ["forecast_q05", "forecast_x"])
def test_names_that_are_taken(taken: str) -> None:
    assert "foodex_forecast_q05" in named(told(1), [taken, "a"]).columns
