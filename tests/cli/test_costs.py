"""`foodex costs`, as it is given."""

import json

import pytest
from typer.testing import CliRunner

from foodex.cli.main import app
from foodex.core.errors import InvalidInput


def test_costs_are_shown_for_a_load() -> None:
    shown = CliRunner().invoke(app, ["costs", "--no-measure", "--predictions", "200000000"])
    assert shown.exit_code == 0
    assert "200,000,000" in shown.output
    assert "mvp can carry no more" in shown.output
    asked = CliRunner().invoke(app, ["costs", "--no-measure", "--objects-gb", "200.5", "--json"])
    found = json.loads(asked.output)
    assert found["load"]["objects_gb"] == 200.5
    assert found["stages"][0]["total"] == "4.8115"


@pytest.mark.parametrize("size", ["-1", "much", "NaN", "1e30"])
def test_what_is_no_size_is_refused(size: str) -> None:
    refused = CliRunner().invoke(app, ["costs", "--no-measure", "--objects-gb", size])
    assert isinstance(refused.exception, InvalidInput)
    assert "objects_gb" in str(refused.exception)
