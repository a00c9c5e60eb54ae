"""What the warehouse needs of a ClickHouse engine, in this process or on a server."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Final, Protocol

import pyarrow as pa

from foodex.core.errors import FoodexError, InternalError, InvalidInput, NotFound, Unavailable

Settings = Mapping[str, str | int | float]
NO_SETTINGS: Final[Settings] = MappingProxyType({})


class Engine(Protocol):
    """Runs SQL. All calls block; several threads may call at once."""

    database: str

    def run(self, sql: str, settings: Settings = NO_SETTINGS) -> None:
        """Run a statement that answers nothing."""
        ...

    def read(
        self, sql: str, settings: Settings = NO_SETTINGS
    ) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """Answer a question in batches; leaving the block early stops it."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: pa.Table) -> None:
        """Add rows whose types are right, as one part: all of them or none."""
        ...

    def rest(self) -> None:
        """Hand unused memory back."""
        ...

    def sleep(self) -> None:
        """Hand back also what the next question will have to fetch again, since none comes."""
        ...

    def close(self) -> None:
        """Let go of everything. Safe to repeat."""
        ...


_NOT_FOUND: Final = {60, 81}
_PASSING: Final = {201, 202, 203, 209, 210, 236, 243, 252, 319, 394, 735, 999}
_THE_ASKERS: Final = {
    *(6, 8, 10, 15, 16, 20, 27, 32, 34, 35, 36, 38, 39, 41, 42, 43, 44, 46, 47, 49, 50, 51, 52),
    *(53, 56, 62, 63, 69, 70, 72, 80, 117, 130, 153, 158, 164, 179, 181, 182, 184, 190, 191, 207),
    *(215, 306, 321, 352, 386, 396, 403, 407, 427, 457, 497, 524, 549, 636, 687),
}
_CODE: Final = re.compile(r"Code: (\d+)\. ?(?:DB::Exception: )?")
_TAIL: Final = re.compile(r"\s*(\(version [^)]*\)|\([A-Z_]{3,}\)|Stack trace:.*)", re.DOTALL)


def translated(message: str) -> FoodexError:
    """The error of the family for a ClickHouse exception's text."""
    found = _CODE.search(message)
    code = int(found[1]) if found else 0
    said = _TAIL.sub("", _CODE.sub("", message[found.start() :] if found else message))
    said = said.strip().removeprefix("default: ").rstrip(".")
    said = said if len(said) <= 500 else said[:500] + "…"
    if code in _NOT_FOUND:
        return NotFound(f"There is no such table: {said}")
    if code in _PASSING:
        return Unavailable(f"The warehouse cannot answer now: {said}")
    if code in (193, 194, 516):
        return Unavailable("The warehouse does not take this user and password")
    if code == 159:
        return InvalidInput("The question took longer than it may; ask for less")
    if code == 241:
        if "Query memory limit" in message or "query" in message.partition("maximum")[0].lower():
            return InvalidInput("The question needs more memory than it may take; ask for less")
        return Unavailable("The warehouse is out of memory for now")
    if code in _THE_ASKERS:
        return InvalidInput(f"The question cannot be answered: {said}")
    return InternalError(f"The warehouse failed: {said}")
