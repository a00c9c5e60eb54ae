"""Whatever the API's own description allows to be sent, nothing answers with a fault of ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import up

pytestmark = [pytest.mark.xdist_group("description"), pytest.mark.timeout(240)]


def test_no_request_ends_in_a_fault_of_ours(tmp_path: Path) -> None:
    with up(tmp_path / "state", "--no-demo") as running:
        paths = running("GET", "/openapi.json", key="").json["paths"]
        operations = sum(len(methods) for methods in paths.values())
        assert {"/api/v1/eta", "/api/v1/accounts/entries", "/api/v1/predictions"} <= paths.keys()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json"),
                *("-H", f"Authorization: Bearer {running.key}", "--seed", "1"),
                *("--checks", "not_a_server_error", "--phases", "coverage,fuzzing"),
                *("--max-examples", "4", "--request-timeout", "20", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    found = re.search(r"Tested: +(\d+)", done.stdout)
    assert found is not None, done.stdout[-4000:]
    assert int(found[1]) == operations
