"""The state of the whole system at the public door."""

from typing import Final

from fastapi import APIRouter

from foodex.core.access import Role, allow
from foodex.domain.system import SystemStatus
from foodex.ports.system import SystemState

PATH: Final = "/system"


def router(system: SystemState) -> APIRouter:
    """The route, over the state itself or its client."""
    routes = APIRouter(tags=["system"])

    @routes.get(
        PATH,
        dependencies=[allow(Role.OPERATOR, Role.ANALYST, Role.ADMIN)],
        summary="The state of the whole system",
    )
    async def status() -> SystemStatus:
        """Every service with its version, health and how fast it answers; what stands behind the
        seams, without secrets; how much there is to do; which models answer."""
        return await system.status()

    return routes
