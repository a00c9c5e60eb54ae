"""What an object may be called."""

import re
from typing import Final

from foodex.core.errors import FieldProblem, InvalidInput

MAX_KEY_BYTES: Final = 512
_WRONG: Final = re.compile(r"(^|/)\.{1,2}(/|$)|^/|/$|//|^$|[\x00-\x1f\x7f\\]|^\.uploads(/|$)|#\d+$")


def check_key(key: str) -> None:
    """Pass a key that an object may have; `InvalidInput` says why another may not.

    A key is a relative path in UTF-8. `.uploads/` is where uploads lie until they are whole, and
    an ending of `#` and digits is what some stores call theirs.
    """
    why = None
    try:
        if len(key.encode()) > MAX_KEY_BYTES:
            why = f"is longer than {MAX_KEY_BYTES} bytes"
    except UnicodeEncodeError:
        why = "is not a text"
    if why is None and _WRONG.search(key):
        why = "is not a relative path without '.', '..', empty parts, backslashes or control signs"
    if why:
        raise InvalidInput("This cannot be an object's key", problems=[FieldProblem("key", why)])
