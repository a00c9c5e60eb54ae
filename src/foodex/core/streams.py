"""Bodies of answers that are made piece by piece."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def begun(pieces: AsyncIterator[T]) -> AsyncIterator[T]:
    """The pieces, of which the first has been made.

    What goes wrong before the first piece can still be told with a status of its own.
    """
    first = [piece async for piece in _first(pieces)]

    async def all_of_it() -> AsyncIterator[T]:
        async with aclosing(pieces) as rest:  # type: ignore[type-var]
            for piece in first:
                yield piece
            async for piece in rest:
                yield piece

    return all_of_it()


async def _first(pieces: AsyncIterator[T]) -> AsyncIterator[T]:
    try:
        yield await anext(pieces)
    except StopAsyncIteration:
        return
