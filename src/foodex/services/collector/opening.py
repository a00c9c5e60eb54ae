"""Opening files: what they hold is told by their first bytes, never by their names."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from foodex.core.errors import InvalidInput, TooLarge
from foodex.domain.loads import Format
from foodex.domain.mappings import FileRule

CHUNK: Final = 1 << 20
_SAMPLE: Final = 1 << 18
DELIMITERS: Final = (",", ";", "\t", "|")

_STRANGERS: Final = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook; unpack it, or save it as CSV"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "a bzip2 archive; pack it as gz or zst instead"),
    (b"\xfd7zXZ", "an xz archive; pack it as gz or zst instead"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"ORC", "an ORC file; save it as Parquet"),
    (b"\x89PNG", "a picture"),
)
_PACKED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
# What cp1252 says of the bytes that UTF-8 could not read and `surrogateescape` kept.
_STRAYS: Final = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one file may cost; all in bytes but `columns`."""

    file_bytes: int = 20 << 30
    line_bytes: int = 8 << 20
    columns: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a file turned out to be. `packed` is `gzip`, `zstd` or None."""

    path: Path
    format: Format
    encoding: str
    packed: str | None
    size_bytes: int
    start: int = 0
    """Where the text begins, behind a byte-order mark."""
    old_mac: bool = False
    """Whether lines end in a carriage return alone."""

    @property
    def seekable(self) -> bool:
        """Whether a place in the text is the same place in the file."""
        return self.packed is None and self.encoding == "utf-8"


def look(path: Path, rule: FileRule, limits: Limits) -> Looked:
    """Find out what a file is.

    Raises:
        InvalidInput: not there, empty, or nothing that rows can be read from.
        TooLarge: more than the limit.
    """
    packed = None
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder, not a file")
        with path.open("rb") as file:
            head = file.read(_SAMPLE)
            packed = next((name for magic, name in _PACKED if head.startswith(magic)), None)
            file.seek(max(size - 4, 0))
            tail = file.read(4)
            if packed:
                file.seek(0)
                with _unpacked(file, packed) as unpacked:
                    head = unpacked.read(_SAMPLE)
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {path}") from None
    except OSError as error:
        what = "was only half written or is damaged" if packed else "cannot be read"
        raise InvalidInput(f"{path.name} {what}: {error}") from None
    if size > limits.file_bytes:
        raise TooLarge(f"{path.name} has {size} bytes; the limit is {limits.file_bytes}")
    found, encoding = _told(path, head, tail, rule)
    if found is Format.PARQUET and packed:
        raise InvalidInput(f"{path.name} is a packed Parquet file; unpack it first")
    if rule.format not in (Format.AUTO, found):
        # Whether text is CSV or NDJSON is an educated guess; the mapping knows better.
        if Format.PARQUET in (found, rule.format):
            raise InvalidInput(f"{path.name} should be {rule.format} but holds {found}")
        found = rule.format
    return Looked(
        path=path,
        format=found,
        encoding=encoding,
        packed=packed,
        size_bytes=size,
        start=len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0,
        old_mac=b"\r" in head and b"\n" not in head,
    )


def _told(path: Path, head: bytes, tail: bytes, rule: FileRule) -> tuple[Format, str]:
    if not head:
        raise InvalidInput(f"{path.name} is empty")
    if head.startswith(b"PAR1"):
        if tail != b"PAR1":
            raise InvalidInput(
                f"{path.name} is a Parquet file that was only half written: its end is missing"
            )
        return Format.PARQUET, "binary"
    for magic, what in _STRANGERS:
        if head.startswith(magic):
            raise InvalidInput(f"{path.name} is {what}")
    encoding = _encoding(head) if rule.encoding is None else codecs.lookup(rule.encoding).name
    if encoding == "utf-8" and b"\0" in head:
        raise InvalidInput(f"{path.name} is neither text nor Parquet: it holds binary data")
    text = head.decode(encoding, "replace").lstrip("\ufeff").lstrip()
    if text.startswith("{"):
        return Format.NDJSON, encoding
    if text.startswith("[") and text[1:].lstrip()[:1] in ("{", "["):
        raise InvalidInput(f"{path.name} is one JSON array; write one object a line (NDJSON)")
    if text[:15].lower().startswith(("<!doctype", "<html", "<?xml")):
        raise InvalidInput(f"{path.name} is a web page or XML document, not a table")
    return Format.CSV, encoding


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0:4096:2].count(0), head[1:4096:2].count(0)
    half = min(len(head), 4096) // 2
    if half >= 4 and max(even, odd) > 0.4 * half and min(even, odd) < 0.05 * half:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


def _unpacked(file: BinaryIO, packed: str) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), packed)


class _Utf8(io.RawIOBase):
    """The text of a file as UTF-8, whatever it is written in; counts the file's bytes read."""

    def __init__(self, looked: Looked, limits: Limits, offset: int) -> None:
        self._file = looked.path.open("rb")
        self._name = looked.path.name
        self._limits = limits
        self._source: Any = self._file
        if looked.packed:
            self._source = _unpacked(self._file, looked.packed)
        utf8 = looked.encoding == "utf-8"
        self._decoder = None if utf8 else codecs.getincrementaldecoder(looked.encoding)("replace")
        self._tail = b""
        self._ready = memoryview(b"")
        self._produced = 0
        self._old_mac = looked.old_mac
        if looked.seekable:
            self._file.seek(max(offset, looked.start))
            self._produced = offset

    def readable(self) -> bool:
        return True

    def consumed(self) -> int:
        """How many bytes of the file itself have been read."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            made = self._more()
            if made is None:
                return 0
            self._produced += len(made)
            if self._produced > self._limits.file_bytes:
                raise TooLarge(f"{self._name} unpacks to more than {self._limits.file_bytes} bytes")
            self._ready = memoryview(made)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            if self._source is not self._file:
                self._source.close()
            self._file.close()
        super().close()

    def _more(self) -> bytes | None:
        try:
            raw = self._source.read(CHUNK)
        except OSError as error:
            raise InvalidInput(
                f"{self._name} was only half written or is damaged: {error}"
            ) from None
        if not raw and not self._tail:
            return None
        if self._decoder is not None:
            made = self._decoder.decode(raw).encode()
            if not raw:
                return made or None
        else:
            made = self._valid(raw)
        if self._produced == 0 and made.startswith(codecs.BOM_UTF8):
            self._produced += len(codecs.BOM_UTF8)
            made = made[len(codecs.BOM_UTF8) :]
        return made.replace(b"\r", b"\n") if self._old_mac else made

    def _valid(self, raw: bytes) -> bytes:
        data = self._tail + raw
        self._tail = b""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if raw and error.reason == "unexpected end of data" and error.end == len(data):
                self._tail = data[error.start :]
                return data[: error.start]
            return data.decode("utf-8", "surrogateescape").translate(_STRAYS).encode()
        return data


class TextFile:
    """A file of lines, opened as UTF-8 without a byte-order mark; `close` it."""

    def __init__(self, looked: Looked, limits: Limits, *, offset: int = 0) -> None:
        self.looked = looked
        self.limits = limits
        self._raw = _Utf8(looked, limits, offset)
        self.stream = io.BufferedReader(self._raw, CHUNK)
        self.offset = max(offset, looked.start) if looked.seekable else 0
        self.lines_read = 0
        if not looked.seekable:
            self._skip(offset)

    def _skip(self, offset: int) -> None:
        while self.offset < offset:
            piece = self.stream.read(min(CHUNK, offset - self.offset))
            if not piece:
                return
            self.offset += len(piece)

    def lines(self) -> Iterator[str]:
        """Lines with their ends, decoded; `offset` is always behind the last one given."""
        limit = self.limits.line_bytes
        while line := self.stream.readline(limit + 1):
            self.lines_read += 1
            if len(line) > limit:
                raise InvalidInput(
                    f"{self.looked.path.name} has a line of more than {limit} bytes "
                    f"(after {self.lines_read - 1} lines): is it a table at all?"
                )
            self.offset += len(line)
            yield line.decode("utf-8", "replace")

    def consumed(self) -> int:
        """How many bytes of the file itself have been read."""
        return self._raw.consumed()

    def close(self) -> None:
        """Close the file."""
        self.stream.close()

    def __enter__(self) -> "TextFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a CSV file is written, and the names of its columns."""

    delimiter: str
    quote: str
    names: tuple[str, ...]

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Records of these lines."""
        return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote)


def dialect_of(looked: Looked, rule: FileRule, limits: Limits) -> Dialect:
    """A CSV file's dialect, from its mapping where that says, from its first lines where not."""
    csv.field_size_limit(max(csv.field_size_limit(), limits.line_bytes))
    with TextFile(looked, limits) as text:
        lines = []
        for line in text.lines():
            lines.append(line)
            if len(lines) >= 200 or text.offset > _SAMPLE:
                break
    delimiter = rule.delimiter or _delimiter(lines, rule.quote)
    reader = csv.reader(iter(lines), delimiter=delimiter, quotechar=rule.quote)
    first = next((record for record in reader if record), [])
    if len(first) > limits.columns:
        raise InvalidInput(
            f"{looked.path.name} has {len(first)} columns; the limit is {limits.columns}"
        )
    if not rule.header:
        return Dialect(delimiter=delimiter, quote=rule.quote, names=_distinct(list(rule.columns)))
    return Dialect(delimiter=delimiter, quote=rule.quote, names=_distinct(first))


def _delimiter(lines: list[str], quote: str) -> str:
    """The delimiter under which most lines have as many fields as the first, and the most."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths = Counter(
            len(record)
            for record in csv.reader(iter(lines[:100]), delimiter=delimiter, quotechar=quote)
            if record
        )
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        score = (count / widths.total() if width > 1 else 0.0, width)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _distinct(names: list[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, name in enumerate(names, start=1):
        base = " ".join(name.split()) or f"column_{number}"
        name, again = base, 2
        while name in found or name == "row":
            name, again = f"{base}_{again}", again + 1
        found[name] = None
    return tuple(found)
