"""Links to files that need no sign-in and expire: signed, and kept nowhere."""

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

from foodex.core.errors import NotFound

_PURPOSE: Final = b"foodex link to a job's file\0"


class Links:
    """Signs links and reads them, with the secret that all processes of a system share."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)

    def __repr__(self) -> str:
        return "Links(secret=***)"

    def token(self, job_id: str, name: str, expires_at: datetime) -> str:
        """The token that leads to a file until it expires."""
        text = f"{job_id}/{name}/{int(expires_at.timestamp())}".encode()
        signature = hmac.digest(self._key, text, hashlib.sha256)[:16]
        return base64.urlsafe_b64encode(signature + text).rstrip(b"=").decode()

    def read(self, token: str, now: datetime) -> tuple[str, str]:
        """The job and the file's name; `NotFound` for a token expired or made up."""
        try:
            decoded = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            signature, text = decoded[:16], decoded[16:]
            wanted = hmac.digest(self._key, text, hashlib.sha256)[:16]
            if not hmac.compare_digest(signature, wanted):
                raise _nothing()
            job_id, name, until = text.decode().split("/")
        except (binascii.Error, ValueError):
            raise _nothing() from None
        if datetime.fromtimestamp(int(until), UTC) <= now:
            raise NotFound("This link has expired")
        return job_id, name


def _nothing() -> NotFound:
    return NotFound("This link leads nowhere")
