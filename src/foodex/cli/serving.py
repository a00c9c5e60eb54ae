"""Running FoodEx until it is told to stop: the bodies of `up` and `serve`."""

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import uvloop

from foodex.bootstrap import KEY_FILE, compose, single_app, whole_app
from foodex.cli import demonstration, output
from foodex.cli.first_people import NewAccount, make_first_people
from foodex.cli.options import RUNNING_FILE, Running
from foodex.core import memory
from foodex.core.serving import serve
from foodex.core.settings import Settings
from foodex.core.telemetry import configure_logging

_ORDER: Final = '{"distance_km": 2.4, "items": 3}'


def run_up(settings: Settings, *, demo: bool) -> None:
    """Run all services in this process."""
    configure_logging(settings.log)

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        async with compose(settings, work=True) as system:
            made = await make_first_people(system, settings, demo=demo)
            if demo and settings.city.demonstration:
                await demonstration.demonstrate(system, settings)
                await demonstration.leave_batch(system)
            app = whole_app(system, settings=settings.http)
            async with serve(app, host=settings.http.host, port=settings.http.port) as url:
                stopped = _stop_signals()
                order = demonstration.ORDER if await demonstration.is_shown(system) else _ORDER
                _welcome(settings, url, order, asyncio.get_running_loop().time() - began)
                _introduce(made)
                # Last: whoever reads the note may count on the welcome and on a tidy stop.
                with _announced(settings, url):
                    await stopped.wait()
            output.err().print("Stopping …")

    _run_served(main)


def run_service(name: str, settings: Settings) -> None:
    """Run one service."""
    configure_logging(settings.log)

    async def main() -> None:
        async with (
            single_app(name, settings) as app,
            serve(app, host=settings.http.host, port=settings.http.port) as url,
        ):
            stopped = _stop_signals()
            output.err().print(f"[bold]{name}[/] answers at {url}")
            await stopped.wait()

    _run_served(main)


def _run_served(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _stop_signals() -> asyncio.Event:
    """Set once this process is asked to stop; from here on it ends tidily."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    memory.settle()
    return stopped


@contextmanager
def _announced(settings: Settings, url: str) -> Iterator[None]:
    """While in the block, the state folder tells other commands where this process answers."""
    path = settings.state_dir / RUNNING_FILE
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(Running(url=url, pid=os.getpid())))
    temporary.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _welcome(settings: Settings, url: str, order: str, seconds: float) -> None:
    console = output.err()
    key_path = settings.state_dir / KEY_FILE
    console.print()
    console.print(
        f"  [bold green]FoodEx is up[/] [dim]({seconds:.1f} s, stage {settings.stage})[/]"
    )
    console.print()
    console.print(f"  the dashboard               [bold]{url}[/]")
    console.print(f"  the API's documentation     {url}/docs")
    console.print(f"  the key of this system      {key_path}")
    console.print()
    console.print("  Ask how long an order will take:")
    console.print()
    console.print(
        f'  curl -s {url}/api/v1/eta -H "Authorization: Bearer $(cat {key_path})" \\\n'
        f"       -d '{order}'",
        style="cyan",
        markup=False,
        soft_wrap=True,
    )


def _introduce(made: Collection[NewAccount]) -> None:
    console = output.err()
    console.print()
    for one in made:
        console.print(f"  sign in as the {one.role}", end=": ")
        console.print(f"{one.name}  {one.password}", style="bold", markup=False, end="")
        console.print(f"   [dim]told this once; kept in {one.file}[/]", soft_wrap=True)
    if made:
        console.print()
    console.print("  [dim]Ctrl-C stops it; everything is kept.[/]")
