"""Objects in a folder or in an S3 bucket, through obstore."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions as failures
from obstore.store import LocalStore, S3Store

from foodex.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from foodex.domain.datasets import ObjectsPage, StoredObject
from foodex.domain.keys import check_key

_PIECE_BYTES: Final = 1 << 20
_PART_BYTES: Final = 8 << 20
_UPLOADS: Final = ".uploads"
_LISTED_AT_ONCE: Final = 1000


def open_objects(url: str, options: Mapping[str, str] | None = None) -> "ObjectStore":
    """The objects behind `file:///PATH` or `s3://BUCKET/PREFIX`.

    `options` for S3: `endpoint`, `region`, `access_key_id`, `secret_access_key`; what is not given
    comes from the usual `AWS_*` variables. An endpoint without TLS is taken on this machine only.
    Nothing connects yet. Raises `InvalidInput` for any other URL.
    """
    parsed = urlsplit(url)
    if parsed.scheme == "file":
        path = Path(unquote(parsed.path))
        if parsed.netloc or not path.is_absolute() or path == Path("/"):
            raise InvalidInput("The URL of the objects names no folder: file:///PATH")
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return ObjectStore(LocalStore(path, automatic_cleanup=True))
        except (OSError, failures.BaseError) as error:
            raise Unavailable(f"The folder {path} for objects cannot be used: {error}") from error
    if parsed.scheme == "s3" and parsed.hostname:
        given = {key: value for key, value in (options or {}).items() if value}
        endpoint = urlsplit(given.get("endpoint", ""))
        near = endpoint.hostname in ("localhost", "127.0.0.1", "::1")
        if endpoint.scheme == "http" and not near:
            raise InvalidInput("The endpoint of the objects needs https:// unless it is local")
        try:
            store = S3Store(
                parsed.netloc,
                prefix=parsed.path.strip("/") or None,
                client_options={"allow_http": True} if near or not endpoint.hostname else {},
                retry_config={"max_retries": 3},
                **given,  # type: ignore[arg-type]
            )
        except failures.BaseError as error:
            raise InvalidInput(f"The objects cannot be reached so: {error}") from None
        return ObjectStore(store)
    raise InvalidInput(
        f"No objects are known for '{parsed.scheme}://'; there are file:///PATH and "
        "s3://BUCKET/PREFIX"
    )


class ObjectStore:
    """Named bytes over an obstore store; implements the port `Objects`."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    async def put(self, key: str, body: bytes | AsyncIterator[bytes]) -> StoredObject:
        """Store the bytes whole or not at all."""
        check_key(key)
        with _translated(key):
            if isinstance(self._store, LocalStore):
                await _put_local(self._store, key, body)
            elif isinstance(body, bytes):
                await obstore.put_async(self._store, key, body, use_multipart=False)
            else:
                # A multipart upload is nothing until it is completed.
                await obstore.put_async(
                    self._store, key, _pieces(body), use_multipart=True, chunk_size=_PART_BYTES
                )
        return await self.head(key)

    async def put_file(self, key: str, path: Path) -> StoredObject:
        """Store a file's bytes; the file is gone afterwards, moved where that can be done."""
        check_key(key)
        with _translated(key):
            if isinstance(self._store, LocalStore):
                await _put_local(self._store, key, path)
            else:
                await obstore.put_async(
                    self._store, key, path, use_multipart=True, chunk_size=_PART_BYTES
                )
        await asyncio.to_thread(path.unlink, missing_ok=True)
        return await self.head(key)

    async def get(self, key: str) -> bytes:
        """All the bytes."""
        check_key(key)
        with _translated(key):
            answer = await obstore.get_async(self._store, key)
            return bytes(await answer.bytes_async())

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in pieces."""
        check_key(key)
        with _translated(key):
            answer = await obstore.get_async(self._store, key)
            async for piece in answer.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    async def get_file(self, key: str, path: Path) -> None:
        """The bytes as a new file, which is the object itself where that can be done."""
        check_key(key)
        if isinstance(self._store, LocalStore):
            root = Path(str(self._store.prefix))
            # Objects are replaced and never changed, so the file stays what it is.
            if await asyncio.to_thread(_linked, root / key, path):
                return
        try:
            with await asyncio.to_thread(path.open, "wb") as file:
                async for piece in self.stream(key):
                    await asyncio.to_thread(file.write, piece)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise

    async def head(self, key: str) -> StoredObject:
        """The object's facts."""
        check_key(key)
        with _translated(key):
            return _facts(await obstore.head_async(self._store, key))

    async def list(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> ObjectsPage:
        """Objects whose key starts with the prefix, by key."""
        # The store lists by whole path parts only, so the last part is compared here.
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        found: list[StoredObject] = []
        with _translated(prefix):
            listing = obstore.list(
                self._store, folder or None, offset=after, chunk_size=_LISTED_AT_ONCE
            )
            ordered = isinstance(self._store, S3Store)
            async for chunk in listing:
                found += [
                    _facts(meta)
                    for meta in chunk
                    if meta["path"].startswith(prefix)
                    and not meta["path"].startswith(_UPLOADS)
                    and (after is None or meta["path"] > after)
                ]
                if ordered and len(found) > limit:
                    break
        found.sort(key=lambda stored: stored.key)
        more = len(found) > limit
        found = found[:limit]
        return ObjectsPage(objects=tuple(found), next_after=found[-1].key if more else None)

    async def delete(self, key: str) -> None:
        """Remove the object."""
        check_key(key)
        with _translated(key):
            await _forget(self._store, key)

    async def ping(self) -> None:
        """Return when the store answers."""
        with _translated(""):
            async for _ in obstore.list(self._store, chunk_size=1):
                break


async def _put_local(
    store: LocalStore, key: str, body: bytes | AsyncIterator[bytes] | Path
) -> None:
    # Next to the objects, so that the rename stays within one file system.
    upload = f"{_UPLOADS}/{secrets.token_hex(16)}"
    root = Path(str(store.prefix))
    try:
        if not isinstance(body, Path):
            content = body if isinstance(body, bytes) else _pieces(body)
            await obstore.put_async(store, upload, content, chunk_size=_PART_BYTES)
        elif not await asyncio.to_thread(_moved, body, root / upload):
            await obstore.put_async(store, upload, body, chunk_size=_PART_BYTES)
        await asyncio.to_thread(_to_disk, root / upload)
        await obstore.rename_async(store, upload, key)
        await asyncio.to_thread(_to_disk, (root / key).parent)
    except BaseException as error:
        await _forget(store, upload)
        if isinstance(error, failures.BaseError) and await asyncio.to_thread(
            _is_in_the_way, root, key
        ):
            raise Conflict(f"'{key}' is a folder of other objects, or lies in an object") from error
        raise


def _moved(path: Path, target: Path) -> bool:
    """Whether that could be done; else it lies in another file system."""
    target.parent.mkdir(exist_ok=True)
    try:
        path.rename(target)
    except OSError:
        return False
    return True


def _linked(path: Path, link: Path) -> bool:
    """Whether that could be done; a link to a link, or from another file system, is not."""
    try:
        os.link(path, link, follow_symlinks=False)
    except OSError:
        return False
    return True


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_in_the_way(root: Path, key: str) -> bool:
    path = root / key
    parents = [parent for parent in path.parents if parent.is_relative_to(root)]
    return path.is_dir() or any(parent.is_file() for parent in parents)


async def _forget(store: LocalStore | S3Store, key: str) -> None:
    try:
        await obstore.delete_async(store, key)
    except (FileNotFoundError, failures.NotFoundError):
        return


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in body:
        if piece:
            yield piece


def _facts(meta: Any) -> StoredObject:
    return StoredObject(
        key=meta["path"],
        size_bytes=meta["size"],
        changed_at=meta["last_modified"],
        etag=(meta["e_tag"] or "").strip('"') or None,
    )


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, failures.NotFoundError):
        raise NotFound(f"There is no object '{key}'") from None
    except (failures.PermissionDeniedError, failures.UnauthenticatedError) as error:
        raise Unavailable(f"The objects may not be used with these credentials: {error}") from error
    except failures.BaseError as error:
        raise Unavailable(f"The objects cannot be reached: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
