"""Background jobs: a file of a million orders, and how jobs are taken in, picked up and shared."""

from benchmarks.jobs_files import measure_files
from benchmarks.jobs_queue import measure_queue
from benchmarks.report import Row

TITLE = "Background jobs"


def measure() -> list[Row]:
    """Files by a FoodEx as it starts by itself; then jobs on PostgreSQL and RabbitMQ."""
    return [*measure_files(), *measure_queue()]
