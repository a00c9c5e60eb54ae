"""The request being served: its id and whence it came, which travel along and into the logs."""

import random
import re
from contextvars import ContextVar
from typing import Final

_given: Final = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
_current: ContextVar[str] = ContextVar("foodex_request_id", default="")

_address: ContextVar[str] = ContextVar("foodex_address", default="")

HEADER: Final = "x-request-id"


def request_id() -> str:
    """The id of the request being served; empty outside one."""
    return _current.get()


def set_request_id(proposed: str | None) -> str:
    """Take the caller's id if it is a decent one, else make one; returns it."""
    value = proposed if proposed and _given.match(proposed) else _made_up()
    _current.set(value)
    return value


def _made_up() -> str:
    # Nobody may do anything for knowing it, so it need not be secret, only cheap and unlike others.
    return f"{random.getrandbits(64):016x}"


def address() -> str:
    """The network address that the request came from; empty outside one."""
    return _address.get()


def set_address(value: str) -> None:
    """Say where the request being served came from."""
    _address.set(value[:64])
