"""CSV that a spreadsheet opens without running anything."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_line(cells: Iterable[object]) -> bytes:
    """One line in UTF-8: times in UTC, nothing for None, texts that look like formulas escaped."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return sink.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value
