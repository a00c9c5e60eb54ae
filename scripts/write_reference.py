"""Write docs/reference/ and config/foodex.toml from the code.

    .venv/bin/python scripts/write_reference.py

A test compares the pages with the code, so a change that is not told fails.
"""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from foodex.bootstrap import api_description
from foodex.cli.main import app as command_line
from foodex.core.access import roles_of, scope_of
from foodex.core.errors import family
from foodex.core.settings import Settings

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
SETTINGS_FILE = FOLDER.parent.parent / "config" / "foodex.toml"
NOTE = "<!-- Written by scripts/write_reference.py from the code. -->\n"


def pages() -> dict[str, str]:
    """Every page of the reference by its file name."""
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "api.md": api_page(api_description()),
        "errors.md": errors_page(),
    }


def settings_page() -> str:
    lines = [
        NOTE,
        "# Settings\n",
        "Defaults stand in `config/foodex.toml`; a stage's overlay (`config/partner.toml`,",
        "`config/production.toml`), mounted secret files (`FOODEX_SECRETS_DIR`, one file per",
        "setting, named like the variable without its prefix, in lower case) and the environment",
        "win over it, in this order. `foodex config show` prints what is in force.\n",
        "`FOODEX_CONFIG_DIR` names another folder of settings files.\n",
    ]

    def rows(group: type[BaseModel], path: str, variable: str) -> None:
        lines.extend(["| setting | variable | default | meaning |", "|---|---|---|---|"])
        for name, field in group.model_fields.items():
            if isinstance(field.default, BaseModel):
                continue
            default = plain_default(field)
            shown = f"`{toml(default)}`" if default not in ("", {}, []) else ""
            shown = shown.replace('`"', "`").replace('"`', "`")
            lines.append(
                f"| `{path}{name}` | `{variable}{name.upper()}` | {shown} | {field.description} |"
            )
        lines.append("")

    rows(Settings, "", "FOODEX_")
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            lines.append(f"## {name}\n")
            lines.append(f"{field.description}\n")
            rows(type(field.default), f"{name}.", f"FOODEX_{name.upper()}__")
    return "\n".join(lines).rstrip() + "\n"


def plain_default(field: FieldInfo) -> Any:
    """A setting's default as TOML would give it back."""

    def plain(value: Any) -> Any:
        match value:
            case SecretStr():
                return value.get_secret_value()
            case BaseModel():
                return {name: plain(getattr(value, name)) for name in type(value).model_fields}
            case Mapping():
                return {name: plain(inner) for name, inner in value.items()}
            case tuple():
                return [plain(inner) for inner in value]
            case bool() | int() | float():
                return value
            case _:
                return str(value)

    return plain(field.get_default(call_default_factory=True, validated_data={}))


def toml(value: Any) -> str:
    """A value on one line of TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{name} = {toml(one)}" for name, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value)


def settings_file() -> str:
    """The text of config/foodex.toml: every setting with its default and description."""
    lines = [
        "# Every setting of FoodEx with its default. A stage's overlay (partner.toml,",
        "# production.toml), mounted secret files and the environment (FOODEX_HTTP__PORT=9000) win",
        "# over this file. {state} stands for the state folder.",
        "",
    ]

    def comment(text: str | None) -> list[str]:
        return [f"# {line}" for line in textwrap.wrap(text or "", 96)]

    def add(name: str, field: FieldInfo) -> None:
        value = plain_default(field)
        lines.extend([*comment(field.description), f"{name} = {toml(value)}"])

    groups = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            groups.append((name, field))
        elif name != "promise_zones":
            add(name, field)
    for name, field in groups:
        lines.extend(["", *comment(field.description), f"[{name}]"])
        for inner, described in type(field.default).model_fields.items():
            add(inner, described)
    zones = Settings.model_fields["promise_zones"].description
    lines.extend(["", *comment(zones), "# [promise_zones.Helsinki]", "# quantile = 0.9"])
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    lines = [
        NOTE,
        "# Commands\n",
        "`--state DIR` (or `FOODEX_STATE_DIR`) chooses the state folder, before or after the",
        "command's name; `--json` prints JSON for machines. While `foodex up` runs, commands talk",
        "to it; otherwise they do their work themselves. Wrong input ends with exit code 2, a",
        "part out of reach with 1.\n",
    ]

    def walk(command: Any, path: str) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, f"{path} {name}")
            if not command.invoke_without_command:
                return
        lines.append(f"## `{path}`\n")
        lines.append((command.help or "").strip() + "\n")
        parameters = [p for p in command.params if p.name not in ("help", "state", "as_json")]
        if parameters:
            lines.extend(["| | |", "|---|---|"])
            for p in parameters:
                option = p.param_type_name == "option"
                name = ", ".join([*p.opts, *p.secondary_opts]) if option else str(p.name).upper()
                needed = " (needed)" if p.required else ""
                about = (getattr(p, "help", "") or "").rstrip(".")
                lines.append(f"| `{name}` | {about}{needed}. |")
            lines.append("")

    walk(typer.main.get_command(command_line), "foodex")
    return "\n".join(lines).rstrip() + "\n"


def api_page(app: FastAPI) -> str:
    lines = [
        NOTE,
        "# HTTP API\n",
        "Send your key with every request: `Authorization: Bearer KEY` or `X-Api-Key: KEY`. While",
        "FoodEx runs, `/docs` lets you try every route and `/openapi.json` describes them in full.",
        "Whatever goes wrong is told as `application/problem+json` ([errors](errors.md)).\n",
    ]
    by_tag: dict[str, list[str]] = {}
    for route in walk_routes(app):
        for method in sorted(route.methods):
            if not route.include_in_schema:
                continue
            roles = route_roles(route)
            who = ", ".join(sorted(roles)) if roles else "anybody"
            if scope := route_scope(route):
                who += f"; keys with `{scope}`"
            summary = (route.summary or route.name).rstrip(".")
            tag = str((route.tags or ["forecasts"])[0])
            by_tag.setdefault(tag, []).append(
                f"| `{method} {route.path_format}` | {summary} | {who} |"
            )
    for tag, rows in by_tag.items():
        lines.extend([f"## {tag}\n", "| route | what it does | who may call it |", "|---|---|---|"])
        lines.extend([*rows, ""])
    return "\n".join(lines).rstrip() + "\n"


def walk_routes(app: FastAPI) -> list[Any]:
    """Every route of an app that answers methods, as it stands with its prefixes and marks."""
    contexts = iter_route_contexts(app.routes)
    return [route for route in contexts if getattr(route, "dependant", None)]


def route_roles(route: Any) -> frozenset[str] | None:
    """The roles that a route's mark allows; empty for everybody, None without a mark."""
    for dependency in route.dependant.dependencies:
        if (roles := roles_of(dependency.call)) is not None:
            return frozenset(roles)
    return None


def route_scope(route: Any) -> str | None:
    """The scope with which a key passes a route; None where no key does."""
    scopes = [scope_of(dependency.call) for dependency in route.dependant.dependencies]
    return next((scope for scope in scopes if scope), None)


def errors_page() -> str:
    lines = [
        NOTE,
        "# Errors\n",
        "Every error is `application/problem+json` (RFC 9457): `type`, `title`, `status`,",
        "`detail`, `request_id` (it is in the log too) and, where single values are wrong,",
        "`problems`: a list of `field`, `row` (where there are rows) and `message`.\n",
        "| type | status | meaning |",
        "|---|---|---|",
    ]
    for name, kind in sorted(family().items(), key=lambda item: (item[1].status, item[0])):
        meaning = (kind.__doc__ or "").strip().splitlines()[0]
        lines.append(f"| `urn:foodex:problem:{name}` | {kind.status} | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    SETTINGS_FILE.write_text(settings_file())
