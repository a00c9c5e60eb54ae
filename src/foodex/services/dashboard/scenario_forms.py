"""Forms made from the JSON Schema of a scenario's parameters, and what was filled in read back.

Nothing here knows any scenario: a new one has a form as soon as the API tells of it. What is typed
is only brought into the shape that the schema wants; whether it is right, the API says.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from foodex.core.errors import FieldProblem

Kind = Literal["text", "whole", "number", "flag", "one", "many", "date", "moment", "file", "pairs"]
Schema = Mapping[str, Any]
Pairs = Sequence[tuple[str, str]]

ZONE: Final = "_zone"
"""The hidden field that tells the browser's time zone, for moments."""
KEY: Final = "_key"
"""The hidden field that makes a form that is sent twice begin one thing."""
_EMPTY_ROWS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One parameter as a form asks for it.

    `choices` are what it may be, or with `or_new` what it may also be; None where that is not
    known. `low` and `high` are limits of numbers, `example` is a value as the API gives one, and
    `names_of` says which things of the API it names.
    """

    name: str
    kind: Kind
    title: str
    description: str
    required: bool
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] | None = None
    or_new: bool = False
    names_of: str = ""
    example: Any = None
    upload: Mapping[str, str] | None = None

    @property
    def step(self) -> str:
        """The step of its input, where it is a number."""
        return "1" if self.kind == "whole" else "any"

    def rows(self, value: Any) -> list[tuple[str, str, str]]:
        """Of pairs: the name, the value and the example of each row that is shown."""
        known = dict(self.example) if isinstance(self.example, Mapping) else {}
        given = dict(value) if isinstance(value, Mapping) else {}
        if value is None and self.required:
            # A moment of an example is long past; left out, the order is placed now.
            given = {n: v for n, v in known.items() if not n.endswith("_at")}
        names = [*known, *(name for name in given if name not in known)] if self.required else given
        return [(name, _text(given.get(name)), _text(known.get(name))) for name in names]

    @property
    def empty_rows(self) -> range:
        """Rows of pairs for names that nobody has thought of."""
        return range(_EMPTY_ROWS)


def fields_of(schema: Schema, known: Mapping[str, tuple[str, ...] | None]) -> tuple[Field, ...]:
    """The fields of a schema; `known` are the names of what there is, by what it is."""
    required = schema.get("required") or ()
    return tuple(
        _field(name, about, name in required, known, schema.get("$defs") or {})
        for name, about in schema["properties"].items()
    )


def wanted_names(schema: Schema) -> frozenset[str]:
    """Which things' names a form of this schema offers."""
    found = (about.get("x-choices") for about in schema["properties"].values())
    return frozenset(name for name in found if name)


def _field(
    name: str,
    about: Schema,
    required: bool,
    known: Mapping[str, tuple[str, ...] | None],
    definitions: Mapping[str, Schema],
) -> Field:
    of = _variant(about, definitions)
    names_of = str(about.get("x-choices") or "")
    kind = _kind(about, of)
    choices: tuple[str, ...] | None = tuple(map(str, of["enum"])) if "enum" in of else None
    if choices is None and kind != "pairs":
        choices = known.get(names_of)
    examples = about.get("examples") or (None,)
    if kind == "text" and choices is not None and not about.get("x-new"):
        kind = "one"
    return Field(
        name=name,
        kind=kind,
        title=str(about.get("title") or name),
        description=str(about.get("description") or "").replace("`", ""),
        required=required,
        default=about.get("default"),
        low=of.get("minimum"),
        high=of.get("maximum"),
        choices=choices,
        or_new=bool(about.get("x-new")),
        names_of=names_of,
        example=examples[0],
        upload=about.get("x-upload"),
    )


def _variant(about: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """What a value is where it is not left out."""
    for one in about.get("anyOf") or (about,):
        found = definitions.get(str(one["$ref"]).rpartition("/")[2], {}) if "$ref" in one else one
        if found.get("type") != "null":
            return found
    return about


def _kind(about: Schema, of: Schema) -> Kind:
    if "x-upload" in about:
        return "file"
    if "enum" in of:
        return "one"
    match of.get("type"), of.get("format"):
        case "boolean", _:
            return "flag"
        case "integer", _:
            return "whole"
        case "number", _:
            return "number"
        case "string", "date-time":
            return "moment"
        case "string", "date":
            return "date"
        case "array", _:
            return "many"
        case "object", _:
            return "pairs"
    return "text"


def read(fields: Iterable[Field], pairs: Pairs) -> dict[str, Any]:
    """The parameters that were filled in; what is empty is left out."""
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text.strip())
    zone = (given.get(ZONE) or ["UTC"])[-1]
    found = {}
    for field in fields:
        value = _read(field, given, zone)
        if value is not None:
            found[field.name] = value
    return found


def _read(field: Field, given: Mapping[str, list[str]], zone: str) -> Any:
    texts = given.get(field.name, [])
    if field.kind == "pairs":
        return _pairs(field, given)
    if field.kind == "many":
        parts = [part.strip() for text in texts for part in text.split(",")]
        return [part for part in parts if part] or None
    text = texts[-1] if texts else ""
    if not text:
        return None
    match field.kind:
        case "flag":
            return text == "true"
        case "whole" | "number":
            number = _number(text)
            return text if number is None else number
        case "moment":
            return _moment(text, zone)
    return text


def _pairs(field: Field, given: Mapping[str, list[str]]) -> dict[str, Any] | None:
    known = field.example if isinstance(field.example, Mapping) else {}
    mark = f"{field.name}."
    rows = [(name.removeprefix(mark), v[-1]) for name, v in given.items() if name.startswith(mark)]
    names, values = (given.get(f"{field.name}:{part}", []) for part in ("name", "value"))
    own = list(zip(names, values, strict=False))
    if not rows and not own:
        return None
    found = {}
    for name, text in (*rows, *own):
        if name and text:
            as_it_is = isinstance(known.get(name), str) or name.endswith("_id")
            found[name] = text if as_it_is else _scalar(text)
    return found if found or field.required else None


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    plain = text.replace("\N{NO-BREAK SPACE}", "").replace(" ", "")
    if "," in plain and "." not in plain and plain.count(",") == 1:
        plain = plain.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        return None
    if plain.lstrip("+-").isdigit():
        return int(plain)
    # JSON knows no infinity.
    return value if abs(value) < float("inf") else None


def _moment(text: str, zone: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return text
    return moment.isoformat()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def by_field(
    fields: Iterable[Field], problems: Iterable[FieldProblem]
) -> tuple[dict[str, str], list[FieldProblem]]:
    """Problems that belong to a field, in words by its name, and all others."""
    names = {field.name for field in fields}
    at: dict[str, str] = {}
    others = []
    for problem in problems:
        name, _, inner = problem.field.partition(".")
        if name not in names:
            others.append(problem)
            continue
        said = f"{inner}: {problem.message}" if inner and not inner.isdigit() else problem.message
        at[name] = f"{at[name]}; {said}" if name in at else said
    return at, others
