"""The state folder: made for its owner alone, with the secrets that this system makes up itself."""

import errno
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from foodex.core.errors import InvalidInput
from foodex.core.settings import Settings, Stage

KEY_FILE: Final = "key"
WEBHOOK_FILE: Final = "webhook-secret"


def prepare_state(settings: Settings) -> str:
    """Make the state folder, readable by its owner alone, and give the key of this system.

    Outside the laptop stage a key must be set: one made up by a single process would be known to
    no other. Raises `InvalidInput` where the folder cannot be made, written to or read.
    """
    key = settings.security.key.get_secret_value()
    if not key and settings.stage is not Stage.MVP:
        raise InvalidInput(
            f"The stage '{settings.stage}' needs the setting security.key "
            "(FOODEX_SECURITY__KEY, or a mounted file security__key)"
        )
    folder = settings.state_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return key or kept_secret(folder / KEY_FILE)
    except OSError as error:
        raise InvalidInput(
            f"The state folder {folder} cannot be used ({error.strerror}); choose another with "
            "--state or FOODEX_STATE_DIR"
        ) from None


def webhook_secret(settings: Settings) -> str:
    """The secret that the payment provider signs with; `InvalidInput` where it must be set."""
    secret = settings.accounts.webhook_secret.get_secret_value()
    if not secret and settings.stage is not Stage.MVP:
        raise InvalidInput(
            f"The stage '{settings.stage}' needs the setting accounts.webhook_secret "
            "(FOODEX_ACCOUNTS__WEBHOOK_SECRET, or a mounted file accounts__webhook_secret)"
        )
    return secret or kept_secret(settings.state_dir / WEBHOOK_FILE)


def kept_secret(path: Path) -> str:
    """The secret in this file, which is made where there is none, readable to its owner alone."""
    if not path.exists():
        # Whole or not at all, and the first of several that start at once decides.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}-") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            with suppress(FileExistsError):
                path.hardlink_to(file.name)
    return path.read_text().strip()
