"""Signatures as payment providers send them: HMAC-SHA256 over `TIMESTAMP.BODY`.

    foodex-signature: t=1767225600,v1=5257a869...

A header may carry several `v1`, so that a secret can be changed without a gap.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from foodex.core.errors import NotAuthenticated

HEADER: Final = "foodex-signature"

_TIME: Final = re.compile(r"t=([0-9]{1,12})")
_LONGEST: Final = 1_000


def sign(secret: str, body: bytes, at: datetime) -> str:
    """The header's value for a body sent at this instant."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_digest(secret, seconds, body)}"


def check_signature(
    secret: str, body: bytes, headers: Mapping[str, str], now: datetime, tolerance_seconds: float
) -> None:
    """Return if the body was signed with the secret, lately; `NotAuthenticated` otherwise."""
    given = headers.get(HEADER, "")
    parts = given.split(",") if len(given) <= _LONGEST and given.isascii() else []
    times = [found for part in parts if (found := _TIME.fullmatch(part.strip()))]
    digests = [part.strip()[3:] for part in parts if part.strip().startswith("v1=")]
    # All failures look alike, so that nothing is learned from trying.
    seconds = int(times[0][1]) if len(times) == 1 else 0
    expected = _digest(secret, seconds, body)
    genuine = any(hmac.compare_digest(expected, digest) for digest in digests)
    recent = abs(now.timestamp() - seconds) <= tolerance_seconds
    if not (secret and genuine and recent):
        raise NotAuthenticated("The signature is missing, wrong or too old")


def _digest(secret: str, seconds: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
