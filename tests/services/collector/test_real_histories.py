"""Real histories, where there are any: FOODEX_TEST_DATA names their folder."""

import os
from pathlib import Path

import pytest

from foodex.domain.loads import LoadState
from foodex.domain.mapping_toml import read_mapping
from foodex.services.collector.service import CollectorService
from tests.services.collector.conftest import Open, ended, file_source
from tests.support.memory_storage import MemoryStorage

FOLDER = os.environ.get("FOODEX_TEST_DATA", "")
FILES = sorted(Path(FOLDER).glob("*.csv")) if FOLDER else []


@pytest.mark.skipif(not FILES, reason="server not found: real histories (set FOODEX_TEST_DATA)")
@pytest.mark.parametrize("path", FILES or [Path("none")], ids=lambda path: path.stem)
async def test_a_history_is_suggested_loaded_and_accounted_for(
    open_collector: Open, storage: MemoryStorage, path: Path
) -> None:
    async with open_collector(batch_rows=5_000) as collector:
        await accounted_for(collector, storage, path)


async def accounted_for(collector: CollectorService, storage: MemoryStorage, path: Path) -> None:
    suggestion = await collector.suggest_mapping(file_source(path))
    toml = suggestion.toml.replace('time_zone = "?"', 'time_zone = "UTC"')
    assert {rule.name for rule in read_mapping(toml).fields} >= {"delivery_minutes"}
    started = await collector.start_load(file_source(path), mapping=toml, dataset="history")
    load = await ended(collector, started)
    assert load.state is LoadState.DONE
    assert load.rows_read == load.rows_kept + load.rows_rejected
    assert sum(load.rejected_by_rule.values()) == load.rows_rejected
    assert load.rows_kept == len(storage.frame("history")) > 0.9 * load.rows_read
