"""Both stores of objects pass the same cases."""

from pathlib import Path

import pytest

from foodex.adapters.objects.store import ObjectStore, open_objects
from foodex.core.errors import Conflict, InvalidInput, Unavailable
from tests.contracts.objects import ObjectsContract, pieces


class TestFolder(ObjectsContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> ObjectStore:
        return open_objects(f"file://{tmp_path}/objects")

    async def test_a_key_below_an_object_and_above_one(self, objects: ObjectStore) -> None:
        await objects.put("a/b", b"x")
        with pytest.raises(Conflict):
            await objects.put("a", b"x")
        with pytest.raises(Conflict):
            await objects.put("a/b/c", pieces(1))
        assert [stored.key for stored in (await objects.list()).objects] == ["a/b"]


class TestS3(ObjectsContract):
    @pytest.fixture
    def objects(self, s3_objects: ObjectStore) -> ObjectStore:
        return s3_objects


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("", {}),
        ("file://", {}),
        ("file:///", {}),
        ("file://host/path", {}),
        ("gs://bucket", {}),
        ("s3://", {}),
        ("s3://bucket", {"endpoint": "http://example.com"}),
        ("s3://bucket", {"nope": "x"}),
    ],
)
def test_urls_that_are_none(url: str, options: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        open_objects(url, options)


async def test_a_store_out_of_reach_is_unavailable() -> None:
    options = {"endpoint": "http://127.0.0.1:1", "region": "x"}
    keys = {"access_key_id": "a", "secret_access_key": "very-secret"}
    objects = open_objects("s3://bucket", options | keys)
    with pytest.raises(Unavailable) as refused:
        await objects.put("key", b"x")
    assert "very-secret" not in str(refused.value)
