"""Who is refused what they may not do is written down."""

from contextlib import suppress

from fastapi import FastAPI, Request, Response

from foodex.core.access import who
from foodex.core.errors import FoodexError, Forbidden
from foodex.core.http import problem_response
from foodex.core.lane import Refused
from foodex.ports.accounts import Refusals


def teller(refusals: Refusals) -> Refused:
    """Tells `refusals` and goes on whether or not it can be written down."""

    async def tell(person: str, what: str, about: str) -> None:
        with suppress(FoodexError):
            await refusals.tell_refused(person, what, about)

    return tell


def tell_of_refusals(app: FastAPI, refusals: Refusals) -> None:
    """Have every `Forbidden` of the app's routes told to `refusals`, besides to the caller."""
    tell = teller(refusals)

    async def on_forbidden(request: Request, error: Exception) -> Response:
        assert isinstance(error, Forbidden)
        route = request.scope.get("route")
        # Counted by the route, so that names in a path cannot fill the log.
        what = f"{request.method} {getattr(route, 'path_format', '-')}"
        await tell(who(), what, request.url.path)
        return problem_response(error)

    app.add_exception_handler(Forbidden, on_forbidden)
