"""Every setting, as one frozen tree.

Read from `config/foodex.toml`, the stage's overlay `config/<stage>.toml`, mounted secret files and
the environment (`FOODEX_HTTP__PORT=9000`), later ones winning. Texts may say `{state}` for the
state folder.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from foodex.core.errors import FieldProblem, InvalidInput

PREFIX = "FOODEX_"


class Stage(StrEnum):
    """How FoodEx runs: one process, one machine with servers, or a cluster."""

    MVP = "mvp"
    PARTNER = "partner"
    PRODUCTION = "production"


class Group(BaseModel):
    """A group of settings: frozen, and a name that is not there is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


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


class CollectorSettings(Group):
    url: str = Field("", description="Address of the collector; empty: in this process.")
    log_file: str = Field("{state}/loads.jsonl", description="Append-only log of finished loads.")
    work_folder: str = Field("{state}/collector", description="Where fetched files wait for loads.")
    instance: str = Field(
        "", description="This collector's own name among several; empty: the machine's name."
    )
    loads_at_once: Count = Field(1, description="Loads that run side by side.")
    lease_seconds: Positive = Field(
        30.0, description="A load whose collector is silent for so long is taken over by another."
    )
    batch_rows: Count = Field(100_000, description="Rows read, checked and written at a time.")
    max_file_bytes: Count = Field(20 << 30, description="Largest file read, packed or unpacked.")
    upload_days: Count = Field(
        7, description="Days that files sent over the API are kept; the rows loaded stay."
    )
    max_line_bytes: Count = Field(8 << 20, description="Longest row of a file.")
    max_columns: Count = Field(2_000, description="Most columns of a file.")
    allowed_folders: tuple[str, ...] = Field(
        (), description="Folders whose files may be named over the API; others must be uploaded."
    )
    http_timeout_seconds: Positive = Field(30.0, description="Longest silence of an HTTP source.")
    http_tries: Count = Field(6, description="Tries for one page of an HTTP source.")
    http_max_bytes: Count = Field(2 << 30, description="Most an HTTP source may send for one load.")
    http_max_pages: Count = Field(100_000, description="Most pages of an HTTP source.")
    http_allow_private: bool = Field(
        False, description="Let HTTP sources be on private addresses or on this machine."
    )
    sources: Mapping[str, Mapping[str, Any]] = Field(
        {}, description="Sources by name: kind, location, and optionally format, mapping, paging."
    )


class MlSettings(Group):
    url: str = Field("", description="Address of the ml service; empty: in this process.")
    work_folder: str = Field("{state}/work", description="Where jobs keep their working files.")
    default_model: str = Field(
        "", description="Model that answers when none is named; empty: the last one promoted."
    )
    history_days: Count = Field(
        60, description="Days of deliveries that the live history is rebuilt from at a start."
    )
    jobs_at_once: Count = Field(1, description="Trainings and evaluations that run side by side.")
    job_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="Threads of a training process; 0: all cores."
    )
    job_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far a training process steps back for others (Unix niceness)."
    )
    job_seconds: Positive = Field(6 * 3600.0, description="Longest a job may take.")
    job_log_bytes: Count = Field(1 << 16, description="Most of a job's own output that is logged.")
    forecast_orders: Count = Field(10_000, description="Most orders in one request for forecasts.")
    observe_deliveries: Count = Field(10_000, description="Most deliveries told of in one request.")
    refresh_seconds: Positive = Field(
        86_400.0,
        description="How often the live history is rebuilt from storage; shorter where several "
        "processes serve, as each is told of a part of the deliveries only.",
    )
    follow_seconds: Positive = Field(
        5.0, description="How soon a version promoted by another process answers here too."
    )


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


class DashboardSettings(Group):
    gateway_url: str = Field(
        "",
        description="Address of the gateway, for a dashboard in a process of its own; the gateway "
        "must have it among its `http.trusted_proxies`.",
    )


class JobsSettings(Group):
    url: str = Field("", description="Address of the jobs service; empty: in this process.")
    at_once: Count = Field(2, description="Background jobs that a worker does side by side.")
    work_folder: str = Field("{state}/jobs", description="Where workers keep their working files.")
    lease_seconds: Positive = Field(
        15.0, description="A job whose worker is silent for so long is taken up by another."
    )
    beat_seconds: Positive = Field(
        1.0,
        description="How often a worker says that it lives and how far its jobs are; cancelled "
        "jobs stop as soon as that.",
    )
    sweep_seconds: Positive = Field(
        2.0, description="How often a worker looks for jobs that were left behind."
    )
    unpublished_seconds: Positive = Field(
        3.0, description="A waiting job whose message was not sent within so long is sent again."
    )
    lost_seconds: Positive = Field(
        60.0,
        description="A waiting job whose message is not in the queue after so long is sent again.",
    )
    acceptance_seconds: Positive = Field(
        60.0,
        description="A job whose acceptance broke off before its price was set aside is given up "
        "after so long.",
    )
    retry_seconds: Positive = Field(
        1.0, description="Wait before a job is tried again; doubled each time, give or take half."
    )
    retry_most_seconds: Positive = Field(300.0, description="Longest wait before another try.")
    child_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far heavy work steps back for others (Unix niceness)."
    )
    child_log_bytes: Count = Field(
        1 << 16, description="Most of a job's own output that is logged."
    )
    parameter_bytes: Count = Field(
        1 << 18, description="Most bytes of a job's parameters; more belongs into an object."
    )
    page_rows: Count = Field(1_000, description="Most jobs in one page.")
    link_seconds: Positive = Field(3600.0, description="How long a link to a file is good for.")
    file_days: Count = Field(
        90, description="Days that the files of jobs are kept: answers, reports, rejected rows."
    )


class BatchesSettings(Group):
    max_file_bytes: Count = Field(
        2 << 30, description="Largest file of orders taken, packed or unpacked."
    )
    file_days: Count = Field(7, description="Days that files of orders are kept.")
    rows_at_once: Count = Field(7_168, description="Orders read, forecast and written at a time.")
    max_seconds: Positive = Field(4 * 3600.0, description="Longest a batch prediction may take.")


class PromiseSettings(Group):
    quantile: float = Field(0.75, description="Quantile of the forecast that is promised.")
    earliest_quantile: float = Field(0.25, description="Quantile of the early end of the window.")
    buffer_minutes: float = Field(0.0, description="Minutes added to the quantile.")
    round_to_minutes: Count = Field(5, description="The promise is rounded up to a multiple.")
    floor_minutes: Annotated[int, Field(ge=0)] = Field(10, description="Shortest promise.")
    ceiling_minutes: Count = Field(120, description="Longest promise.")


class CitySettings(Group):
    demonstration: bool = Field(
        True, description="On an empty system, simulate a city so that there is something to see."
    )
    days: Count = Field(28, description="Days of simulated history.")
    orders_per_day: Count = Field(700, description="Mean orders a day in the simulated city.")
    seed: int = Field(7, description="Seed of the simulation; the same seed, the same city.")


class Settings(BaseSettings):
    """All settings of one FoodEx."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )

    stage: Stage = Field(Stage.MVP, description="Which overlay of the settings to use.")
    state_dir: Path = Field(Path("state"), description="Folder of all that FoodEx keeps on disk.")
    http: HttpSettings = Field(HttpSettings(), description="The public door.")
    limits: LimitsSettings = Field(
        LimitsSettings(), description="How many requests the public door takes."
    )
    log: LogSettings = Field(LogSettings(), description="Logs.")
    database: DatabaseSettings = Field(DatabaseSettings(), description="Rows that must be right.")
    warehouse: WarehouseSettings = Field(WarehouseSettings(), description="Rows for analysis.")
    objects: ObjectsSettings = Field(ObjectsSettings(), description="Files.")
    queue: QueueSettings = Field(QueueSettings(), description="Messages that tell workers of jobs.")
    security: SecuritySettings = Field(SecuritySettings(), description="Who may call.")
    storage: StorageSettings = Field(StorageSettings(), description="The storage service.")
    collector: CollectorSettings = Field(CollectorSettings(), description="The collector.")
    ml: MlSettings = Field(MlSettings(), description="The ml service.")
    accounts: AccountsSettings = Field(
        AccountsSettings(), description="People, keys, prepaid accounts and prices."
    )
    jobs: JobsSettings = Field(JobsSettings(), description="Background jobs.")
    dashboard: DashboardSettings = Field(DashboardSettings(), description="The pages.")
    batches: BatchesSettings = Field(
        BatchesSettings(), description="Batch predictions: files of orders."
    )
    promise: PromiseSettings = Field(PromiseSettings(), description="What customers are told.")
    promise_zones: Mapping[str, PromiseSettings] = Field(
        {}, description="Promise policies of single cities or zones, by name; the rest as above."
    )
    city: CitySettings = Field(CitySettings(), description="The simulated city.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_state_folder(cls, tree: dict[str, Any]) -> dict[str, Any]:
        state = str(Path(tree.get("state_dir") or "state").expanduser().absolute())
        filled = _fill(tree, state) | {"state_dir": state}
        assert isinstance(filled, dict)
        return filled


def load_settings(
    *, config_dir: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The settings for this environment; `overrides` (a nested mapping) win over all.

    Raises `InvalidInput` that names every wrong setting and the nearest right name.
    """
    folder = config_dir or Path(os.environ.get("FOODEX_CONFIG_DIR") or find_config_dir())
    files = [folder / "foodex.toml"]
    if not files[0].is_file():
        raise InvalidInput(f"There is no settings file {files[0]}")
    stage = (overrides or {}).get("stage") or os.environ.get("FOODEX_STAGE")
    _refuse_unknown_variables()
    try:
        if not stage:
            stage = tomllib.loads(files[0].read_text()).get("stage")
        if stage in set(Stage) and (folder / f"{stage}.toml").is_file():
            files.append(folder / f"{stage}.toml")
        return _located(files)(**(overrides or {}))
    except tomllib.TOMLDecodeError as error:
        names = " or ".join(map(str, files))
        raise InvalidInput(f"The settings file {names} cannot be read: {error}") from None
    except SettingsError as error:
        raise InvalidInput(f"The settings cannot be used: {error}") from None
    except ValidationError as error:
        raise _explain(error) from None


def _located(files: list[Path]) -> type[Settings]:
    class Located(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            secrets = os.environ.get("FOODEX_SECRETS_DIR")
            mounted = (
                [
                    NestedSecretsSettingsSource(
                        file_secret_settings,
                        secrets_dir=secrets,
                        secrets_prefix="",
                        secrets_nested_delimiter="__",
                    )
                ]
                if secrets
                else []
            )
            described = TomlConfigSettingsSource(settings_cls, toml_file=files, deep_merge=True)
            return (init_settings, env_settings, *mounted, described)

    return Located


def _refuse_unknown_variables() -> None:
    # The library refuses a wrong name inside a group and passes over a wrong group in silence.
    groups = [name.upper() for name in Settings.model_fields]
    problems = []
    for variable in sorted(os.environ):
        group, nested, rest = variable.removeprefix(PREFIX).partition("__")
        if variable.startswith(PREFIX) and nested and group.upper() not in groups:
            near = difflib.get_close_matches(group.upper(), groups, 1)
            hint = f"; did you mean {PREFIX}{near[0]}__{rest}?" if near else ""
            problems.append(FieldProblem(variable, f"there is no such setting{hint}"))
    if problems:
        raise InvalidInput("The settings cannot be used", problems=problems)


def find_config_dir() -> Path:
    """The folder with `foodex.toml`: inside the installed package, else at the repository's top."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "config"
    return installed if installed.is_dir() else package.parent.parent / "config"


def _fill(value: Any, state: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _fill(inner, state) for name, inner in value.items()}
    return value.replace("{state}", state) if isinstance(value, str) else value


def _explain(error: ValidationError) -> InvalidInput:
    problems = []
    for fault in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in fault["loc"]]
        message = fault["msg"][0].lower() + fault["msg"][1:]
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(path[-1], _names_at(path[:-1]), 1)
            message = "there is no such setting" + (f"; did you mean '{near[0]}'?" if near else "")
        problems.append(FieldProblem(".".join(path), message))
    return InvalidInput("The settings cannot be used", problems=problems)


def _names_at(path: list[str]) -> list[str]:
    group: type[BaseModel] = Settings
    for name in path:
        inner = group.model_fields[name].annotation if name in group.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        group = inner
    return list(group.model_fields)


def masked(settings: Settings) -> dict[str, Any]:
    """The tree as plain values fit to show: secrets are `***`, empty ones stay empty."""

    def show(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return {name: show(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, Mapping):
            return {name: show(inner) for name, inner in value.items()}
        if isinstance(value, SecretStr):
            return mask_url(value.get_secret_value())
        return str(value) if isinstance(value, (Path, StrEnum)) else value

    shown = show(settings)
    assert isinstance(shown, dict)
    return shown


def mask_url(secret: str) -> str:
    """A URL without its password; any other secret as `***`; nothing as nothing."""
    scheme, found, rest = secret.partition("://")
    if not found:
        return "***" if secret else ""
    credentials, at, place = rest.rpartition("@")
    if not at:
        return secret
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}:***@{place}"
