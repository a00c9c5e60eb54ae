"""Files of orders that are not delivered yet: every row is an order or refused, and is counted."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from foodex.core.errors import FoodexError, InvalidInput, TooLarge
from foodex.domain.deliveries import Kind
from foodex.domain.loads import Format
from foodex.ports.orders import ROW, Piece, ReadRule
from foodex.services.collector.orders import examine_orders, read_orders

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULE = ReadRule(latest=NOW + timedelta(days=31), rows_at_once=7)
MAPPING = """
time_zone = "Europe/Helsinki"
[fields]
placed_at = { column = "Ordered" }
delivered_at = { column = "Handed Over" }
distance_km = { column = "Way (m)", unit = "m" }
items = { column = "Pieces" }
[[skip_where]]
column = "State"
is_not = ["delivered"]
"""


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[str | bytes, str], Path]:
    def kept(content: str | bytes, name: str = "orders.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return kept


def read(path: Path, rule: ReadRule = RULE) -> list[Piece]:
    pieces = list(read_orders(path, rule))
    rows = sum(len(piece.orders) + len(piece.refused) for piece in pieces)
    assert examine_orders(path, rule).rows == rows
    return pieces


def orders(pieces: list[Piece]) -> pl.DataFrame:
    return pl.concat([piece.orders for piece in pieces], how="diagonal")


def refused(pieces: list[Piece]) -> dict[int, tuple[str, str, str]]:
    return {
        one[ROW]: (one["field"], one["rule"], one["reason"])
        for piece in pieces
        for one in piece.refused.to_dicts()
    }


Keep = Callable[..., Path]


def test_columns_called_as_the_fields_of_an_order(keep: Keep) -> None:
    text = "order_id,distance_km,items,placed_at,delivered_at,note\n" + "".join(
        f"o{n},{n / 10},{n % 5},2026-05-30T18:{n % 60:02}:00+03:00,gone,free text\n"
        for n in range(100)
    )
    pieces = read(keep(text))
    found = orders(pieces)
    assert found.columns == [ROW, "order_id", "placed_at", "distance_km", "items"]
    assert found[ROW].to_list() == list(range(1, 101))
    assert found["placed_at"][3] == datetime(2026, 5, 30, 15, 3, tzinfo=UTC)
    assert [len(piece.came) for piece in pieces[:-1]] == [7] * 14
    assert pieces[0].came.columns == [ROW, *text.split("\n", 1)[0].split(",")]
    assert not refused(pieces)


def test_bad_rows_are_told_by_number_and_field_and_the_others_are_orders(keep: Keep) -> None:
    text = (
        "distance_km,items,placed_at\n"
        "2.5,3,2026-05-30T18:00:00Z\n"
        "far,3,\n"
        "1,2\n"
        "1,2,1999-12-31T00:00:00Z\n"
        "1,2,2026-07-30T00:00:00Z\n"
        "1,2,2026-05-30 18:00\n"
        "600,-1,\n"
        "1,,\n"
    )
    pieces = read(keep(text))
    assert orders(pieces)[ROW].to_list() == [1, 8]
    found = refused(pieces)
    assert {row: told[:2] for row, told in found.items()} == {
        2: ("distance_km", "bad_number"),
        3: ("", "broken_line"),
        4: ("placed_at", "out_of_range"),
        5: ("placed_at", "out_of_range"),
        6: ("placed_at", "bad_time"),
        7: ("distance_km", "out_of_range"),
    }
    assert "items" in found[7][2]
    values = {one[ROW]: one["values"] for piece in pieces for one in piece.refused.to_dicts()}
    assert '"far"' in values[2]
    assert "1,2" in values[3]


def test_a_mapping_made_for_deliveries_reads_orders_too(keep: Keep) -> None:
    text = "Ordered,Way (m),Pieces,State\n2026-05-30 18:00:00,2500,3,new\n,1200,1,new\n"
    found = orders(read(keep(text), ReadRule(mapping=MAPPING, latest=RULE.latest)))
    assert found["distance_km"].to_list() == [2.5, 1.2]
    assert found["placed_at"].to_list() == [datetime(2026, 5, 30, 15, tzinfo=UTC), None]


def test_a_mapping_may_lack_the_time_but_no_other_column(keep: Keep) -> None:
    rule = ReadRule(mapping=MAPPING, latest=RULE.latest)
    found = orders(read(keep("Way (m),Pieces\n2500,3\n"), rule))
    assert found.columns == [ROW, "distance_km", "items"]
    with pytest.raises(InvalidInput, match="does not fit") as told:
        read(keep("Way (m),Piecs\n2500,3\n"), rule)
    assert "did you mean 'Piecs'" in str(told.value.problems[0])


def test_columns_that_the_model_reads_beyond_the_record(keep: Keep) -> None:
    rule = ReadRule(extras={"spice": Kind.NUMBER, "mood": Kind.CATEGORY}, latest=RULE.latest)
    found = orders(read(keep("spice,mood\n3,good\nhot,bad\n"), rule))
    assert found.to_dicts() == [{ROW: 1, "spice": 3.0, "mood": "good"}]


def test_json_lines_stay_as_they_were_written(keep: Keep) -> None:
    text = '{"distance_km": 2.50, "more": {"a": [1]}}\nnonsense\n\n{"items": 2, "row": "x"}\n{}\n'
    pieces = read(keep(text, "orders.ndjson"))
    assert orders(pieces)[ROW].to_list() == [1, 3, 4]
    assert pieces[0].lines == (
        '{"distance_km": 2.50, "more": {"a": [1]}}',
        '{"items": 2, "row": "x"}',
        "{}",
    )
    assert refused(pieces)[2][1] == "broken_line"


def test_a_file_that_begins_with_broken_lines(keep: Keep) -> None:
    text = "{broken\n" * 9 + '{"items": 1}\n'
    pieces = read(keep(text, "orders.ndjson"))
    assert orders(pieces)[ROW].to_list() == [10]
    assert len(refused(pieces)) == 9


def test_parquet_keeps_its_types(keep: Keep) -> None:
    frame = pl.DataFrame({"items": [1, 2, None], "placed_at": [NOW, None, NOW], "row": [7, 8, 9]})
    body = io.BytesIO()
    frame.write_parquet(body)
    pieces = read(keep(body.getvalue(), "orders.parquet"))
    assert pieces[0].came.schema["items"] == pl.Int64
    assert pieces[0].came["row_2"].to_list() == [7, 8, 9]
    assert orders(pieces)["items"].to_list() == [1.0, 2.0, None]


def test_packed_files(keep: Keep) -> None:
    text = "items\n" + "2\n" * 50
    pieces = read(keep(gzip.compress(text.encode()), "orders.csv.gz"))
    assert len(orders(pieces)) == 50


def test_mixed_encodings_are_read(keep: Keep) -> None:
    body = "city,items\nHämeenlinna,1\n".encode() + "Hämeenlinna,2\n".encode("cp1252")
    assert orders(read(keep(body)))["city"].to_list() == ["Hämeenlinna"] * 2


def _a_zip() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as packed:
        packed.writestr("orders.csv", "items\n1\n")
    return body.getvalue()


WRONG: dict[str, tuple[bytes, str, dict[str, Any]]] = {
    "a zip that says it is CSV": (_a_zip(), "zip archive", {}),
    "a million columns": (b",".join(b"c%d" % n for n in range(10**6)) + b"\n1\n", "more than", {}),
    "too many columns": (b",".join(b"c%d" % n for n in range(3000)) + b"\n", "3000 columns", {}),
    "no column of an order": (b"when,what\n1,2\n", "not known", {}),
    "no header": (b"1.5,2,3\n2.5,2,3\n", "not known", {}),
    "only a header": (b"items,distance_km\n", "no rows", {}),
    "nothing": (b"", "is empty", {}),
    "binary data": (random.Random(3).randbytes(5000), "binary|unpack|columns|row", {}),
    "half a gzip": (gzip.compress(b"items\n" + b"12\n" * 9999)[:60], "half written|damaged", {}),
    "half a Parquet": (b"PAR1" + b"\0" * 50, "half written", {}),
    "one JSON array": (b'[{"items": 1}]', "NDJSON", {}),
    "a quote never closed": (b'items,city\n1,"' + b"x" * (2 << 20), "quote|more than", {}),
    "a mapping with a mistake": (b"items\n1\n", "mistake", {"mapping": "[fields]\nitem = 1"}),
    "no TOML": (b"items\n1\n", "TOML", {"mapping": "fields = ["}),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_wrong_files_say_what_is_wrong(keep: Keep, what: str) -> None:
    body, why, rule = WRONG[what]
    path = keep(body, "sent.csv")
    with pytest.raises(InvalidInput, match=f"(?i){why}"):
        examine_orders(path, ReadRule(latest=RULE.latest, **rule))


def test_too_large_unpacked(keep: Keep) -> None:
    path = keep(gzip.compress(b"items\n" + b"1\n" * 100_000), "bomb.csv.gz")
    rule = ReadRule(latest=RULE.latest, file_bytes=50_000)
    with pytest.raises(TooLarge, match="unpacks to more"):
        examine_orders(path, rule)
    with pytest.raises(FoodexError):
        list(read_orders(path, rule))


def test_formats_are_told(keep: Keep) -> None:
    found = examine_orders(keep('{"items": 1}\n{"city": "x"}\n'), RULE)
    assert (found.format, found.rows, found.columns) == (Format.NDJSON, 2, ("items", "city"))
