"""URLs of warehouses."""

import asyncio

import pytest

from foodex.adapters.warehouse.opening import open_warehouse
from foodex.core.errors import InvalidInput, Unavailable


@pytest.mark.parametrize(
    "url", ["", "chdb://", "chdb:///", "chdb://host/path", "mysql://x/y", "clickhouse:///db"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput):
        open_warehouse(url)


async def test_a_server_out_of_reach_is_unavailable() -> None:
    warehouse = open_warehouse("clickhouse://user:secret@127.0.0.1:1/db")
    with pytest.raises(Unavailable) as refused:
        await warehouse.ping()
    assert "secret" not in str(refused.value)
    await warehouse.close()


async def test_a_wrong_password_is_unavailable(clickhouse_warehouse: object) -> None:
    from tests.support.servers import clickhouse_url

    address = clickhouse_url().rpartition("@")[2]
    warehouse = open_warehouse(f"clickhouse://default:secret@{address}")
    with pytest.raises(Unavailable) as refused:
        await warehouse.ping()
    assert "secret" not in str(refused.value)
    await warehouse.close()


async def test_a_closed_warehouse_says_so(tmp_path: object) -> None:
    warehouse = open_warehouse(f"chdb://{tmp_path}/chdb")
    await asyncio.gather(warehouse.close(), warehouse.close())
    with pytest.raises(Unavailable):
        await warehouse.ping()
