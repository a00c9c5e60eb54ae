"""Every kind of background job of a system, from whoever has some."""

from collections.abc import Mapping

from foodex.core.clock import SystemClock
from foodex.core.settings import Settings
from foodex.ports.accounts import Accounts
from foodex.ports.collector import Collector
from foodex.ports.jobs import Kind
from foodex.ports.ml import Ml
from foodex.ports.storage import Storage
from foodex.services.collector.orders import examine_orders, read_orders
from foodex.services.gateway.kinds.following import following_kinds
from foodex.services.gateway.kinds.predicting import NAME, FileFunctions, Predicting
from foodex.services.gateway.scenario import Ports
from foodex.services.gateway.scenario_runs import scenario_kinds
from foodex.services.ml.scoring import load_kit


def all_kinds(
    settings: Settings, *, storage: Storage, collector: Collector, ml: Ml, accounts: Accounts
) -> Mapping[str, Kind]:
    """The kinds by name; whoever takes jobs on must know the same ones as whoever does them."""
    predicting = Predicting(
        storage=storage,
        collector=collector,
        ml=ml,
        accounts=accounts,
        functions=FileFunctions(read=read_orders, examine=examine_orders, scorer=load_kit),
        settings=settings.batches,
        clock=SystemClock(),
    )
    basic = joined(following_kinds(ml, collector), {NAME: predicting.kind()})
    ports = Ports(
        ml=ml,
        collector=collector,
        storage=storage,
        accounts=accounts,
        clock=SystemClock(),
        settings=settings,
        kinds=basic,
    )
    return joined(basic, scenario_kinds(ports))


def joined(*parts: Mapping[str, Kind]) -> Mapping[str, Kind]:
    """One mapping of several; ValueError where two kinds have one name."""
    found: dict[str, Kind] = {}
    for part in parts:
        if twice := found.keys() & part.keys():
            raise ValueError(f"Two kinds of job are called {', '.join(sorted(twice))}")
        found |= part
    return found
