"""What analysts may ask and what they may not; every warehouse passes these cases."""

import secrets
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from foodex.core.errors import FoodexError, InvalidInput, NotFound
from foodex.domain.datasets import Column, QueryLimits
from foodex.domain.deliveries import Kind
from foodex.ports.warehouse import Warehouse

ALLOWED = [
    "SELECT 1",
    "  select 1 ; ",
    "SELECT 1 -- done",
    "SELECT ';' AS a, '--' AS b /* ; */",
    "SELECT 'it''s' || 'file(''/etc/passwd'')'",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "SELECT 1 INTERSECT SELECT 1",
    "SELECT number FROM numbers(3) WHERE number IN (1, 2)",
    "SELECT number FROM numbers(3) WHERE number IN (SELECT 1)",
    "SELECT count(), quantile(0.9)(distance_km) FROM {table}",
    "SELECT * FROM `{table}` AS t WHERE t.order_id LIKE 'o%'",
    "WITH a AS (SELECT * FROM {table}), b AS (SELECT * FROM a) SELECT count() FROM b",
    "WITH recursive r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    "SELECT row_number() OVER (PARTITION BY city ORDER BY row_id) FROM {table}",
    "SELECT arrayMap(x -> x + 1, [1, 2]), map('a', 1), (1, 'b')",
    "SELECT toStartOfHour(now()) AS h GROUP BY h",
    "FROM {table} SELECT count()",
    "DESCRIBE {table}",
    "DESC TABLE {table}",
    "SHOW TABLES",
    "EXPLAIN SELECT count() FROM {table}",
    "EXPLAIN SYNTAX SELECT 1",
]

REFUSED = [
    "",
    ";",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE {table}",
    "SELECT 1 /* */; DROP TABLE {table}",
    "SELECT 'open",
    "SELEC 1",
    "DROP TABLE {table}",
    "TRUNCATE TABLE {table}",
    "ALTER TABLE {table} DELETE WHERE 1",
    "DELETE FROM {table} WHERE 1",
    "UPDATE {table} SET city = 'x' WHERE 1",
    "INSERT INTO {table} (row_id) VALUES (1)",
    "INSERT INTO {table} SELECT * FROM {table}",
    "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE FUNCTION f AS (x) -> x",
    "CREATE USER x",
    "GRANT ALL ON *.* TO x",
    "SET max_execution_time = 0",
    "SET readonly = 0",
    "USE system",
    "SYSTEM SHUTDOWN",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE 1",
    "ATTACH TABLE x",
    "RENAME TABLE {table} TO x",
    "OPTIMIZE TABLE {table}",
    "BACKUP TABLE {table} TO Disk('x', 'y')",
    "SHOW CREATE TABLE {table}",
    "SHOW GRANTS",
    "SHOW DATABASES",
    "SHOW TABLES FROM system",
    "SHOW SETTINGS LIKE '%'",
    "SHOW PROCESSLIST",
    "EXPLAIN DROP TABLE {table}",
    "EXPLAIN AST DROP TABLE {table}",
    "EXPLAIN TABLE OVERRIDE mysql('x:1', 'y', 'z', 'u', 'p') PARTITION BY a",
    "EXPLAIN SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "DESCRIBE file('/etc/passwd')",
    "DESCRIBE url('http://127.0.0.1:1/x.csv')",
    "DESCRIBE system.users",
    "SELECT 1 INTO OUTFILE '{outfile}'",
    "SELECT 1 INTO OUTFILE '{outfile}' TRUNCATE FORMAT CSV",
    "(SELECT 1) INTO OUTFILE '{outfile}'",
    "EXPLAIN SELECT 1 INTO OUTFILE '{outfile}'",
    "DESCRIBE {table} INTO OUTFILE '{outfile}'",
    "SELECT 1 FORMAT JSON",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
    "SELECT * FROM {table} SETTINGS additional_table_filters = {{}}",
    "SELECT 1 PARALLEL WITH DROP TABLE {table}",
    "SELECT file('/etc/passwd')",
    "SELECT FILE('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "WITH file('/etc/passwd') AS x SELECT x",
    "SELECT * FROM numbers(1) ORDER BY file('/etc/passwd')",
    "SELECT 1 LIMIT length(file('/etc/passwd'))",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM (SELECT * FROM file('/etc/passwd', 'LineAsString'))",
    "SELECT 1 WHERE '' IN (SELECT * FROM file('/etc/passwd', 'LineAsString'))",
    "SELECT 1 WHERE '' IN file('/etc/passwd', 'LineAsString')",
    "SELECT 1 WHERE (SELECT count() FROM url('http://127.0.0.1:1/', 'RawBLOB')) > 0",
    "SELECT * FROM {table} JOIN file('/etc/passwd', 'LineAsString') AS f ON 1",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM s3('http://127.0.0.1:1/x', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1', 'system.one')",
    "SELECT * FROM cluster('default', 'system.one')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('/tmp/x.db', 'a')",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT * FROM python('rows')",
    "SELECT * FROM Python(rows)",
    "SELECT * FROM merge('.*', '.*')",
    "SELECT * FROM input('a Int8')",
    "SELECT * FROM view(SELECT * FROM system.users)",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM loop(system.users)",
    "SELECT * FROM mergeTreeIndex(currentDatabase(), '{table}')",
    "SELECT * FROM system.users",
    "SELECT * FROM `system`.`tables`",
    "SELECT * FROM system.settings",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM default.x",
    "SELECT * FROM _loads",
    "SELECT * FROM {{database}}._loads",
    "SELECT 1 IN system.one",
    "SELECT 1 NOT IN system.one",
    "SELECT 1 GLOBAL IN _loads",
    "SELECT in(1, _loads)",
    "SELECT joinGet('x', 'y', 1)",
    "SELECT dictGet('x', 'y', 1)",
    "SELECT hostName(), fqdn()",
    "SELECT sleep(3)",
    "SELECT getSetting('max_execution_time')",
    "SELECT hasColumnInTable('system', 'users', 'name')",
    "SELECT * FROM {table} AS a, system.users AS b",
    "WITH system.users AS x SELECT * FROM x",
    "WITH x AS (SELECT * FROM system.users) SELECT * FROM x",
    'SELECT * FROM "a\nTableIdentifier {table}"',
    "SELECT * FROM `a\\nb`",
    "SELECT $$a;b$$",
    "SELECT 1 UNION ALL SELECT * FROM system.users",
    "SELECT * FROM processed_nope",
    "SELECT nope FROM {table}",
    "SELECT * FROM s3Cluster('c', 'x')",
    "SELECT url('x')",
    "EXISTS TABLE {table}",
    "CHECK TABLE {table}",
    "SELECT 1 FROM numbers(1) QUALIFY file('/etc/passwd') != ''",
    "SELECT * REPLACE (file('/etc/passwd') AS city) FROM {table}",
    "SELECT * APPLY(x -> file('/etc/passwd')) FROM {table}",
    "SELECT COLUMNS('city') APPLY file FROM {table}",
    "SELECT * FROM {table} ORDER BY row_id WITH FILL TO length(file('/etc/passwd'))",
    "SELECT * FROM {table} LIMIT 1 BY file('/etc/passwd')",
    "SELECT * FROM VALUES('a String', (file('/etc/passwd')))",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT sum(row_id) OVER (ORDER BY row_id ROWS length(file('/etc/passwd')) PRECEDING) "
    "FROM {table}",
    "SELECT sum(row_id) OVER w FROM {table} WINDOW w AS (PARTITION BY file('/etc/passwd'))",
    "SELECT row_id, city FROM {table} ORDER BY row_id WITH FILL "
    "INTERPOLATE (city AS file('/etc/passwd'))",
    "SELECT * FROM {table} ARRAY JOIN [file('/etc/passwd')] AS x",
    "SELECT * FROM {table} AS a JOIN {table} AS b ON file('/etc/passwd') = b.city",
    "SELECT * FROM numbers(length(file('/etc/passwd')))",
    "SELECT quantile(length(file('/etc/passwd')))(row_id) FROM {table}",
    "SELECT CASE WHEN file('/etc/passwd') = '' THEN 1 END",
    "SELECT CAST(file('/etc/passwd') AS String), [file('/etc/passwd')], (file('/etc/passwd'), 1)",
    "SELECT 1 AS `x (alias y)`, file('/etc/passwd') AS `z (alias (children 1)`",
    "WITH file AS f SELECT arrayMap(f, ['/etc/passwd'])",
    "WITH (x -> file(x)) AS f SELECT f('/etc/passwd')",
    "SELECT arrayFold(file, ['/etc/passwd'], '')",
    "EXECUTE AS default SELECT 1",
    "x" * 50_001,
]


class QuestionsContract:
    @pytest.fixture
    async def asked(self, warehouse: Warehouse) -> Any:
        name = f"processed_{secrets.token_hex(6)}"
        columns = [Column(name="order_id", kind=Kind.TEXT), Column(name="city", kind=Kind.CATEGORY)]
        columns.append(Column(name="distance_km", kind=Kind.NUMBER))
        await warehouse.create_table(name, columns)
        await warehouse.insert(name, pa.table({"row_id": [1, 2], "order_id": ["o1", "o2"]}))
        yield name
        await warehouse.drop_table(name)

    async def test_allowed_questions(self, warehouse: Warehouse, asked: str) -> None:
        refused = {}
        for sql in ALLOWED:
            try:
                result = await warehouse.query(sql.format(table=asked), QueryLimits())
                assert result.rows
            except FoodexError as error:
                refused[sql] = str(error)
        assert refused == {}

    async def test_refused_questions(
        self, warehouse: Warehouse, asked: str, tmp_path: Path
    ) -> None:
        outfile = tmp_path / "out.csv"
        answered = []
        for sql in REFUSED:
            try:
                result = await warehouse.query(
                    sql.format(table=asked, outfile=outfile), QueryLimits(seconds=2)
                )
                answered.append((sql, result.rows[:1]))
            except (InvalidInput, NotFound):
                continue
        assert answered == []
        assert not outfile.exists()
        assert await warehouse.count(asked) == 2

    async def test_tables_are_listed_without_our_own(
        self, warehouse: Warehouse, asked: str
    ) -> None:
        listed = [row[0] for row in (await warehouse.query("show tables", QueryLimits())).rows]
        assert asked in listed
        assert "_loads" not in listed

    async def test_rows_are_limited(self, warehouse: Warehouse) -> None:
        cut = await warehouse.query("SELECT number FROM numbers(1000000)", QueryLimits(rows=10))
        assert len(cut.rows) == 10
        assert cut.truncated
        whole = await warehouse.query("SELECT number FROM numbers(10)", QueryLimits(rows=10))
        assert len(whole.rows) == 10
        assert not whole.truncated

    async def test_order_holds_under_the_limit(self, warehouse: Warehouse) -> None:
        sql = "SELECT number AS a, number AS a FROM numbers(200000) ORDER BY number DESC"
        found = await warehouse.query(sql, QueryLimits(rows=3))
        assert [row[0] for row in found.rows] == [199_999, 199_998, 199_997]

    async def test_time_is_limited(self, warehouse: Warehouse) -> None:
        slow = "SELECT sum(sipHash64(number)) FROM numbers(100000000000)"
        with pytest.raises(InvalidInput, match="longer"):
            await warehouse.query(slow, QueryLimits(seconds=0.5))

    async def test_memory_is_limited(self, warehouse: Warehouse) -> None:
        big = "SELECT groupArray(number) FROM numbers(1000000000)"
        with pytest.raises(InvalidInput, match="memory"):
            await warehouse.query(big, QueryLimits(memory_bytes=100_000_000))

    async def test_rare_values_are_shown_as_json_can(self, warehouse: Warehouse) -> None:
        sql = (
            "SELECT nan AS a, toDecimal64('1.5', 2) AS b, toDate('2026-01-02') AS c, "
            "[toDateTime(0, 'UTC')] AS d, map('k', 1) AS e, toUUID('00000000-0000-0000-0000-"
            "000000000001') AS f, NULL AS g, true AS h, 18446744073709551615 AS i"
        )
        row = (await warehouse.query(sql, QueryLimits())).rows[0]
        assert row[:3] == (None, 1.5, "2026-01-02")
        assert row[6:] == (None, True, 2**64 - 1)
