"""Bringing a source's rows onto this machine, so that reading them can begin anywhere again."""

import asyncio
import hashlib
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from foodex.core.errors import InvalidInput, NotFound
from foodex.core.settings import CollectorSettings
from foodex.domain.loads import Source, SourceKind
from foodex.ports.storage import Storage
from foodex.services.collector.opening import Limits
from foodex.services.collector.paging import PagedSource, paging_of
from foodex.services.collector.web import Web

UPLOADS: Final = "collector/uploads/"
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source's files on this machine, in order; `named` says whether rows tell their file."""

    files: tuple[Path, ...]
    named: bool = False


def limits_of(settings: CollectorSettings) -> Limits:
    """The limits on one file."""
    return Limits(
        file_bytes=settings.max_file_bytes,
        line_bytes=settings.max_line_bytes,
        columns=settings.max_columns,
    )


def files_in(folder: Path) -> tuple[Path, ...]:
    """The files of a folder by name; hidden ones and folders in it are left out.

    Raises:
        InvalidInput: no folder, or nothing in it.
    """
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}")
    try:
        found = [item for item in folder.iterdir() if item.is_file() and item.name[0] != "."]
    except OSError as error:
        raise InvalidInput(f"The folder {folder} cannot be read: {error}") from None
    if not found:
        raise InvalidInput(f"The folder {folder} has no files")
    return tuple(sorted(found))


class Fetcher:
    """Makes local files of any source."""

    def __init__(self, storage: Storage, web: Web, settings: CollectorSettings) -> None:
        self._storage = storage
        self._web = web
        self._settings = settings

    @asynccontextmanager
    async def fetched(self, source: Source, key: str | None = None) -> AsyncIterator[Fetched]:
        """The source's files while the block lasts.

        With a `key`, what came over HTTP is kept as an object under it, so that the same load
        sees the same rows after a restart; `forget` removes it.
        """
        if source.kind is SourceKind.FILE:
            yield Fetched((Path(source.location),))
        elif source.kind is SourceKind.FOLDER:
            files = await asyncio.to_thread(files_in, Path(source.location))
            yield Fetched(files, named=True)
        else:
            folder = await asyncio.to_thread(self._new_folder)
            try:
                yield Fetched((await self._local(source, key, folder),))
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def forget(self, key: str) -> None:
        """Remove what was kept of an HTTP source."""
        await self._storage.delete_object(_spool(key))

    def clean(self) -> None:
        """Remove what an earlier run left in the working folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        owner = self._settings.instance or platform.node() or "collector"
        return Path(self._settings.work_folder) / owner

    def _new_folder(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._folder))

    async def _local(self, source: Source, key: str | None, folder: Path) -> Path:
        path = folder / Path(source.location.partition("?")[0]).name[-80:]
        if path == folder:
            path = folder / "rows"
        if source.kind is SourceKind.UPLOAD:
            await _write(path, self._storage.get_object(source.location))
            return path
        if key is None:
            await self._download(source, path)
            return path
        with suppress(NotFound):
            await self._storage.head_object(_spool(key))
            await _write(path, self._storage.get_object(_spool(key)))
            return path
        await self._download(source, path)
        await self._storage.put_object(_spool(key), pieces_of(path))
        return path

    async def _download(self, source: Source, path: Path) -> None:
        paging = paging_of(source)
        if paging.kind == "none" and not paging.rows:
            limit = self._settings.http_max_bytes
            await self._web.download(source.location, source.headers, limit, path)
            if not await asyncio.to_thread(_is_json_array, path):
                return
        await _write(path, self._lines(source))

    async def _lines(self, source: Source) -> AsyncIterator[bytes]:
        encoder = msgspec.json.Encoder()
        async for page in PagedSource(source, self._web, self._settings).pages():
            yield b"".join(encoder.encode(row) + b"\n" for row in page.rows)


def _is_json_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"["


def _spool(key: str) -> str:
    return f"collector/fetched/{key}"


async def _write(path: Path, pieces: AsyncIterator[bytes]) -> None:
    file: BinaryIO = await asyncio.to_thread(path.open, "wb")
    try:
        async for piece in pieces:
            await asyncio.to_thread(file.write, piece)
    finally:
        await asyncio.to_thread(file.close)


async def pieces_of(path: Path) -> AsyncIterator[bytes]:
    """A file's bytes in pieces, read off the loop."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
    finally:
        await asyncio.to_thread(file.close)


def content_hash(files: tuple[Path, ...]) -> str:
    """SHA-256 of the files' bytes, one after another.

    Raises:
        InvalidInput: a file that is not there or cannot be read.
    """
    total = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                if len(files) == 1:
                    return _hash(file)
                total.update(bytes.fromhex(_hash(file)))
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error}") from None
    return total.hexdigest()


def _hash(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.hexdigest()
