"""How a route is asked for something that moves: at once, or once there is news of it."""

from typing import Annotated

from fastapi import Query

Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for something new.")]
Seen = Annotated[float, Query(description="The progress already known; waiting ends beyond it.")]
