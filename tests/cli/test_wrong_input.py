"""Wrong input: exit code 2, one readable paragraph, and nothing that is stored is harmed."""

import gzip
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import UNTIL, Shop
from tests.support.command_line import ROOT, Answer

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture(scope="module", autouse=True)
def unharmed(shop: Shop) -> Iterator[None]:
    """What was stored before the wrong input is there after it, to the last time stamp."""
    before = shop.stored()
    yield
    assert shop.stored() == before


def refused(answer: Answer, *said: str) -> None:
    """Exit code 2, one paragraph on standard error that says these words, no traceback."""
    assert answer.code == 2, (answer.out, answer.err)
    for word in said:
        assert word in answer.err
    text = answer.err.strip()
    assert "Traceback" not in answer.err
    assert "\n\n" not in text
    assert len(text) < 4_000
    assert answer.out == ""


def _without(mapping: str, *fields: str) -> str:
    return "\n".join(line for line in mapping.splitlines() if not line.startswith(fields))


MAPPINGS = {
    "a column that is not there": (
        lambda m: m.replace('"Order No"', '"Order Nr"'),
        ("orders.csv", "fields.order_id", "'Order Nr'", "did you mean 'Order No'"),
    ),
    "no time": (
        lambda m: _without(m, "placed_at", "delivered_at", "delivery_minutes"),
        ("fields.placed_at", "fields.delivery_minutes", "required"),
    ),
    "a key with a typo": (
        lambda m: m.replace('column = "Order No"', 'colunm = "Order No"'),
        ("fields.order_id.colunm", "did you mean column"),
    ),
    "a field with a typo": (
        lambda m: m.replace("order_id =", "ordr_id ="),
        ("ordr_id", "did you mean order_id"),
    ),
    "a unit that is none": (
        lambda m: m.replace('unit = "m"', 'unit = "leagues"'),
        ("fields.distance_km", "leagues"),
    ),
    "the question not answered": (
        lambda m: m.replace('"Europe/Helsinki"', '"?"'),
        ("time_zone", "where does the business live"),
    ),
    "a zone that is none": (
        lambda m: m.replace('"Europe/Helsinki"', '"Europe/Helsinky"'),
        ("time_zone", "Europe/Helsinky"),
    ),
    "no TOML": (lambda m: m.replace("[fields]", "[fields"), ("TOML", "line ")),
    "empty": (lambda m: "", ("placed_at", "required")),
}


@pytest.mark.parametrize("fault", MAPPINGS)
def test_mapping(shop: Shop, fault: str) -> None:
    spoil, said = MAPPINGS[fault]
    path = shop.file("wrong.toml", spoil(shop.mapping))
    refused(shop("import", "orders.csv", "-m", path, "-d", "wrong"), *said)


def _parquet(export: bytes) -> bytes:
    written = io.BytesIO()
    pl.read_csv(export).write_parquet(written)
    return written.getvalue()


FILES = {
    "half.csv.gz": (lambda e: gzip.compress(e)[:-2_000], "half written"),
    "half.parquet": (lambda e: _parquet(e)[:-2_000], "half written"),
    "beginning.parquet": (lambda e: _parquet(e)[:3], "no rows"),
    "beginning.csv": (lambda e: e.splitlines(keepends=True)[0], "no rows"),
    "broken.parquet": (lambda e: b"PAR1" + os.urandom(3_000) + b"PAR1", ""),
    "workbook.csv": (lambda e: b"PK\x03\x04" + os.urandom(3_000), "Excel"),
    "picture.csv": (lambda e: b"\x89PNG" + os.urandom(3_000), "picture"),
    "noise.csv": (lambda e: os.urandom(100_000), "binary"),
    "zeros.csv": (lambda e: bytes(1_000_000), "binary"),
    "text.parquet": (lambda e: b"Dear all,\n\nplease find attached.\n", "Order No"),
    "page.csv": (lambda e: b"<!DOCTYPE html><html><body>Sign in</body></html>", ""),
    "list.ndjson": (lambda e: b"[1, 2, 3]\n[4]\n", ""),
    "empty.csv": (lambda e: b"", "empty"),
}


@pytest.mark.parametrize("name", FILES)
def test_file(shop: Shop, name: str) -> None:
    make, said = FILES[name]
    path = shop.file(name, make(shop.export))
    refused(shop("import", path, "-m", "mapping.toml", "-d", "wrong"), name, said)
    suggested = shop("mapping", "suggest", path)
    assert "Traceback" not in suggested.err


def test_half_written_csv_loses_its_last_row_alone(shop: Shop) -> None:
    path = shop.file("half.csv", shop.export[:-30])
    said = shop("import", path, "-m", "mapping.toml", "-d", "half", "--json")
    assert said.code == 0
    assert said.json["rejected_by_rule"] == {"broken_line": 1}
    assert shop("datasets", "delete", "half", "-y").code == 0


@pytest.mark.parametrize("kind", ["line.csv", "line.ndjson", "quoted.csv"])
def test_one_endless_line(shop: Shop, kind: str) -> None:
    path = shop.folder / kind
    piece = {"line.csv": b"a," * (1 << 19), "line.ndjson": b"9" * (1 << 20)}.get(kind)
    with path.open("wb") as file:
        file.write(b'{"a": "' if kind.endswith("ndjson") else b'a,b\n1,"' if not piece else b"")
        for _ in range(256):
            file.write(piece or b"x\ny," * (1 << 18))
    for words in (
        ("import", path, "-m", "mapping.toml", "-d", "wrong"),
        ("mapping", "suggest", path),
    ):
        before = shop("--version").peak_memory_kib
        answer = shop(*words)
        refused(answer, kind)
        assert answer.peak_memory_kib - before < 128 << 10
    path.unlink()


def test_what_is_not_there(shop: Shop) -> None:
    (shop.folder / "nothing").mkdir()
    refused(shop("import", "nosuch.csv", "-m", "mapping.toml", "-d", "wrong"), "nosuch.csv")
    refused(shop("import", "orders.csv", "-m", "nosuch.toml", "-d", "wrong"), "nosuch.toml")
    refused(shop("import", "orders.csv", "-m", "nosuch", "-d", "wrong"), "'nosuch'")
    refused(shop("import", "nothing", "-m", "mapping.toml", "-d", "wrong"), "nothing", "no files")
    refused(shop("import", "orders.csv", "-m", "nothing", "-d", "wrong"), "nothing")
    refused(shop("import", "orders.csv", "-m", "mapping.toml", "-d", "Wrong one"), "'Wrong one'")
    refused(shop("mapping", "suggest", "nosuch.csv"), "nosuch.csv")
    refused(shop("mapping", "suggest", "orders.csv", "-o", "no/where.toml"), "where.toml")
    refused(shop("city", "history", "--out", "no/where.csv"), "where.csv")
    refused(shop("city", "history", "--out", "where.txt"), "where.txt")


WORDS = {
    "predict -m etta items=2": ("'etta'", "did you mean 'eta'"),
    "predict items": ("'items'", "field=value"),
    "predict distance_km=-5 items=abc store_lat=200 wobble=3 placed_at=tomorrow": (
        "distance_km: is -5",
        "items: 'abc'",
        "store_lat: is 200",
        "wobble: there is no such field",
        "placed_at: 'tomorrow'",
    ),
    "predict items=nan": ("items",),
    "predict items=1e999": ("items",),
    "predict --order [1]": ("JSON object",),
    "predict --order {bad": ("JSON object",),
    "predict --order @nosuch.json": ("nosuch.json",),
    "predict --order @.": ("cannot be read",),
    "evaluate -m etta -d city": ("'etta'", "did you mean 'eta'"),
    "evaluate -m eta:9 -d city": ("no version 9",),
    "evaluate -m eta:x -d city": ("eta:x",),
    "evaluate -m eta -d citty": ("'citty'", "did you mean 'city'"),
    "evaluate -m eta -d city --since 2050-01-01T00:00:00Z": ("since", "2026-03-0"),
    "evaluate -m eta -d city --since nonsense": ("since", "'nonsense'"),
    "train -d citty -m eta": ("'citty'", "did you mean 'city'"),
    "train -d city -m Eta": ("'Eta'",),
    "train -d city -m eta -a gradient_bosting": ("gradient_bosting", "gradient_boosting"),
    "train -d city -m eta --until 2026-03-03T08:00:00": ("until", "no zone"),
    "train -d city -m eta --until soon": ("until", "'soon'"),
    "train -d city -m eta --until 2099-01-01T00:00:00Z": ("until", "period"),
    "train -d city -m eta --without own_estimate": ("did you mean 'own_estimate_minutes'",),
    "train -d city -m eta --split-column splitt": ("split_column", "'splitt'"),
    "train -d city -m eta --until 2026-03-02T06:30:00Z": (),
    "models show etta": ("'etta'", "did you mean 'eta'"),
    "models show eta:9": ("no version 9",),
    "models promote eta:9": ("no version 9",),
    "models promote eta:x": ("'x'",),
    "models rollback eta": ("No earlier version",),
    "models rollback etta": ("'etta'",),
    "datasets show citty": ("'citty'", "did you mean 'city'"),
    "datasets delete citty -y": ("'citty'",),
    "up --port 70000": ("http.port", "65535"),
    "up --port abc": ("--port",),
    "serve nosuch": ("'nosuch'", "gateway"),
    "serve ml": ("storage.url",),
    "trian": ("Did you mean 'train'",),
    "city history --out x.csv --days 0": ("--days",),
    "city history --out x.csv --until soon": ("soon",),
}


@pytest.mark.parametrize("words", WORDS)
def test_words(shop: Shop, words: str) -> None:
    refused(shop(*words.split()), *WORDS[words])


def test_complaints_are_json_where_json_is_asked_for(shop: Shop) -> None:
    answer = shop("predict", "items=abc", "--json")
    assert answer.code == 2
    document = Answer(answer.code, answer.err, "", 0).json
    assert document["status"] == 422
    assert document["problems"][0]["field"] == "items"


ENVIRONMENTS = {
    "FOODEX_HTTP__PROT": ("8080", ("http.prot", "did you mean 'port'")),
    "FOODEX_HTP__PORT": ("8080", ("FOODEX_HTP__PORT", "FOODEX_HTTP__PORT")),
    "FOODEX_HTTP__PORT": ("many", ("http.port",)),
    "FOODEX_STAGE": ("moon", ("stage", "production")),
    "FOODEX_WAREHOUSE__URL": ("oracle://x", ("oracle",)),
    "FOODEX_DATABASE__URL": ("mysql://x", ("mysql",)),
    "FOODEX_OBJECTS__URL": ("ftp://x", ("ftp",)),
    "FOODEX_PROMISE__QUANTILE": ("7", ("quantile",)),
    "FOODEX_CONFIG_DIR": ("/nowhere", ("/nowhere",)),
}


@pytest.mark.parametrize("variable", ENVIRONMENTS)
def test_setting(shop: Shop, variable: str) -> None:
    value, said = ENVIRONMENTS[variable]
    refused(shop("datasets", env={variable: value}), *said)


def test_state_folder_that_cannot_be(shop: Shop) -> None:
    for state in (Path("/proc/foodex"), shop.folder / "orders.csv", shop.folder / "orders.csv/x"):
        refused(shop("datasets", state=state), str(state), "--state")


def test_port_that_is_taken(shop: Shop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(shop("up", "--no-demo", "--port", port), f"Port {port}", "--port")


HOLDER = """
import sys
from pathlib import Path
from foodex.adapters.warehouse.opening import open_warehouse
warehouse = open_warehouse("chdb://" + sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_state_held_by_another_process(shop: Shop) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(shop.state / "warehouse")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        answer = shop("datasets")
        assert answer.code == 1
        assert f"process {holder.pid}" in answer.err
        assert "Traceback" not in answer.err
        holder.communicate()
    assert shop("datasets").code == 0


def test_fault_of_ours_ends_with_1(shop: Shop) -> None:
    """A job whose process is killed whenever it starts is no wrong input."""
    site = shop.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, sys\nif 'foodex.services.ml.job' in sys.orig_argv: os.kill(os.getpid(), 9)\n"
    )
    answer = shop(
        *("train", "-d", "city", "-m", "eta", "--until", UNTIL), env={"PYTHONPATH": str(site)}
    )
    assert answer.code == 1, answer.err
    assert "SIGKILL" in answer.err
    assert "Traceback" not in answer.err
