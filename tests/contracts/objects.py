"""The cases every store of objects passes; a subclass gives the fixture `objects`."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foodex.core.errors import InvalidInput, NotFound
from foodex.ports.objects import Objects

MIB = 1 << 20


async def pieces(count: int, *, fail: bool = False) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * MIB
    if fail:
        raise ConnectionResetError("the sender went away")


class ObjectsContract:
    async def test_answers(self, objects: Objects) -> None:
        await objects.ping()

    async def test_what_was_put_comes_back(self, objects: Objects) -> None:
        stored = await objects.put("models/eta/1/model.onnx", b"bytes")
        assert (stored.key, stored.size_bytes) == ("models/eta/1/model.onnx", 5)
        assert abs(stored.changed_at - datetime.now(UTC)) < timedelta(minutes=5)
        assert await objects.get(stored.key) == b"bytes"
        assert await objects.head(stored.key) == stored
        assert b"".join([piece async for piece in objects.stream(stored.key)]) == b"bytes"

    async def test_streams_both_ways(self, objects: Objects) -> None:
        stored = await objects.put("big", pieces(20))
        assert stored.size_bytes == 20 * MIB
        size = largest = 0
        async for piece in objects.stream("big"):
            size += len(piece)
            largest = max(largest, len(piece))
        assert size == 20 * MIB
        assert largest <= 16 * MIB

    async def test_nothing_is_an_object_too(self, objects: Objects) -> None:
        assert (await objects.put("empty", b"")).size_bytes == 0
        assert (await objects.put("streamed", pieces(0))).size_bytes == 0
        assert await objects.get("empty") == b""
        assert [piece async for piece in objects.stream("empty") if piece] == []

    async def test_an_upload_that_breaks_off_changes_nothing(self, objects: Objects) -> None:
        await objects.put("key", b"old")
        with pytest.raises(ConnectionResetError):
            await objects.put("key", pieces(12, fail=True))
        with pytest.raises(ConnectionResetError):
            await objects.put("new", pieces(1, fail=True))
        assert await objects.get("key") == b"old"
        assert [stored.key for stored in (await objects.list()).objects] == ["key"]

    async def test_the_last_put_wins(self, objects: Objects) -> None:
        await objects.put("key", pieces(1))
        await objects.put("key", b"new")
        assert await objects.get("key") == b"new"

    @pytest.mark.parametrize("key", ["jobs/1/answer.csv", "b/ü %20+&?"])
    async def test_files_go_in_and_come_out(
        self, objects: Objects, key: str, tmp_path: Path
    ) -> None:
        made, found = tmp_path / "made", tmp_path / "found"
        made.write_bytes(b"a" * 9 * MIB)
        assert (await objects.put_file(key, made)).size_bytes == 9 * MIB
        assert not made.exists()
        await objects.get_file(key, found)
        made.write_bytes(b"newer")
        await objects.put_file(key, made)
        assert await objects.get(key) == b"newer"
        assert found.read_bytes() == b"a" * 9 * MIB
        await objects.delete(key)
        assert found.exists()
        with pytest.raises(NotFound):
            await objects.get_file(key, tmp_path / "gone")
        assert not (tmp_path / "gone").exists()

    async def test_lists_by_key_in_pages(self, objects: Objects) -> None:
        keys = ["a/1", "a/10", "a/2", "ab", "b/c/d", "b/ü %20+&?", "z"]
        for key in reversed(keys):
            await objects.put(key, b"x")
        assert [s.key for s in (await objects.list()).objects] == keys
        assert [s.key for s in (await objects.list("a")).objects] == keys[:4]
        assert [s.key for s in (await objects.list("a/1")).objects] == ["a/1", "a/10"]
        assert (await objects.list("nope/")).objects == ()
        found, after = [], None
        while True:
            page = await objects.list("", after=after, limit=2)
            found += [stored.key for stored in page.objects]
            after = page.next_after
            if after is None:
                break
        assert found == keys
        assert (await objects.list(limit=len(keys))).next_after is None

    async def test_deletes(self, objects: Objects) -> None:
        await objects.put("a/b", b"x")
        await objects.delete("a/b")
        await objects.delete("a/b")
        with pytest.raises(NotFound):
            await objects.get("a/b")
        with pytest.raises(NotFound):
            await objects.head("a/b")
        with pytest.raises(NotFound):
            [piece async for piece in objects.stream("a/b")]

    @pytest.mark.parametrize(
        "key",
        [
            *("", "/a", "a/", "../a", "a/../b", "a/..", ".", "a//b", "a\\b", "a\nb", "a\0b"),
            *("\ud800", "x" * 513, "ä" * 257, ".uploads/x"),
        ],
    )
    async def test_keys_that_are_none(self, objects: Objects, key: str) -> None:
        for call in (objects.put(key, b"x"), objects.get(key), objects.head(key)):
            with pytest.raises(InvalidInput) as refused:
                await call
            assert refused.value.problems[0].field == "key"
        with pytest.raises(InvalidInput):
            await objects.delete(key)
        with pytest.raises(InvalidInput):
            await objects.put_file(key, Path("nothing"))
        with pytest.raises(InvalidInput):
            await objects.get_file(key, Path("nothing"))
