"""The options that many commands share, and the system they lead to."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
import typer

if TYPE_CHECKING:
    from foodex.bootstrap import System
    from foodex.core.settings import Settings

T = TypeVar("T")

State = Annotated[
    Path | None,
    typer.Option("--state", help="The state folder (or FOODEX_STATE_DIR).", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

RUNNING_FILE: Final = "running.json"


class Running(msgspec.Struct, frozen=True):
    """Where the FoodEx that holds a state folder answers."""

    url: str
    pid: int


def settings_for(state: Path | None, **overrides: Any) -> "Settings":
    """The settings, with the state folder that was asked for."""
    from foodex.core.settings import load_settings

    if state is not None:
        overrides["state_dir"] = str(state)
    return load_settings(overrides=overrides)


@asynccontextmanager
async def system_for(settings: "Settings", *, work: bool = False) -> AsyncIterator["System"]:
    """The system of a state folder: the one that runs there, or else one in this process.

    With `work`, one in this process does background jobs too.
    """
    # Late: commands that only look at settings or files need none of it.
    from foodex.bootstrap import compose, connect

    running = find_running(settings)
    if running is None:
        async with compose(settings, work=work) as system:
            yield system
    else:
        async with connect(settings, running.url) as system:
            yield system


def find_running(settings: "Settings") -> Running | None:
    """The FoodEx that runs with this state folder, if there is one."""
    try:
        found = msgspec.json.decode((settings.state_dir / RUNNING_FILE).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return found


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine to its end; of the logs only what went wrong is shown."""
    from foodex.core.settings import LogSettings
    from foodex.core.telemetry import configure_logging

    configure_logging(LogSettings(level="error"))
    return asyncio.run(main())
