"""Where the accounts service's routes are."""

from typing import Final
from urllib.parse import quote

HERE: Final = "/api/v1/accounts"


def of(*parts: str) -> str:
    """The path to something by its name."""
    return "/".join((HERE, *(quote(part, safe="") for part in parts)))


def system(what: str) -> str:
    """The path of a route for services alone."""
    return f"{HERE}/system/{what}"
