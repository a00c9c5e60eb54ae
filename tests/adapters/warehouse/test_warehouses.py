"""Both warehouses pass the same cases."""

import pytest

from foodex.adapters.warehouse.tables import TableWarehouse
from tests.contracts.questions import QuestionsContract
from tests.contracts.warehouse import WarehouseContract


class TestChdb(WarehouseContract, QuestionsContract):
    @pytest.fixture
    def warehouse(self, chdb_warehouse: TableWarehouse) -> TableWarehouse:
        return chdb_warehouse


class TestClickHouse(WarehouseContract, QuestionsContract):
    @pytest.fixture
    def warehouse(self, clickhouse_warehouse: TableWarehouse) -> TableWarehouse:
        return clickhouse_warehouse
