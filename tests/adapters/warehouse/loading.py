"""A process that loads rows into a warehouse and says each step, to be killed at any of them."""

import asyncio
import sys

import pyarrow as pa

from foodex.adapters.warehouse.opening import open_warehouse
from foodex.domain.datasets import Column
from foodex.domain.deliveries import Kind

TABLE = "processed_killed"
BATCH = 20_000
BATCHES = 2


async def load(path: str, load_id: int) -> None:
    """Stage and commit one load, going on where an earlier process was killed."""
    warehouse = open_warehouse(f"chdb://{path}")
    await warehouse.create_table(TABLE, [Column(name="order_id", kind=Kind.TEXT)])
    first = load_id * 1_000_000
    done = await warehouse.staged_until(TABLE, load_id)
    if done is not None:
        # A torn batch is cut off whole, as an importer does that counts in batches.
        done = first + (done + 1 - first) // BATCH * BATCH - 1
        await warehouse.unstage_after(TABLE, load_id, done)
    for start in range(first if done is None else done + 1, first + BATCH * BATCHES, BATCH):
        say("stage")
        numbers = pa.array(range(start, start + BATCH))
        await warehouse.stage(
            TABLE, load_id, pa.table({"row_id": numbers, "order_id": numbers.cast(pa.string())})
        )
    say("commit")
    await warehouse.commit(TABLE, load_id)
    say("committed")
    await warehouse.commit(TABLE, load_id)
    say("done")
    await warehouse.close()


def say(step: str) -> None:
    sys.stdout.write(step + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], int(sys.argv[2])))
