"""Access tokens: short-lived, signed with Ed25519, and verified with nothing but public keys.

A token says which session it belongs to and until when it is good. What its person may do is not
in it: that is asked for, so that it can be taken away.
"""

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, OKPKey

from foodex.core.errors import FieldProblem, InvalidInput, NotAuthenticated
from foodex.core.settings import Stage
from foodex.domain.people import TokenKey

ALGORITHM: Final = "Ed25519"
ISSUER: Final = "foodex"
AUDIENCE: Final = "foodex-api"
TYPE: Final = "at+jwt"
LEEWAY_SECONDS: Final = 5
"""How far the clocks of two machines may differ."""
MOST_CHARACTERS: Final = 2_048
KEPT_KEYS: Final = 3
"""Keys in the file: the one that signs, and the last ones, whose tokens may still be about."""

NOT_VALID: Final = "These credentials are not valid"
"""All that is told of credentials that open nothing, whatever is wrong with them."""


class UnknownKey(Exception):
    """The token names a key that is not among those known here."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: its session, and until when it is good."""

    session: str
    until: datetime


class SigningKeys:
    """The private keys of access tokens: the first signs, all verify."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[OKPKey]) -> None:
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"SigningKeys({', '.join(str(key.kid) for key in self._keys)})"

    def sign(self, *, person: str, session: str, now: datetime, seconds: int) -> str:
        """An access token for a session."""
        at = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": person,
            "sid": session,
            "iat": at,
            "nbf": at,
            "exp": at + seconds,
            "jti": secrets.token_urlsafe(9),
        }
        key = self._keys[0]
        header = {"alg": ALGORITHM, "kid": str(key.kid)}
        return jwt.encode(header, claims, key, algorithms=[ALGORITHM], default_type=TYPE)

    def public(self) -> tuple[TokenKey, ...]:
        """What verifies these keys' tokens."""
        return tuple(
            TokenKey(kid=str(key.kid), x=str(key.as_dict(private=False)["x"])) for key in self._keys
        )


class TokenVerifier:
    """Tells a genuine token from all others; every reason to refuse one reads the same."""

    def __init__(self, keys: Iterable[TokenKey]) -> None:
        self._keys = KeySet(
            [
                OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key.x, "kid": key.kid})
                for key in keys
            ]
        )

    def verify(self, token: str, now: datetime) -> Claims:
        """What a genuine token says; `UnknownKey` if its key is not here, `NotAuthenticated`."""
        if len(token) > MOST_CHARACTERS or not token.isascii():
            raise NotAuthenticated(NOT_VALID)
        try:
            read = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
            self._rules(now).validate(read.claims)
        except InvalidKeyIdError:
            raise UnknownKey from None
        except (JoseError, ValueError):
            raise NotAuthenticated(NOT_VALID) from None
        header, claims = read.header, read.claims
        if set(header) != {"alg", "kid", "typ"} or header["typ"] != TYPE:
            raise NotAuthenticated(NOT_VALID)
        return Claims(session=str(claims["sid"]), until=_time(claims["exp"]))

    @staticmethod
    def _rules(now: datetime) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            sid={"essential": True},
            exp={"essential": True},
            nbf={"essential": True},
        )


def looks_like_a_token(text: str) -> bool:
    """Whether this has the form of a token; it may still be anybody's."""
    return text.startswith("eyJ") and text.count(".") == 2


def load_or_create_signing_keys(path: Path, *, stage: Stage = Stage.MVP) -> SigningKeys:
    """The keys in this file, which is made where there is none, readable to its owner alone.

    Raises `InvalidInput` where it cannot be read, and, outside the laptop stage, where it is not
    there: each process would make its own.
    """
    if not path.exists():
        if stage is not Stage.MVP:
            problem = FieldProblem(str(path), "is not there; mount the same file in each process")
            raise InvalidInput("There are no keys to sign tokens with", problems=[problem])
        _write([_new_key()], path, replace=False)
    try:
        read = json.loads(path.read_text())["keys"]
        keys = [OKPKey.import_key(key) for key in read]
        usable = bool(keys) and all(
            key.is_private and key.curve_name == "Ed25519" and key.kid for key in keys
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
        raise _unusable(path) from error
    if not usable:
        raise _unusable(path)
    return SigningKeys(keys)


def rotate_signing_keys(path: Path) -> SigningKeys:
    """Sign with a new key from the next start on; tokens of the last ones stay good."""
    old = load_or_create_signing_keys(path, stage=Stage.PRODUCTION)
    keys = [_new_key(), *old._keys][:KEPT_KEYS]
    _write(keys, path, replace=True)
    return SigningKeys(keys)


def _new_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": secrets.token_hex(8)})


def _write(keys: Iterable[OKPKey], path: Path, *, replace: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    body: dict[str, Any] = {"keys": [key.as_dict(private=True) for key in keys]}
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w") as stream:
            json.dump(body, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            draft.replace(path)
        else:
            _link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> None:
    # Of two that start at once the first makes the file, and both read it.
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds + LEEWAY_SECONDS)


def _unusable(path: Path) -> InvalidInput:
    problem = FieldProblem(str(path), "must be a JSON Web Key Set of private Ed25519 keys")
    return InvalidInput("The keys that sign tokens cannot be used", problems=[problem])
