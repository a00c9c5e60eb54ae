"""The scenarios: each module here defines one, `SCENARIO`, and is found by standing here."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from foodex.core.errors import InternalError
from foodex.services.gateway.scenario import Scenario


def found_scenarios() -> Mapping[str, Scenario[Any]]:
    """Every scenario by its name.

    Raises `InternalError` for a module without one, and for two of the same name.
    """
    found: dict[str, Scenario[Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        scenario = getattr(importlib.import_module(f"{__name__}.{module.name}"), "SCENARIO", None)
        if not isinstance(scenario, Scenario):
            raise InternalError(f"The module {module.name} of scenarios defines no SCENARIO")
        if scenario.name in found:
            raise InternalError(f"Two scenarios are called '{scenario.name}'")
        found[scenario.name] = scenario
    return dict(sorted(found.items()))
