"""Settings: one frozen tree from files, mounted secrets and the environment."""

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from foodex.core.errors import InvalidInput
from foodex.core.settings import Settings, Stage, find_config_dir, load_settings, masked
from scripts.write_reference import plain_default, settings_file


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("FOODEX_") and not name.startswith("FOODEX_TEST_"):
            monkeypatch.delenv(name)


def leaves(group: type[BaseModel], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    found: dict[tuple[str, ...], object] = {}
    for name, field in group.model_fields.items():
        assert field.description, f"{'.'.join((*path, name))} has no description"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= leaves(field.annotation, (*path, name))
        else:
            found[(*path, name)] = plain_default(field)
    return found


def test_the_file_holds_every_setting_with_its_default() -> None:
    with (find_config_dir() / "foodex.toml").open("rb") as file:
        tree = tomllib.load(file)
    for path, default in leaves(Settings).items():
        if path == ("promise_zones",):
            continue
        value = tree
        for name in path:
            value = value[name]
        assert value == default, ".".join(path)
    assert settings_file() == (find_config_dir() / "foodex.toml").read_text()


def test_the_state_folder_is_filled_in(tmp_path: Path) -> None:
    settings = load_settings(overrides={"state_dir": str(tmp_path)})
    assert settings.state_dir == tmp_path
    assert str(tmp_path) in settings.database.url.get_secret_value()
    assert "{state}" not in str(masked(settings))


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOODEX_HTTP__PORT", "9999")
    monkeypatch.setenv("FOODEX_STATE_DIR", "/elsewhere")
    settings = load_settings()
    assert settings.http.port == 9999
    assert settings.http.host == "127.0.0.1"
    assert settings.state_dir == Path("/elsewhere")


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_usable_settings(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOODEX_STAGE", stage)
    assert load_settings().stage is stage


def test_mounted_secrets_are_read_and_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "database__url").write_text("postgresql+asyncpg://ann:hush@db/foodex\n")
    (tmp_path / "security__key").write_text("hush-hush\n")
    monkeypatch.setenv("FOODEX_SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.security.key.get_secret_value() == "hush-hush"
    shown = masked(settings)
    assert shown["database"]["url"] == "postgresql+asyncpg://ann:***@db/foodex"
    assert shown["security"]["key"] == "***"
    for text in (str(shown), repr(settings)):
        assert "hush" not in text


def test_a_typo_is_named_with_the_nearest_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOODEX_HTTP__PROT", "1")
    with pytest.raises(InvalidInput, match=r"http\.prot: .* did you mean 'port'\?"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("FOODEX_HTTP__PORT", "70000"), ("FOODEX_STAGE", "moon"), ("FOODEX_ML__JOBS_AT_ONCE", "0")],
)
def test_wrong_values_are_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert caught.value.problems[0].field == name.removeprefix("FOODEX_").lower().replace("__", ".")


@pytest.mark.parametrize("text", ["[http", 'nonsense = "1"'])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "foodex.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"foodex\.toml|nonsense"):
        load_settings(config_dir=tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no settings file"):
        load_settings(config_dir=tmp_path)


def test_the_tree_is_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.http.port = 1
