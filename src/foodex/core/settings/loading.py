"""Reading settings from files, secrets and the environment."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.core.settings.tree import PREFIX, Settings, Stage


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
    package = Path(__file__).resolve().parents[2]
    installed = package / "config"
    return installed if installed.is_dir() else package.parent.parent / "config"


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
