"""What is counted of jobs."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

from foodex.core.periodic import periodic
from foodex.core.sql import Database
from foodex.ports.queue import Queue
from foodex.services.jobs import job_rows

_LOOK_SECONDS: Final = 5.0
_BUCKETS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)


class JobsMetrics:
    """How many jobs there are, how deep the queue is, and how long attempts take."""

    def __init__(self, registry: CollectorRegistry, database: Database, queue: Queue) -> None:
        self._database, self._queue = database, queue
        self._jobs = Gauge(
            "foodex_jobs", "Jobs that wait, run or lie dead", ["state"], registry=registry
        )
        self._depth = Gauge("foodex_jobs_queue_depth", "Messages in the queue", registry=registry)
        self._seconds = Histogram(
            "foodex_jobs_attempt_seconds",
            "Seconds that attempts at jobs took, by kind and whether they ended the job well",
            ["kind", "done"],
            registry=registry,
            buckets=_BUCKETS,
        )

    def attempt(self, kind: str, seconds: float, *, done: bool) -> None:
        """An attempt at a job has ended."""
        self._seconds.labels(kind, "yes" if done else "no").observe(seconds)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Within the block, look now and then how much there is to do."""
        return periodic(self.look, seconds=_LOOK_SECONDS, name="count of jobs", at_once=False)

    async def look(self) -> None:
        """Take the counts as they are."""
        async with self._database.connect() as connection:
            counts = await job_rows.counts(connection)
        for state, count in counts.items():
            self._jobs.labels(state).set(count)
        self._depth.set(await self._queue.depth())
