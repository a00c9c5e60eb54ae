"""The first rows of a file: a mapping guessed from them, or tried on them."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from foodex.core.errors import InvalidInput
from foodex.domain.loads import Format, Rejection
from foodex.domain.mappings import FileRule, RecordMapping, Suggestion, Trial
from foodex.services.collector.applying import ROW, apply
from foodex.services.collector.columns import check_columns
from foodex.services.collector.opening import Limits, dialect_of, look
from foodex.services.collector.reading import LINE, read_batches
from foodex.services.collector.suggesting import SAMPLE_ROWS, looks_headerless, suggest

TRIED_ROWS: Final = 1_000
_SHOWN: Final = 20


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
    found = suggest(first.rows, file=path.name, delimiter=delimiter, headerless=headerless)
    return dataclasses.replace(found, sample=tuple(first.rows.drop(ROW).head(_SHOWN).to_dicts()))


def trial_of(path: Path, mapping: RecordMapping, limits: Limits) -> Trial:
    """What a mapping makes of a file's first rows.

    Raises:
        InvalidInput: no file with rows in it, or it lacks columns that the mapping reads.
    """
    looked = look(path, mapping.file, limits)
    with contextlib.closing(read_batches(looked, mapping.file, limits, size=TRIED_ROWS)) as batches:
        first = next(batches, None)
    if first is None or first.rows.is_empty():
        raise InvalidInput(f"{path.name} has no rows to try a mapping on")
    check_columns(mapping, first.rows.columns[1:], path.name)
    found = apply(mapping, first.rows)
    rejected = pl.concat([found.rejected, first.broken.drop(LINE)]).sort(ROW)
    rules = rejected["rule"].value_counts(sort=True)
    shown = found.kept.head(_SHOWN).with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    came = {row.pop(ROW): row for row in first.rows.to_dicts()} if len(rejected) else {}
    return Trial(
        rows_read=len(first.rows) + len(first.broken),
        rows_kept=len(found.kept),
        rejected_by_rule=dict(rules.iter_rows()),
        repaired=found.repaired,
        rows=tuple(shown.drop(ROW).to_dicts()),
        rejections=tuple(
            Rejection(**one, values=came.get(one[ROW], {}))
            for one in rejected.head(_SHOWN).to_dicts()
        ),
    )
