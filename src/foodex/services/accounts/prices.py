"""What a prediction costs."""

from collections.abc import Mapping

from foodex.core.errors import NotFound
from foodex.core.settings import OperationPrices
from foodex.domain.ledger import Price


class PriceList:
    """Prices by operation and model, in one currency."""

    def __init__(self, currency: str, prices: Mapping[str, OperationPrices]) -> None:
        self.currency = currency
        self._prices = {
            operation: (listed.default, dict(listed.models)) for operation, listed in prices.items()
        }
        self._made: dict[tuple[str, str | None], Price] = {}

    def of(self, operation: str, model: str | None = None) -> Price:
        """The price of one prediction; `NotFound` for an operation that is not sold."""
        made = self._made.get((operation, model))
        if made is not None:
            return made
        if operation not in self._prices:
            raise NotFound(f"There is no price for '{operation}'")
        default, models = self._prices[operation]
        price = Price(
            operation=operation,
            model=model,
            unit_minor=models.get(model or "", default),
            currency=self.currency,
        )
        # Model names come from the registry, so there are few; strangers' names are not kept.
        if len(self._made) < 1_000:
            self._made[operation, model] = price
        return price

    def listed(self) -> tuple[Price, ...]:
        """The whole list; the price without a model is that of all models not named."""
        return tuple(
            self.of(operation, model)
            for operation, (_, models) in self._prices.items()
            for model in (None, *models)
        )
