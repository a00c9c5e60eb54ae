"""Every setting, as one frozen tree.

Read from `config/foodex.toml`, the stage's overlay `config/<stage>.toml`, mounted secret files and
the environment (`FOODEX_HTTP__PORT=9000`), later ones winning. Texts may say `{state}` for the
state folder.
"""

from foodex.core.settings.accounts import AccountsSettings, OperationPrices
from foodex.core.settings.base import Group
from foodex.core.settings.loading import find_config_dir, load_settings
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
from foodex.core.settings.tree import PREFIX, Settings, Stage, mask_url, masked

__all__ = [
    "PREFIX",
    "AccountsSettings",
    "BatchesSettings",
    "CitySettings",
    "CollectorSettings",
    "DashboardSettings",
    "DatabaseSettings",
    "Group",
    "HttpSettings",
    "JobsSettings",
    "LimitsSettings",
    "LogSettings",
    "MlSettings",
    "ObjectsSettings",
    "OperationPrices",
    "PromiseSettings",
    "QueueSettings",
    "SecuritySettings",
    "Settings",
    "Stage",
    "StorageSettings",
    "WarehouseSettings",
    "find_config_dir",
    "load_settings",
    "mask_url",
    "masked",
]
