"""Promise policies from the settings: one for all, and one for each zone that differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from foodex.core.settings import PromiseSettings
from foodex.domain.promises import PromisePolicy


@dataclass(frozen=True)
class Policies:
    """The standard policy, and those of single zones by the order's `city`."""

    standard: PromisePolicy = field(default_factory=PromisePolicy)
    zones: Mapping[str, PromisePolicy] = field(default_factory=dict)

    @classmethod
    def of(
        cls, promise: PromiseSettings, zones: Mapping[str, PromiseSettings] | None = None
    ) -> "Policies":
        """From the settings; what a zone does not set is as in `promise`.

        Raises:
            InvalidInput: a policy that makes no sense.
        """
        return cls(
            PromisePolicy(**promise.model_dump()),
            {
                name: PromisePolicy(
                    name=name, **(promise.model_dump() | zone.model_dump(exclude_unset=True))
                )
                for name, zone in (zones or {}).items()
            },
        )

    def of_city(self, city: str | None) -> PromisePolicy:
        """The policy for an order of this city."""
        return self.zones.get(city, self.standard) if city else self.standard
