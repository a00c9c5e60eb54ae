"""What the gateway knows of the whole system."""

from typing import Protocol

from foodex.domain.system import SystemStatus


class SystemState(Protocol):
    """Looks at every service and at what stands behind the seams."""

    async def status(self) -> SystemStatus:
        """As it is now; a part that does not answer is told of, and raises nothing."""
        ...
