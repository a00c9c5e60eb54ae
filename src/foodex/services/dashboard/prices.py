"""Who pays for forecasts, what they cost, and which models may be asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from foodex.core.access import Role
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.navigation import STAFF
from foodex.services.dashboard.session import current_viewer

ONE: Final = "eta"
OF_FILES: Final = "eta_batch"

Prices = Sequence[Mapping[str, Any]]


def pays() -> bool:
    """Whether whoever looks pays for forecasts: clients do, the house does not."""
    viewer = current_viewer()
    return viewer is not None and viewer.account is not None and viewer.may(Role.CLIENT)


async def prices_of(gateway: Gateway, operation: str) -> Prices:
    """The price list of one operation; the price without a model is that of all not named."""
    return [one for one in await gateway.get("/accounts/prices") if one["operation"] == operation]


async def known_models(gateway: Gateway) -> list[str]:
    """The names of all models, for the house; of clients nobody tells them."""
    viewer = current_viewer()
    if viewer is None or not viewer.may(*STAFF):
        return []
    return [one["name"] for one in await gateway.get("/ml/models")]


def choices(models: Sequence[str], prices: Prices) -> list[str]:
    """The models that may be asked by name: those known, and those that have a price."""
    return sorted({*models, *(one["model"] for one in prices if one["model"])})
