"""Files as people really send them."""

import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foodex.core.errors import InvalidInput, TooLarge
from foodex.domain.loads import Format
from foodex.domain.mappings import FileRule
from foodex.services.collector.batches import next_of_files
from foodex.services.collector.opening import Limits, look
from foodex.services.collector.reading import RawBatch, read_batches

TABLE = "id,name\n1,Wolf\n2,Bär\n3,\n"
ROWS = [("1", "Wolf"), ("2", "Bär"), ("3", "")]


def read(
    path: Path, rule: FileRule | None = None, limits: Limits | None = None, size: int = 2
) -> list[RawBatch]:
    rule, limits = rule or FileRule(), limits or Limits()
    return list(read_batches(look(path, rule, limits), rule, limits, size=size))


def kept(batches: list[RawBatch]) -> list[tuple[str, ...]]:
    return [row[1:] for batch in batches for row in batch.rows.iter_rows()]


def written(folder: Path, content: bytes | str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("cp1252"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace("\n", "\n\n").encode(),
        TABLE.rstrip("\n").encode(),
        TABLE.replace("Wolf", '"Wolf"').encode(),
        gzip.compress(TABLE.encode(), mtime=0),
        gzip.compress(TABLE[:10].encode(), mtime=0) + gzip.compress(TABLE[10:].encode(), mtime=0),
        b'{"id": "1", "name": "Wolf"}\n\n{"id": 2, "name": "B\xc3\xa4r"}\n{"id":"3","name":""}',
    ],
)
def test_one_table_in_many_coats(tmp_path: Path, content: bytes) -> None:
    # The name says nothing.
    path = written(tmp_path, content, "export.dat")
    assert kept(read(path)) == ROWS
    assert read(path)[-1].progress == pytest.approx(1.0)


def test_quoted_lines_and_lone_quotes(tmp_path: Path) -> None:
    text = 'id,note\n1,"two\nlines, one ""value"""\n2,a 12" pizza\n3,x\n'
    assert kept(read(written(tmp_path, text))) == [
        ("1", 'two\nlines, one "value"'),
        ("2", 'a 12" pizza'),
        ("3", "x"),
    ]


def test_broken_lines_keep_their_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n3\n\n4,5,6\n7,8\n9")
    batches = read(path, size=1)
    told = [row for batch in batches for row in batch.broken.iter_rows()]
    assert [row[0] for row in told] == [2, 3, 5]
    assert told[0][1:] == ("broken_line", "", "has 1 fields, not 2", "3")
    assert "ends in the middle of this line" in told[2][3]
    assert [row for batch in batches for row in batch.rows["row"]] == [1, 4]
    assert batches[-1].last_row == 5


def test_names_are_made_distinct(tmp_path: Path) -> None:
    batches = read(written(tmp_path, "a,a,, a ,row\n1,2,3,4,5\n"))
    assert batches[0].rows.columns == ["row", "a", "a_2", "column_3", "a_3", "row_2"]


def test_a_file_without_header(tmp_path: Path) -> None:
    rule = FileRule(header=False, columns=("x", "y"))
    assert kept(read(written(tmp_path, "1,2\n3,4\n"), rule)) == [("1", "2"), ("3", "4")]


def test_parquet_as_texts(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": [1, 2, None],
            "at": [datetime(2026, 3, 1, 12, 30, tzinfo=UTC)] * 3,
            "local": [datetime(2026, 3, 1, 12, 30)] * 3,  # noqa: DTZ001
            "share": [0.5, None, 1.0],
            "yes": [True, False, None],
            "tags": [["a"], [], None],
        }
    )
    frame.write_parquet(tmp_path / "orders.csv")
    rows = kept(read(tmp_path / "orders.csv"))
    assert rows[0] == (
        "1", "2026-03-01 12:30:00+00:00", "2026-03-01 12:30:00", "0.5", "true",
        '["a"]',
    )  # fmt: skip
    assert rows[2][0] is None


def test_nested_json_and_lines_that_are_none(tmp_path: Path) -> None:
    text = '{"a": {"b": 1.50, "c": [1, 2]}, "d": null}\n[1]\nnot json\n{"d": true'
    (batch,) = read(written(tmp_path, text, "x.ndjson"), FileRule(format=Format.NDJSON), size=9)
    assert batch.rows.to_dicts() == [{"row": 1, "a.b": "1.5", "a.c": "[1,2]", "d": None}]
    assert batch.broken["row"].to_list() == [2, 3, 4]
    assert "ends in midline" in batch.broken["reason"][2]


def half_of(frame: pl.DataFrame) -> bytes:
    body = io.BytesIO()
    frame.write_parquet(body)
    return body.getvalue()[: len(body.getvalue()) // 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a.csv is empty"),
        (b"PK\x03\x04....", "zip archive or an Excel workbook"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\xd0\xcf\x11\xe0....", "old Excel workbook"),
        (b"id,\x00\x01\x02name\n", "neither text nor Parquet"),
        (b"<!DOCTYPE html><p>Sign in", "web page"),
        (b'[{"a": 1}]', "one object a line"),
        (half_of(pl.DataFrame({"a": list(range(100))})), "half written"),
        (b"PAR1" + b"\0" * 100 + b"PAR1", "damaged"),
        (gzip.compress(TABLE.encode() * 999, mtime=0)[:60], "half written"),
        (b"a,b\n" + b"x" * 30_000, "after 1 lines"),
        (b"x" * 30_000, "has a line of more than 20000 bytes"),
        (b'a,b\n1,2\n"' + b"3,4\n" * 40_000, "is a quote never closed"),
        (b"a" + b",a" * 2_500, "2501 columns; the limit is 2000"),
    ],
)
def test_what_cannot_be_read_is_told_plainly(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read(written(tmp_path, content), limits=Limits(line_bytes=20_000))


def test_an_endless_line_far_into_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 100_000 + b"x" * 100_000)
    with pytest.raises(InvalidInput, match="after row"):
        read(path, limits=Limits(line_bytes=20_000), size=1_000)


def test_a_packed_file_that_never_ends(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(TABLE.encode() * 100_000))
    with pytest.raises(TooLarge, match="unpacks to more than"):
        read(path, limits=Limits(file_bytes=1_000_000))


def test_the_format_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="should be parquet but holds csv"):
        read(written(tmp_path, TABLE), FileRule(format=Format.PARQUET))


def walk(files: tuple[Path, ...], size: int, rule: FileRule) -> Iterator[dict[str, object]]:
    cursor = None
    while True:
        batch = next_of_files(files, rule, Limits(), cursor, size)
        assert len(batch.rows) <= size
        yield from (dict(row) for row in batch.rows)
        cursor = batch.next_cursor
        if cursor is None:
            return


@pytest.mark.parametrize("coat", ["plain", "bom", "gz", "utf-16", "ndjson", "parquet"])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_batches_from_cursors_are_the_whole_file(tmp_path: Path, coat: str, size: int) -> None:
    frame = pl.DataFrame({"id": [str(n) for n in range(9)], "note": ["ä", 'a "b"\nc', ""] * 3})
    text = frame.write_csv()
    contents = {
        "plain": text.encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "gz": gzip.compress(text.encode()),
        "utf-16": text.encode("utf-16"),
        "ndjson": frame.write_ndjson().encode(),
    }
    path = tmp_path / "a"
    if coat == "parquet":
        frame.write_parquet(path, row_group_size=4)
    else:
        path.write_bytes(contents[coat])
    assert list(walk((path,), size, FileRule())) == frame.to_dicts()


def test_batches_go_from_file_to_file(tmp_path: Path) -> None:
    files = tuple(written(tmp_path, f"id\n{n}\n{n + 1}\n", f"{n}.csv") for n in (1, 3, 5))
    for size in (1, 2, 3, 50):
        assert [row["id"] for row in walk(files, size, FileRule())] == list("123456")


def test_a_plain_file_is_not_read_from_its_start_again(tmp_path: Path) -> None:
    path = written(tmp_path, "id\n" + "".join(f"{n:09}\n" for n in range(1_000)))
    first = next_of_files((path,), FileRule(), Limits(), None, 500)
    # What was read already may be gone; the cursor stands behind it.
    path.write_bytes(b"id\n" + b"?" * 4_999 + b"\n" + path.read_bytes()[5_003:])
    second = next_of_files((path,), FileRule(), Limits(), first.next_cursor, 1)
    assert second.rows == ({"id": "000000500"},)


@pytest.mark.parametrize("cursor", ["nonsense!", "e30x", "eyJvZmZzZXQiOi0xfQ", "W10"])
def test_a_cursor_of_nobody_is_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        next_of_files((written(tmp_path, TABLE),), FileRule(), Limits(), cursor, 1)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=6)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cells.filter(lambda text: bool(text.strip())), cells), min_size=1),
    size=st.integers(1, 5),
)
def test_what_was_written_is_read(tmp_path: Path, rows: list[tuple[str, str]], size: int) -> None:
    frame = pl.DataFrame(rows, schema=["first", "second"], orient="row")
    path = tmp_path / "a.csv"
    path.write_text(frame.write_csv(quote_style="always"), newline="")
    rule = FileRule(delimiter=",")
    assert kept(read(path, rule, size=size)) == rows
    assert [tuple(row.values()) for row in walk((path,), size, rule)] == rows
