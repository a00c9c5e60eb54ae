"""Work on many rows, spread over the cores.

NumPy lets go of the interpreter while it works on large arrays, so threads are enough. What each
piece answers does not depend on which pieces run beside it.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

FEWEST_ROWS: Final = 50_000
"""Rows from which threads are worth starting."""
BLOCK_ROWS: Final = 32768
"""Rows of a block: few enough for the caches, and so many that threads, which take turns to call
NumPy, seldom wait for each other."""


def each(function: Callable[[T], R], pieces: Iterable[T], rows: int) -> list[R]:
    """The function's answer to each piece, in their order; `rows` is how many there are in all.

    The first exception of a piece comes out of here.
    """
    cores = os.cpu_count() or 1
    if rows < FEWEST_ROWS or cores == 1:
        return [function(piece) for piece in pieces]
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(function, pieces))


def in_blocks(function: Callable[[slice], None], rows: int) -> None:
    """Have the function do all rows, a block that fits the caches at a time."""
    if rows <= BLOCK_ROWS:
        function(slice(0, rows))
        return
    starts = range(0, rows, BLOCK_ROWS)
    each(function, [slice(at, min(at + BLOCK_ROWS, rows)) for at in starts], rows)
