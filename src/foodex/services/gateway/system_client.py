"""The state of a system whose gateway runs in another process."""

from foodex.core.peer import Peer
from foodex.domain.system import SystemStatus


class SystemStateClient:
    """Implements `ports.system.SystemState` over HTTP."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def status(self) -> SystemStatus:
        """As it is now."""
        return await self._peer.call("GET", "/api/v1/system", type=SystemStatus)
