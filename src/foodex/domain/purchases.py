"""Paid predictions: what is asked, what is answered, and what is kept of both."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from foodex.domain.ledger import Price


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and all it was made from, so that it can be made again bit for bit.

    `features` are the encoded rows (float64, little-endian, C order); `inputs` (JSON) is whatever
    else went in that changes with time, such as the live calibration's offsets.
    """

    answer: bytes
    model: str | None = None
    version: int | None = None
    features: bytes | None = None
    inputs: bytes | None = None


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a paid prediction.

    `order` is the body as it was sent. `fingerprint` tells two bodies under one
    `idempotency_key` apart; by default it is the order's SHA-256. Without an `answer` it only gets
    the one that was recorded under its key. `id` is given when the purchase is made.
    """

    account: str
    who: str
    order: bytes
    key_id: str = ""
    operation: str = "eta"
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    answer: Answer | None = None
    id: str = ""

    def told_apart_by(self) -> bytes:
        """The fingerprint."""
        return self.fingerprint or hashlib.sha256(self.order).digest()


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase with its answer and its price: what one row of a batch is."""

    purchase: Purchase
    answer: Answer
    price: Price


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction that is charged and recorded; `replayed` if that was done before.

    `balance_minor` is what was left just after the charge.
    """

    prediction_id: str
    answer: bytes
    price_minor: int
    currency: str
    balance_minor: int
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A paid prediction as recorded; its bodies are None once their retention has passed."""

    id: str
    account: str
    entry_number: int
    key_id: str
    at: datetime
    operation: str
    model: str | None
    version: int | None
    price_minor: int
    currency: str
    order: bytes | None = None
    features: bytes | None = None
    inputs: bytes | None = None
    answer: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFilter:
    """Which predictions: of this model, made with this key, from `since` on, before `until`."""

    model: str | None = None
    key_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERY_PREDICTION: Final = PredictionFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsPage:
    """Some predictions without bodies, newest first; `next_before` is the next page's cursor."""

    predictions: tuple[Prediction, ...]
    next_before: int | None = None


def new_id(at: datetime) -> str:
    """A new prediction's id: 32 hexadecimal digits whose order is that of time."""
    return new_ids(at, 1)[0]


def new_ids(at: datetime, count: int) -> list[str]:
    """As `new_id`, for predictions that are made together."""
    time, chance = first_id(at), secrets.token_hex(10 * count)
    return [time + chance[start : start + 20] for start in range(0, len(chance), 20)]


def first_id(at: datetime) -> str:
    """Ids made before this instant are smaller than this, those made later are not."""
    return f"{int(at.timestamp() * 1000):012x}"
