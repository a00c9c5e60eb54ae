"""What an open page asks now and then: is the dashboard there, and who is signed in by now?"""

from fastapi import APIRouter
from fastapi.responses import Response

from foodex.core.access import EVERY_ROLE, allow
from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.session import current_viewer

VIEWER = "foodex-viewer"


def router(gateway: Gateway) -> APIRouter:
    """The route; whoever is signed out is told the way to sign in, as on any page."""
    routes = APIRouter(dependencies=[allow(*EVERY_ROLE)])

    @routes.get("/session")
    async def session() -> Response:
        viewer = current_viewer()
        return Response(status_code=204, headers={VIEWER: viewer.name if viewer else ""})

    return routes
