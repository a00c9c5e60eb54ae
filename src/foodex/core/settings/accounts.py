"""Settings of accounts: prices, people, sessions, payments."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, SecretStr

from foodex.core.settings.base import Count, Group, Positive


class OperationPrices(Group):
    default: Annotated[int, Field(ge=0)] = Field(
        description="Price of one prediction in minor units."
    )
    models: Mapping[str, Annotated[int, Field(ge=0)]] = Field(
        {}, description="Prices of single models, by name, where they differ."
    )


class AccountsSettings(Group):
    url: str = Field("", description="Address of the accounts service; empty: in this process.")
    currency: str = Field(
        "EUR", pattern="^[A-Z]{3}$", description="Currency of prices and of new accounts."
    )
    prices: Mapping[str, OperationPrices] = Field(
        default_factory=lambda: {
            "eta": OperationPrices(default=2),
            "eta_batch": OperationPrices(default=1),
        },
        description="Price list by operation; an operation that is not in it cannot be bought.",
    )
    top_up_least_minor: Count = Field(100, description="Smallest payment, in minor units.")
    top_up_most_minor: Count = Field(10_000_000, description="Largest payment, in minor units.")
    retention_days: Count = Field(
        90, description="Days that bodies of paid predictions are kept; ledger entries stay."
    )
    waiting: Count = Field(
        4_096, description="Most paid predictions that may wait to be committed; others get a 503."
    )
    batch: Count = Field(256, description="Most paid predictions in one commit.")
    commit_seconds: Positive = Field(10.0, description="Longest a commit may take.")
    page_rows: Count = Field(1_000, description="Most entries or predictions in one page.")
    signing_keys: str = Field(
        "{state}/signing-keys.json",
        description="File of the keys that sign access tokens. The first start on a laptop makes "
        "it; elsewhere it must be there.",
    )
    payments_url: str = Field(
        "local://",
        description="Payment provider; `local://` is one in this process, for demonstration.",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret shared with the payment provider, who signs with it. If it is empty, "
        "the first start on a laptop writes one into the state folder; elsewhere it must be set.",
    )
    webhook_tolerance_seconds: Positive = Field(
        300.0, description="How old a payment provider's signature may be."
    )
    registration: bool = Field(
        True, description="Whether people may register; else admins create them."
    )
    registrations_per_address: Count = Field(
        20, description="Most registrations from one address in an hour."
    )
    access_token_seconds: Count = Field(300, description="How long an access token is good for.")
    refresh_token_seconds: Count = Field(
        30 * 86_400, description="A session ends when it is not refreshed for so long."
    )
    session_seconds: Count = Field(
        90 * 86_400, description="A session ends after so long, however often it is refreshed."
    )
    refresh_grace_seconds: Annotated[int, Field(ge=0)] = Field(
        10,
        description="A refresh token used again within so long is refused; later, its session is "
        "ended as stolen.",
    )
    password_least: Annotated[int, Field(ge=8, le=64)] = Field(
        10, description="Fewest characters of a password."
    )
    argon2_memory_kib: Annotated[int, Field(ge=8)] = Field(
        32 * 1024, description="Memory that hashing a password takes (argon2id)."
    )
    argon2_passes: Count = Field(3, description="Passes over that memory.")
    argon2_at_once: Count = Field(2, description="Passwords hashed at once, each in a thread.")
    argon2_waiting: Count = Field(
        32, description="Most passwords that wait to be hashed; others get a 503."
    )
    guesses_per_name_and_address: Count = Field(
        5, description="Wrong passwords for one name from one address before both are held off."
    )
    guesses_per_name: Count = Field(
        50, description="Wrong passwords for one name from anywhere before it is held off."
    )
    guesses_per_address: Count = Field(
        50, description="Wrong passwords from one address before it is held off."
    )
    guess_window_seconds: Count = Field(
        900, description="How long wrong passwords count, and guessers are held off at most."
    )
    keys_per_person: Count = Field(50, description="Most keys of one person, revoked ones aside.")
    key_last_use_seconds: Positive = Field(
        10.0, description="How often the last use of keys is written down."
    )
    revoked_within_seconds: Positive = Field(
        1.0,
        description="How soon keys, sessions and rights that are taken away stop working in every "
        "process; a gateway asks after changes twice as often.",
    )
    audit_failures_per_minute: Count = Field(
        600, description="Most failed sign-ins written to the audit log in a minute."
    )
