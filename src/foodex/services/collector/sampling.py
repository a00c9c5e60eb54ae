"""From a file to a suggestion: take a sample, then guess."""

import contextlib
import dataclasses
from pathlib import Path

from foodex.core.errors import InvalidInput
from foodex.domain.loads import Format
from foodex.domain.mappings import FileRule, Suggestion
from foodex.services.collector.opening import Limits, dialect_of, look
from foodex.services.collector.reading import read_batches
from foodex.services.collector.suggesting import SAMPLE_ROWS, looks_headerless, suggest


def suggestion_for(path: Path, rule: FileRule, limits: Limits) -> Suggestion:
    """A first mapping for a file.

    Raises:
        InvalidInput: no file with rows in it.
    """
    looked = look(path, rule, limits)
    delimiter, headerless = None, False
    if looked.format is Format.CSV:
        dialect = dialect_of(looked, rule, limits)
        delimiter, headerless = dialect.delimiter, looks_headerless(dialect.names)
        if headerless:
            names = tuple(f"column_{number}" for number in range(1, len(dialect.names) + 1))
            rule = dataclasses.replace(rule, header=False, columns=names)
    with contextlib.closing(read_batches(looked, rule, limits, size=SAMPLE_ROWS)) as batches:
        first = next(batches, None)
    if first is None or first.rows.is_empty():
        raise InvalidInput(f"{path.name} has no rows to learn a mapping from")
    return suggest(first.rows, file=path.name, delimiter=delimiter, headerless=headerless)
