"""All settings as one tree."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from foodex.core.settings.accounts import AccountsSettings
from foodex.core.settings.servers import (
    DatabaseSettings,
    HttpSettings,
    LimitsSettings,
    LogSettings,
    ObjectsSettings,
    QueueSettings,
    SecuritySettings,
    StorageSettings,
    WarehouseSettings,
)
from foodex.core.settings.services import (
    BatchesSettings,
    CitySettings,
    CollectorSettings,
    DashboardSettings,
    JobsSettings,
    MlSettings,
    PromiseSettings,
)

PREFIX = "FOODEX_"


class Stage(StrEnum):
    """How FoodEx runs: one process, one machine with servers, or a cluster."""

    MVP = "mvp"
    PARTNER = "partner"
    PRODUCTION = "production"


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


def _fill(value: Any, state: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _fill(inner, state) for name, inner in value.items()}
    return value.replace("{state}", state) if isinstance(value, str) else value


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
