"""Headers that tell browsers what an answer may be used for."""

from typing import Final

from foodex.core.limits import RawHeaders
from foodex.core.settings import HttpSettings

_ALWAYS: Final[RawHeaders] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_TLS: Final = (b"strict-transport-security", b"max-age=31536000")


def usual_headers(settings: HttpSettings) -> RawHeaders:
    """What every answer carries, save what its route says of the same name.

    They fit data, which no page shows as it is and no cache keeps; pages say their own
    `content-security-policy`, and files that may be kept their own `cache-control`.
    """
    return (*_ALWAYS, _TLS) if settings.behind_tls else _ALWAYS


def page_policy(*, scripts: str = "", images: str = "", workers: str = "") -> str:
    """The `content-security-policy` of a page whose parts all come from here.

    The arguments name further sources: hashes of scripts within the page, `data:`, `blob:`.
    """
    parts = [
        "default-src 'none'",
        f"script-src 'self' {scripts}",
        # Interface libraries set styles on single elements; without scripts that steals nothing.
        "style-src 'self' 'unsafe-inline'",
        f"img-src 'self' {images}",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
    if workers:
        parts.append(f"worker-src 'self' {workers}")
    return "; ".join(part.strip() for part in parts)
