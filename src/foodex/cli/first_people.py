"""The first people of a new system: an admin, and a client with something to spend."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foodex.bootstrap import System, kept_secret
from foodex.core.access import Role
from foodex.core.errors import Conflict
from foodex.core.settings import Settings

ADMIN: Final = "demo-admin"
CLIENT: Final = "demo-client"
BALANCE_MINOR: Final = 10_000
"""What the demonstration's client begins with."""
REFERENCE: Final = "demonstration"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """Somebody made at this start, and the file that has their password."""

    name: str
    role: Role
    password: str
    file: Path


async def make_first_people(
    system: System, settings: Settings, *, demo: bool
) -> tuple[NewAccount, ...]:
    """Make an admin where there is nobody, and with `demo` a client; tells whom it made.

    What an earlier start began and did not finish is taken up again; once somebody else is there,
    nobody is made any more.
    """
    page = await system.accounts.people(limit=3)
    there = {person.name: person for person in page.people}
    if not there.keys() <= {ADMIN, CLIENT}:
        return ()
    made = []
    for name, role in ((ADMIN, Role.ADMIN), (CLIENT, Role.CLIENT)):
        if role is Role.CLIENT and not demo:
            continue
        if name not in there and (one := await _make(system, settings, name, role)) is not None:
            made.append(one)
        if role is Role.CLIENT:
            # Its account has something in it, however often this is begun.
            await system.accounts.top_up(
                name, BALANCE_MINOR, reference=REFERENCE, note="to try predictions with"
            )
    return tuple(made)


async def _make(system: System, settings: Settings, name: str, role: Role) -> NewAccount | None:
    file = settings.state_dir / f"{name}.password"
    # The file first: a person whose password is nowhere could not be helped by a second start.
    password = kept_secret(file)
    try:
        await system.accounts.create_person(name, (role,), password)
    except Conflict:
        # Another process that starts on this database was quicker, with a password of its own.
        file.unlink(missing_ok=True)
        return None
    return NewAccount(name, role, password, file)
