# ruff: noqa: S608 -- what is put together here is quoted; what is asked is checked
"""Questions that analysts ask in SQL of their own: only reading, only FoodEx's own tables.

Two fences stand behind one another. The engine is told to be read-only, with limits that the
question cannot lift. Before that, the engine's own parser says what the text is, and what is not
known to be harmless is refused: read-only mode alone lets `file('/etc/passwd')` and
`INTO OUTFILE` through.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from foodex.adapters.warehouse.arrow import plain
from foodex.adapters.warehouse.engine import Engine, Settings
from foodex.adapters.warehouse.sql import MARKS, literal
from foodex.core.errors import InvalidInput
from foodex.domain.datasets import LOAD_ID, Column, QueryLimits, QueryResult
from foodex.domain.deliveries import Kind

MAX_LENGTH: Final = 50_000
"""Characters a question may have."""

_TABLE_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "generateSeries", "generate_series", "values"}
)
_FORBIDDEN: Final = re.compile(
    r"(file|url|dict.*|joinget.*|ai.*|.*sleep.*|.*eachrow|evalmlmethod|naivebayes.*|catboost.*"
    r"|get(setting|macro|server|mergetree|client|oskernel).*|(full)?hostname|fqdn|filesystem.*"
    r"|tcpport|showcertificate|serveruuid|buildid|uptime|zookeeper.*|addressto.*|demangle"
    r"|logtrace|tid|trap|hascolumnintable|global_?variable|current(request|handler|user|roles"
    r"|profiles).*|user|.*_user|(default|enabled)(roles|profiles)|mergetreepart.*|region.*"
    r"|generateserialid|transaction.*|fuzzquery|timeseries.*tags.*|remote.*|executable|python"
    r"|lemmatize|synonyms|stem|detect.*|meili.*|icebergtruncate|session_?user|auth.*user)",
    re.IGNORECASE,
)
# What the parser may find. Not here, among others: SETTINGS, and APPLY, of which the parser does
# not tell the function.
_NODES: Final = frozenset(
    [
        "ArrayJoin",
        "Asterisk",
        "ColumnsExceptTransformer",
        "ColumnsListMatcher",
        "ColumnsRegexpMatcher",
        "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformer::Replacement",
        "ColumnsTransformerList",
        "DescribeQuery",
        "Explain",
        "ExpressionList",
        "Function",
        "Identifier",
        "InterpolateElement",
        "Literal",
        "OrderByElement",
        "QualifiedAsterisk",
        "SampleRatio",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "SelectWithUnionQuery",
        "Subquery",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "WindowDefinition",
        "WindowListElement",
        "WithElement",
    ]
)
_SAID: Final = {"Set": "SETTINGS", "ColumnsApplyTransformer": "APPLY"}
_EXPLAIN: Final = re.compile(r"Explain EXPLAIN(?: (AST|SYNTAX|PLAN|PIPELINE|ESTIMATE))?")
_SHOW_TABLES: Final = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_NODE: Final = re.compile(r"^( *)(.*?)(?: \(children \d+\))?$")
_ALIAS: Final = re.compile(r" \(alias .*\)$")
# Everything that may hold a semicolon without ending the statement: texts, names, comments.
_TOKEN: Final = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*`
    | --[^\n]* | \#[!\x20][^\n]* | /\*.*?\*/ | [^'"`]""",
    re.DOTALL | re.VERBOSE,
)


def filters(engine: Engine) -> dict[str, str]:
    """For each table, the condition that shows only committed rows."""
    database = literal(engine.database)
    with engine.read(
        "SELECT name FROM system.tables "
        f"WHERE database = {database} AND name NOT LIKE '.%' AND name != {literal(MARKS)}"
    ) as batches:
        found: dict[str, list[int]] = {row[0]: [0] for batch in batches for row in plain(batch)}
    with engine.read(
        f"SELECT DISTINCT table, load_id FROM `{engine.database}`.`{MARKS}` ORDER BY 1, 2"
    ) as batches:
        for batch in batches:
            for table, load_id in plain(batch):
                if table in found:
                    found[table].append(load_id)
    return {t: f"{LOAD_ID} IN ({', '.join(map(str, ids))})" for t, ids in found.items()}


def answer(engine: Engine, sql: str, limits: QueryLimits, tables: Mapping[str, str]) -> QueryResult:
    """The answer to a question that is allowed; `InvalidInput` says why one is not."""
    started = time.monotonic()
    if _SHOW_TABLES.fullmatch(sql):
        sql, checked = "SELECT arrayJoin([" + ", ".join(map(literal, tables)) + "]) AS name", True
        sql = sql if tables else "SELECT '' AS name WHERE false"
    else:
        sql, checked = _single(sql), False
    settings: dict[str, str | int | float] = {
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory_bytes,
        "max_result_rows": 0,
        "output_format_arrow_string_as_string": 1,
        "output_format_arrow_low_cardinality_as_dictionary": 0,
        # On a server the setting is one text; in it, names and conditions are quoted in turn.
        "additional_table_filters": "{"
        + ", ".join(
            f"{literal(f'{engine.database}.{table}')}: {literal(only)}"
            for table, only in tables.items()
        )
        + "}",
        "readonly": 1,
    }
    if not checked:
        _check(engine, sql, tables, settings)
    rows: list[tuple[Any, ...]] = []
    columns: tuple[Column, ...] = ()
    with engine.read(sql, settings) as batches:
        for batch in batches:
            columns = columns or tuple(
                Column(name=part.name, kind=_kind(part.type)) for part in batch.schema
            )
            taken = batch.slice(0, limits.rows + 1 - len(rows))
            rows += (tuple(map(_shown, row)) for row in plain(taken))
            if len(rows) > limits.rows:
                break
    return QueryResult(
        columns=columns,
        rows=tuple(rows[: limits.rows]),
        truncated=len(rows) > limits.rows,
        elapsed_seconds=time.monotonic() - started,
    )


def _single(sql: str) -> str:
    if len(sql) > MAX_LENGTH:
        raise InvalidInput(f"A question has at most {MAX_LENGTH} characters")
    at, end = 0, len(sql)
    while at < len(sql):
        token = _TOKEN.match(sql, at)
        if token is None:
            raise InvalidInput("A quote in the question is not closed")
        text = token[0]
        if text[0] in '`"' and ("\n" in text or "\\" in text):
            raise InvalidInput("Names with line breaks or backslashes are not for here")
        if text == "$" or text == "\0":
            raise InvalidInput("Texts are written in single quotes here")
        if text == ";" and end == len(sql):
            end = at
        elif end < len(sql) and not (text.isspace() or text.startswith(("--", "#", "/*"))):
            raise InvalidInput("Only one question at a time")
        at = token.end()
    if not sql[:end].strip():
        raise InvalidInput("There is no question")
    return sql[:end]


@dataclass(slots=True)
class _Node:
    text: str
    children: list["_Node"] = field(default_factory=list)

    def walk(self) -> Iterator["_Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


def _check(engine: Engine, sql: str, tables: Mapping[str, str], settings: Settings) -> None:
    lines: list[str] = []
    with engine.read(f"EXPLAIN AST {sql}", settings) as batches:
        for batch in batches:
            lines += [line for row in plain(batch) for line in str(row[0]).splitlines()]
    root = _tree(lines)
    body = root
    if _EXPLAIN.fullmatch(root.text) and len(root.children) == 1:
        body = root.children[0]
    if body.text == "SelectWithUnionQuery":
        if [child.text for child in body.children] != ["ExpressionList"]:
            raise InvalidInput("INTO OUTFILE, FORMAT and SETTINGS are not for here")
    elif root.text != "DescribeQuery" or [c.text for c in root.children] != ["TableExpression"]:
        raise InvalidInput("Only questions can be asked: SELECT, EXPLAIN, DESCRIBE or SHOW TABLES")
    with engine.read("SELECT name FROM system.table_functions") as batches:
        table_functions = {row[0].lower() for batch in batches for row in plain(batch)}
    for node in root.walk():
        _check_node(node, engine.database, tables, table_functions)


def _check_node(
    node: _Node, database: str, tables: Mapping[str, str], table_functions: set[str]
) -> None:
    kind, _, said = node.text.partition(" ")
    if kind not in _NODES:
        raise InvalidInput(f"{_SAID.get(kind, kind)} is not for here")
    if kind == "TableIdentifier":
        place, dot, table = said.rpartition(".")
        if (dot and (place != database or table not in tables)) or said == MARKS:
            raise InvalidInput(f"There is no table '{said}' to ask; SHOW TABLES lists them")
    if kind == "TableExpression":
        for child in node.children:
            what, _, function = child.text.partition(" ")
            if what == "Function" and function not in _TABLE_FUNCTIONS:
                raise InvalidInput(f"The table function '{function}' is not for here")
    # A function can be handed to another by its bare name: arrayMap(file, ...).
    if kind == "Identifier" and _FORBIDDEN.fullmatch(said):
        raise InvalidInput(f"Write the column '{said}' with its table: table.{said}")
    if kind == "Function":
        if _FORBIDDEN.fullmatch(said):
            raise InvalidInput(f"The function '{said}' is not for here")
        if re.fullmatch(r"(global)?(not)?(null)?in(ignoreset)?", said, re.IGNORECASE):
            for side in node.children[0].children[1:] if node.children else ():
                what, _, function = side.text.partition(" ")
                if what in ("Identifier", "TableIdentifier") or (
                    what == "Function" and function.lower() in table_functions
                ):
                    raise InvalidInput("After IN, write a list or (SELECT …)")


def _tree(lines: list[str]) -> _Node:
    root = _Node("")
    path = [root]
    for line in lines:
        found = _NODE.match(line)
        if found is None or not found[2]:
            continue
        depth = len(found[1])
        node = _Node(_ALIAS.sub("", found[2]))
        if depth >= len(path):
            raise InvalidInput("The question cannot be read")
        del path[depth + 1 :]
        path[depth].children.append(node)
        path.append(node)
    if len(root.children) != 1:
        raise InvalidInput("The question cannot be read")
    return root.children[0]


def _kind(type_: pa.DataType) -> Kind:
    if pa.types.is_integer(type_):
        return Kind.INTEGER
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return Kind.NUMBER
    if pa.types.is_timestamp(type_):
        return Kind.TIME
    return Kind.TEXT


def _shown(value: Any) -> Any:
    """A value as JSON can carry it: infinities and NaN as None, all that is rare as a text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return float(value)
        case datetime():
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        case bytes():
            return value.decode(errors="replace")
        case list() | tuple():
            return [_inner(one) for one in value]
        case dict():
            return {str(key): _inner(one) for key, one in value.items()}
    return str(value)


def _inner(value: Any) -> Any:
    shown = _shown(value)
    return shown.isoformat() if isinstance(shown, datetime) else shown
