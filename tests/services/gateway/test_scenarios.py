"""Every scenario there is: found, described, and strict about what it is given."""

import types
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from foodex.core.access import Role
from foodex.core.errors import InternalError, InvalidInput
from foodex.domain.scenarios import Outcome
from foodex.services.gateway import scenarios as package
from foodex.services.gateway.scenario import Context, Parameters, Scenario
from foodex.services.gateway.scenarios import found_scenarios
from tests.support.command_line import ROOT

SCENARIOS = found_scenarios()
RIGHT: dict[str, dict[str, Any]] = {
    "collect-data": {"source": "orders-api"},
    "compare-models": {"models": ["eta:1", "eta:2"], "dataset": "orders"},
    "plan-costs": {},
    "predict-file": {"file": "0123456789abcdef-orders.csv"},
    "predict-order": {"order": {"items": 3}},
    "report-model": {"model": "eta"},
    "report-period": {"dataset": "orders"},
    "train-model": {"model": "eta"},
    "what-if": {"dataset": "orders", "quantile": 0.9},
}
MONEY = {"predict-order", "predict-file"}


def test_the_promised_scenarios_are_there_and_each_module_is_one() -> None:
    modules = {path.stem.replace("_", "-") for path in Path(package.__file__).parent.glob("*.py")}
    assert set(SCENARIOS) == modules - {"--init--"}
    assert set(SCENARIOS) == set(RIGHT)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_each_tells_what_it_is_and_what_it_takes(name: str) -> None:
    told = SCENARIOS[name].describe()
    assert told.title[0].isupper()
    assert told.purpose.endswith(".")
    assert Role.ADMIN in told.roles
    assert (Role.CLIENT in told.roles) is (name in MONEY)
    schema = told.parameters
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    for field, about in schema["properties"].items():
        assert about["description"].endswith("."), field
        required = field in schema.get("required", ())
        assert required or "default" in about, field
        assert not required or "examples" in about, field
    # Its own examples can be sent as they stand.
    examples = {f: a["examples"][0] for f, a in schema["properties"].items() if "examples" in a}
    if name == "collect-data":
        del examples["upload"]
    if name == "what-if":
        examples["buffer_minutes"] = 5
    SCENARIOS[name].read(examples)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_what_is_kept_of_the_parameters_reads_the_same(name: str) -> None:
    scenario = SCENARIOS[name]
    read = scenario.read(RIGHT[name])
    assert scenario.read(read.model_dump(mode="json")) == read


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_an_unknown_parameter_is_named_with_the_nearest_one(name: str) -> None:
    field = next(iter(SCENARIOS[name].parameters.model_fields))
    with pytest.raises(InvalidInput) as refused:
        SCENARIOS[name].read(RIGHT[name] | {field + "x": 1})
    (problem,) = refused.value.problems
    assert problem.field == field + "x"
    assert f"did you mean '{field}'" in problem.message


@pytest.mark.parametrize(
    ("name", "wrong", "field"),
    [
        ("predict-order", {}, "order"),
        ("predict-order", {"order": [1]}, "order"),
        ("report-period", {"dataset": "orders", "days": 0}, "days"),
        ("report-period", {"dataset": "orders", "since": "2026-03-01T00:00:00"}, "since"),
        ("compare-models", {"models": ["eta"], "dataset": "orders"}, "models"),
        ("what-if", {"dataset": "orders"}, "parameters"),
        ("what-if", {"dataset": "orders", "quantile": 0.99}, "quantile"),
        ("what-if", {"dataset": "orders", "quantile": 0.5, "day": "soon"}, "day"),
        ("train-model", {"model": "eta", "algorithm": "magic"}, "algorithm"),
        ("collect-data", {}, "parameters"),
        ("collect-data", {"source": "a", "upload": "b"}, "parameters"),
        ("plan-costs", {"predictions": 0}, "predictions"),
    ],
)
def test_what_is_wrong_is_named(name: str, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        SCENARIOS[name].read(wrong)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_each_is_told_of_in_the_documentation() -> None:
    page = (ROOT / "docs" / "scenarios.md").read_text()
    assert [name for name in SCENARIOS if f"[`{name}`](#" not in page] == []
    assert [name for name in SCENARIOS if f"foodex scenario run {name} " not in page] == []


class Nothing(Parameters):
    often: int = Field(1, description="How often.")


async def do_nothing(_: Context[Nothing]) -> Outcome:
    return Outcome(summary=())


def one(name: str) -> Scenario[Nothing]:
    return Scenario(name=name, title="T", purpose="P.", parameters=Nothing, run=do_nothing)


def test_two_of_one_name_and_a_module_without_one_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: dict[str, types.SimpleNamespace] = {}
    monkeypatch.setattr(
        package.pkgutil, "iter_modules", lambda _: [types.SimpleNamespace(name=n) for n in made]
    )
    monkeypatch.setattr(
        package.importlib, "import_module", lambda name: made[name.rpartition(".")[2]]
    )
    made |= {"b": types.SimpleNamespace(SCENARIO=one("b"))}
    made |= {"a": types.SimpleNamespace(SCENARIO=one("a"))}
    assert list(found_scenarios()) == ["a", "b"]
    made["c"] = types.SimpleNamespace(SCENARIO=one("a"))
    with pytest.raises(InternalError, match="Two scenarios are called 'a'"):
        found_scenarios()
    made["c"] = types.SimpleNamespace()
    with pytest.raises(InternalError, match="module c"):
        found_scenarios()
