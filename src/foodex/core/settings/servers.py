"""Settings of what stands around the services: the network, servers, secrets."""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from foodex.core.settings.base import Count, Group, Port, Positive


class HttpSettings(Group):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(8080, description="Port to listen on; 0 takes a free one.")
    max_body_bytes: Count = Field(
        16 << 20, description="Largest body taken; files have limits of their own."
    )
    check_seconds: Positive = Field(5.0, description="Longest a readiness check may take.")
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses or networks (`10.0.0.0/8`) of the proxies before this door, whose "
        "`x-forwarded-for` is believed; from others it is not.",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="Origins (`https://shop.example`) whose pages may call the API from a browser.",
    )
    behind_tls: bool = Field(
        False,
        description="Whether callers come over TLS; browsers are then told to come by HTTPS alone.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ip_network(proxy, strict=False)
        return proxies

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^/*\s]+", origin):
                raise ValueError(f"'{origin}' is no origin such as https://shop.example")
        return origins


class LimitsSettings(Group):
    key_per_minute: Annotated[int, Field(ge=0)] = Field(
        6_000,
        description="Most requests with one API key, or of one signed-in person, in a minute; 0 "
        "is no limit. The system's own key has none.",
    )
    address_per_minute: Annotated[int, Field(ge=0)] = Field(
        600,
        description="Most requests without a key, or with a wrong one, from one address in a "
        "minute; 0 is no limit.",
    )
    url: SecretStr = Field(
        SecretStr("memory://"),
        description="Where requests are counted: `memory://` by each process for itself, or "
        "`redis://HOST:PORT/NUMBER` by several together.",
    )
    settle_seconds: Positive = Field(
        0.1, description="How often several processes add up their counts."
    )


class LogSettings(Group):
    level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level.")
    format: str = Field(
        "auto",
        pattern="^(auto|text|json)$",
        description="`json` for servers, `text` for people, `auto`: text on a terminal.",
    )


class DatabaseSettings(Group):
    url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///{state}/foodex.db"),
        description="`sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://USER:PASSWORD@HOST/NAME`.",
    )
    pool_size: Count = Field(10, description="Connections kept per process (PostgreSQL).")


class WarehouseSettings(Group):
    url: SecretStr = Field(
        SecretStr("chdb://{state}/warehouse"),
        description="`chdb:///PATH` in this process, or `clickhouse://USER:PASSWORD@HOST:PORT/DB`.",
    )


class ObjectsSettings(Group):
    url: str = Field(
        "file://{state}/objects", description="`file:///PATH` or `s3://BUCKET/PREFIX`."
    )
    endpoint: str = Field(
        "", description="Address of an S3 other than Amazon's; empty: as in AWS_ENDPOINT_URL."
    )
    region: str = Field("", description="Region of the bucket; empty: as in AWS_REGION.")
    access_key_id: SecretStr = Field(SecretStr(""), description="Key id for S3.")
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key for S3.")


class QueueSettings(Group):
    url: SecretStr = Field(
        SecretStr("sqlite:///{state}/queue.db"),
        description="`sqlite:///PATH` for one process, or `amqp://USER:PASSWORD@HOST:PORT/VHOST`.",
    )
    prefix: str = Field(
        "foodex",
        pattern="^[A-Za-z0-9._-]{1,64}$",
        description="How names of queues begin (RabbitMQ); several systems on one need several.",
    )


class SecuritySettings(Group):
    key: SecretStr = Field(
        SecretStr(""),
        description="The key callers send; empty: the one that the first start writes into the "
        "state folder. Services apart must share it.",
    )


class StorageSettings(Group):
    url: str = Field("", description="Address of the storage service; empty: in this process.")
    query_seconds: Positive = Field(30.0, description="Longest an analytical query may run.")
    query_rows: Count = Field(10_000, description="Most rows an analytical query may answer.")
    query_memory_bytes: Count = Field(1 << 30, description="Most memory a query may take.")
    page_rows: Count = Field(1_000, description="Most rows in one page.")
    object_bytes: Count = Field(20 << 30, description="Largest object taken.")
