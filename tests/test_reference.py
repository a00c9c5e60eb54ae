"""The reference tells what the code does."""

import pytest

from scripts.write_reference import FOLDER, pages


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "api.md", "errors.md"])
def test_the_reference_is_up_to_date(name: str) -> None:
    written = (FOLDER / name).read_text()
    assert written == pages()[name], "run scripts/write_reference.py"
