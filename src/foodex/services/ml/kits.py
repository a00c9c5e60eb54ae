"""Packs what is needed to answer elsewhere as a version answers here."""

import asyncio
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from foodex.ports.storage import Storage
from foodex.services.ml.policies import Policies
from foodex.services.ml.scoring import KIT_FILE, RECENT_FILE, Kit
from foodex.services.ml.serving import Serving, recent_batches

_PIECE_BYTES: Final = 1 << 20
_TAR_FILE: Final = "kit.tar"


async def packed(
    serving: Serving,
    files: Path,
    storage: Storage,
    *,
    policies: Policies,
    history_days: int,
    now: datetime,
    work_folder: Path,
) -> AsyncIterator[bytes]:
    """A tar file of a version's files, its recent history and what the kit says of itself."""
    await asyncio.to_thread(work_folder.mkdir, parents=True, exist_ok=True)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=work_folder, prefix="kit-"))
    try:
        kit = Kit(
            model=serving.model,
            version=serving.version,
            now=now,
            policy=policies.standard,
            zones=dict(policies.zones),
        )
        (folder / KIT_FILE).write_bytes(msgspec.json.encode(kit))
        await _keep_recent(serving, storage, history_days, folder / RECENT_FILE)
        await asyncio.to_thread(_pack, folder, files)
        with (folder / _TAR_FILE).open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _keep_recent(serving: Serving, storage: Storage, history_days: int, path: Path) -> None:
    writer: pa.RecordBatchStreamWriter | None = None
    batches = recent_batches(serving.loaded, serving.dataset, storage, history_days)
    try:
        async for batch in batches:
            if writer is None:
                writer = pa.ipc.new_stream(str(path), batch.schema)
            await asyncio.to_thread(writer.write_batch, batch)
    finally:
        if writer is not None:
            writer.close()


def _pack(folder: Path, files: Path) -> None:
    with tarfile.open(folder / _TAR_FILE, "w") as tar:
        for path in (*sorted(files.iterdir()), folder / KIT_FILE, folder / RECENT_FILE):
            if path.is_file():
                tar.add(path, arcname=path.name)
