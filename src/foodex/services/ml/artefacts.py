"""A version's files: in the objects for good, and in a local folder while they are used."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import structlog

from foodex.core.errors import FoodexError, Unavailable
from foodex.ports.storage import Storage
from foodex.services.ml.repository import Artefacts, File

log = structlog.get_logger("foodex.ml")

_PIECE_BYTES = 1 << 20


class ArtefactStore:
    """Keeps versions' files as the objects `models/NAME/VERSION/FILE`; `folder` is for copies."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage = storage
        self._folder = folder

    async def put(self, model: str, version: int, folder: Path, files: Sequence[File]) -> None:
        """Store the files of a folder."""
        for file in files:
            await self._storage.put_object(
                _key(model, version, file.name), _read(folder / file.name)
            )

    async def fetch(self, artefacts: Artefacts) -> Path:
        """A local folder with the version's files, each of them checked.

        Raises:
            Unavailable: the stored files are not those that were registered.
        """
        folder = self._folder / artefacts.model / str(artefacts.version)
        if await asyncio.to_thread(_is_whole, folder, artefacts.files):
            return folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        for file in artefacts.files:
            key = _key(artefacts.model, artefacts.version, file.name)
            with (folder / file.name).open("wb") as target:
                async for piece in self._storage.get_object(key):
                    await asyncio.to_thread(target.write, piece)
        if not await asyncio.to_thread(_is_whole, folder, artefacts.files):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise Unavailable(
                f"The files of version {artefacts.version} of '{artefacts.model}' are not those "
                "that were registered"
            )
        return folder

    async def remove(self, model: str, version: int, files: Sequence[File]) -> None:
        """Remove a version's files; what cannot be removed now is logged and left."""
        for file in files:
            key = _key(model, version, file.name)
            try:
                await self._storage.delete_object(key)
            except FoodexError as error:
                log.warning("an object is left over", key=key, error=error.message)
        await asyncio.to_thread(
            shutil.rmtree, self._folder / model / str(version), ignore_errors=True
        )


def describe(folder: Path) -> tuple[File, ...]:
    """The files of a folder, by name."""
    found = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        found.append(File(name=path.name, size_bytes=path.stat().st_size, sha256=digest))
    return tuple(found)


def _is_whole(folder: Path, files: Sequence[File]) -> bool:
    return folder.is_dir() and describe(folder) == tuple(sorted(files, key=lambda f: f.name))


def _key(model: str, version: int, name: str) -> str:
    return f"models/{model}/{version}/{name}"


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as source:
        while piece := await asyncio.to_thread(source.read, _PIECE_BYTES):
            yield piece
