"""Secrets that a system makes up for itself, and those it must be given."""

from pathlib import Path

import pytest

from foodex.bootstrap.state import WEBHOOK_FILE, kept_secret, webhook_secret
from foodex.core.errors import InvalidInput
from foodex.core.settings import Settings, Stage


def settings(folder: Path, stage: Stage, secret: str = "") -> Settings:
    chosen = Settings(stage=stage, state_dir=folder)
    return chosen.model_copy(
        update={"accounts": chosen.accounts.model_validate({"webhook_secret": secret})}
    )


def test_on_a_laptop_a_secret_is_made_once(tmp_path: Path) -> None:
    made = webhook_secret(settings(tmp_path, Stage.MVP))
    assert len(made) > 40
    assert webhook_secret(settings(tmp_path, Stage.MVP)) == made
    assert (tmp_path / WEBHOOK_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [WEBHOOK_FILE]
    assert kept_secret(tmp_path / "another") != made


@pytest.mark.parametrize("stage", list(Stage))
def test_a_secret_that_is_set_is_used(tmp_path: Path, stage: Stage) -> None:
    assert webhook_secret(settings(tmp_path, stage, "given")) == "given"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", [Stage.PARTNER, Stage.PRODUCTION])
def test_elsewhere_it_must_be_set(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(InvalidInput, match=r"accounts\.webhook_secret"):
        webhook_secret(settings(tmp_path, stage))
    assert not list(tmp_path.iterdir())
