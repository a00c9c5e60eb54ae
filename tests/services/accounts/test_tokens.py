"""Access tokens: genuine ones are read, all others are refused."""

import base64
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import OctKey, OKPKey

from foodex.core.errors import InvalidInput, NotAuthenticated
from foodex.core.settings import Stage
from foodex.services.accounts.tokens import (
    AUDIENCE,
    ISSUER,
    TYPE,
    SigningKeys,
    TokenVerifier,
    UnknownKey,
    load_or_create_signing_keys,
    rotate_signing_keys,
)

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
KEY = OKPKey.generate_key("Ed25519", {"kid": "k1"})
SIGNING = SigningKeys([KEY])
VERIFIER = TokenVerifier(SIGNING.public())
TOKEN = SIGNING.sign(person="ada", session="s1", now=NOW, seconds=300)
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "ada",
    "sid": "s1",
    "nbf": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
}


def refused(token: str, now: datetime = NOW) -> None:
    with pytest.raises((NotAuthenticated, UnknownKey)):
        VERIFIER.verify(token, now)


def signed(claims: dict[str, Any], **header: str) -> str:
    header = {"alg": "Ed25519", "kid": "k1", "typ": TYPE, **header}
    return jwt.encode(header, claims, KEY, algorithms=["Ed25519"])


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_genuine_token_is_read() -> None:
    claims = VERIFIER.verify(TOKEN, NOW)
    assert claims.session == "s1"
    assert claims.until == NOW + timedelta(seconds=305)
    assert VERIFIER.verify(signed(CLAIMS), NOW).session == "s1"


@pytest.mark.parametrize("seconds", [-6, 305, 100_000])
def test_too_early_and_too_late_are_refused(seconds: int) -> None:
    refused(TOKEN, NOW + timedelta(seconds=seconds))


def test_it_is_good_until_the_last_second() -> None:
    VERIFIER.verify(TOKEN, NOW + timedelta(seconds=304))


@given(st.data())
def test_any_bit_flipped_is_refused(data: st.DataObject) -> None:
    raw = bytearray(TOKEN.encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    refused(raw.decode("latin-1"))


def test_every_bit_of_the_signatures_end_counts() -> None:
    for sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        if sign != TOKEN[-1]:
            refused(TOKEN[:-1] + sign)


@given(st.text() | st.from_regex(r"eyJ[\w.=-]*", fullmatch=True) | st.binary().map(bytes.hex))
def test_anything_else_is_refused(text: str) -> None:
    refused(text)


@given(st.text(), st.text(), st.text())
def test_anything_in_three_parts_is_refused(one: str, two: str, three: str) -> None:
    refused(f"{one}.{two}.{three}")
    refused(f"{part(one)}.{part(two)}.{part(three)}")
    refused(f"{part({'alg': one, 'kid': two})}.{part({'sub': three})}.")


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"aud": ["other"]},
        {"exp": "never"},
        {"exp": None},
        {"nbf": int(NOW.timestamp()) + 60},
        {"iss": None},
        {"aud": None},
        {"sid": None},
        {"sub": None},
        {"nbf": None},
        {"exp": float("nan")},
    ],
)
def test_a_wrong_or_missing_claim_is_refused(change: dict[str, Any]) -> None:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not None}
    refused(signed(claims))


def test_another_use_of_the_same_key_is_refused() -> None:
    refused(signed(CLAIMS, typ="JWT"))
    refused(signed(CLAIMS, cty="x"))
    refused(
        jws.serialize_compact({"alg": "Ed25519", "kid": "k1", "typ": TYPE}, b"[]", KEY, ["Ed25519"])
    )


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "EdDSA", "RS256"])
def test_another_algorithm_is_refused(alg: str) -> None:
    signature = TOKEN.rpartition(".")[2]
    for ending in ("", signature):
        refused(f"{part({'alg': alg, 'kid': 'k1', 'typ': TYPE})}.{part(CLAIMS)}.{ending}")


def test_the_public_key_is_no_secret_to_sign_with() -> None:
    public = base64.urlsafe_b64decode(SIGNING.public()[0].x + "=")
    for secret in (public, SIGNING.public()[0].x.encode()):
        forged = jwt.encode(
            {"alg": "HS256", "kid": "k1"}, CLAIMS, OctKey.import_key(secret), default_type=TYPE
        )
        refused(forged)


def test_a_strangers_key_is_refused() -> None:
    stranger = OKPKey.generate_key("Ed25519", {"kid": "k1"})
    refused(SigningKeys([stranger]).sign(person="ada", session="s1", now=NOW, seconds=300))
    other = OKPKey.generate_key("Ed25519", {"kid": "k2"})
    token = SigningKeys([other]).sign(person="ada", session="s1", now=NOW, seconds=300)
    with pytest.raises(UnknownKey):
        VERIFIER.verify(token, NOW)
    # Nor does a token bring its own key along.
    header = {"alg": "Ed25519", "kid": "k1", "typ": TYPE, "jwk": stranger.as_dict(private=False)}
    refused(jwt.encode(header, CLAIMS, stranger, algorithms=["Ed25519"]))


def test_a_verifier_without_keys_knows_none() -> None:
    with pytest.raises(UnknownKey):
        TokenVerifier(()).verify(TOKEN, NOW)


def test_keys_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "signing.json"
    with pytest.raises(InvalidInput, match="mount the same file"):
        load_or_create_signing_keys(path, stage=Stage.PARTNER)
    made = load_or_create_signing_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = load_or_create_signing_keys(path, stage=Stage.PRODUCTION)
    assert again.public() == made.public()
    assert [file.name for file in path.parent.iterdir()] == ["signing.json"]
    private = json.loads(path.read_text())["keys"][0]["d"]
    assert private not in repr(made)


def test_tokens_of_the_last_keys_stay_good(tmp_path: Path) -> None:
    path = tmp_path / "signing.json"
    keys = load_or_create_signing_keys(path)
    tokens = [keys.sign(person="ada", session="s1", now=NOW, seconds=300)]
    for _ in range(3):
        keys = rotate_signing_keys(path)
        assert keys.public() == load_or_create_signing_keys(path).public()
        tokens.append(keys.sign(person="ada", session="s1", now=NOW, seconds=300))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    verifier = TokenVerifier(keys.public())
    for token in tokens[1:]:
        verifier.verify(token, NOW)
    with pytest.raises(UnknownKey):
        verifier.verify(tokens[0], NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"keys": []}',
        '{"keys": [{}]}',
        '{"keys": 3}',
        '{"keys": ["x"]}',
        json.dumps({"keys": [KEY.as_dict(private=False)]}),
        json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]}),
        json.dumps({"keys": [OKPKey.generate_key("X25519", {"kid": "x"}).as_dict(private=True)]}),
    ],
    ids=range(10),
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "signing.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="Ed25519"):
        load_or_create_signing_keys(path)
