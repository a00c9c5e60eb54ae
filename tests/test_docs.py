"""What the documentation says is there, and what is there is in the documentation."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest
import typer
from pydantic import BaseModel

from foodex.cli.main import app as command_line
from foodex.core.errors import family
from foodex.core.settings import Settings
from foodex.domain.deliveries import FIELDS
from foodex.domain.mapping_toml import _COMMON, _FILE, _NUMBER, _TIME, _TOP, read_mapping
from foodex.services.collector.applying import apply

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def everything() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [body for language, body in found if language in languages]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        place, _, heading = unquote(link).partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (heading and heading not in anchors(target)):
            lost.append(link)
    assert not lost


def commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield (*path, name), command
        yield from commands(command, (*path, name))


def test_every_command_is_told() -> None:
    root = typer.main.get_command(command_line)
    untold = [
        " ".join(path)
        for path, _ in commands(root, ("foodex",))
        if " ".join(path) not in everything()
    ]
    assert not untold


def settings_of(group: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in group.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from settings_of(type(field.default), f"{path}{name}.")
        else:
            yield path + name


def test_every_setting_and_error_is_told() -> None:
    text = everything()
    assert not [name for name in settings_of(Settings) if f"`{name}`" not in text]
    assert not [kind for kind in family() if f"problem:{kind}`" not in text]


def test_every_key_and_field_of_a_mapping_is_told() -> None:
    text = (ROOT / "docs" / "import.md").read_text()
    keys = {*_TOP, *_FILE, *_COMMON, *_NUMBER, *_TIME, "numbering", *(f.name for f in FIELDS)}
    assert not {key for key in keys if not re.search(rf"[`\[]{key}[`\] ]", text)}


def test_every_rule_of_rejection_is_told() -> None:
    source = ROOT / "src" / "foodex" / "services" / "collector"
    code = "".join(
        (source / f"{name}.py").read_text() for name in ("applying", "loading", "reading")
    )
    words = r"(?:bad|missing|broken|negative|impossible|doubtful|duplicate|out_of|skipped)\w*"
    rules = set(re.findall(rf'"({words})"', code)) - {"missing"}
    assert len(rules) > 8
    text = (ROOT / "docs" / "import.md").read_text()
    assert not {rule for rule in rules if f"`{rule}`" not in text}


def told_commands() -> Iterator[tuple[str, str]]:
    for page in GUIDES:
        for body in blocks(page, "console", "sh"):
            for line in body.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").partition(" # ")[0]
                if re.match(r"(\w+=\S+ )*foodex ", line):
                    yield name_of(page), line.strip()
        for line in re.findall(r"`(foodex [a-z][^`\n]*)`", page.read_text()):
            yield name_of(page), line


@pytest.mark.parametrize(("page", "line"), sorted(set(told_commands())))
def test_commands_told_can_be_given(page: str, line: str) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=.*", word)][1:]
    command: Any = typer.main.get_command(command_line)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):
        assert not words or words[0].startswith("-"), f"there is no command '{words[0]}'"
    # A mention without any argument is only a name.
    if words:
        command.make_context("foodex", words)


def test_the_mapping_told_reads_the_export_told() -> None:
    page = ROOT / "docs" / "import.md"
    mapping = read_mapping(blocks(page, "toml")[0])
    lines = [line.split(";") for line in blocks(page, "csv")[0].splitlines()]
    columns = {name: [row[at] for row in lines[1:]] for at, name in enumerate(lines[0])}
    raw = pl.DataFrame({"row": range(1, len(lines)), **columns}, schema_overrides={"row": pl.Int64})
    applied = apply(mapping, raw)
    told = dict(re.findall(r"^ (\w+) +(\d+)  row \d", page.read_text(), re.MULTILINE))
    told_rules = {rule: int(rows) for rule, rows in told.items()}
    # Orders that are there already are found out by the load, not by the mapping.
    assert told_rules.pop("duplicate_order") == 1
    found = applied.rejected["rule"].value_counts()
    assert dict(found.iter_rows()) == told_rules
    assert len(applied.kept) == 4
    assert applied.repaired == {"bad_number:distance_km": 1, "doubtful_coordinate:customer_lat": 1}


def test_the_notebook_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "notebook.md"
    names: dict[str, Any] = {}
    for body in blocks(page, "python"):
        exec(compile(body, name_of(page), "exec"), names)  # noqa: S102
    told = blocks(page, "")[0].strip().splitlines()
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[: len(told)]] == [line.split()[0] for line in told]
