"""What is our own about connections to PostgreSQL."""

import asyncio

import asyncpg

GOODBYE_SECONDS = 0.5
"""How long a server is given to hear that a connection ends, or that a statement is given up."""


class HastyConnection(asyncpg.Connection):  # type: ignore[misc]
    """One whose end does not wait for a server that is silent.

    A statement that is given up is told to the server over another connection, and closing waits
    for that; where the network swallows everything, it would wait for ever.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await super().close(timeout=timeout)
        except TimeoutError:
            self.terminate()
