"""From a URL to a warehouse."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from foodex.adapters.warehouse.chdb_engine import ChdbEngine
from foodex.adapters.warehouse.clickhouse_engine import ClickHouseEngine
from foodex.adapters.warehouse.tables import TableWarehouse
from foodex.core.errors import InvalidInput


def open_warehouse(url: str) -> TableWarehouse:
    """The warehouse behind `chdb:///PATH` or `clickhouse://USER:PASSWORD@HOST:PORT/DATABASE`.

    `clickhouses://` speaks TLS. A folder is locked at once (`Unavailable` tells who holds it);
    the engine starts, or a server is spoken to, with the first call. Raises `InvalidInput` for
    any other URL.
    """
    parsed = urlsplit(url)
    if parsed.scheme == "chdb":
        path = unquote(parsed.path)
        if parsed.netloc or not path.strip("/"):
            raise InvalidInput("The warehouse's URL names no folder: chdb:///PATH")
        return TableWarehouse(ChdbEngine(Path(path)))
    if parsed.scheme in ("clickhouse", "clickhouses"):
        if not parsed.hostname:
            raise InvalidInput("The warehouse's URL names no host")
        return TableWarehouse(ClickHouseEngine(url))
    raise InvalidInput(
        f"No warehouse is known for '{parsed.scheme}://'; there are chdb:///PATH and "
        "clickhouse://USER:PASSWORD@HOST:PORT/DATABASE"
    )
