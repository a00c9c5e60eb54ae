"""Reading mappings: every wrong key has its own, exact complaint."""

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from re import fullmatch
from typing import Any, Final
from zoneinfo import ZoneInfo

from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.datasets import LOAD_ID, NAME_PATTERN, ROW_ID
from foodex.domain.deliveries import EXTRA_KINDS, FIELD, Kind
from foodex.domain.loads import Format
from foodex.domain.mappings import (
    CLOCK_FORMATS,
    INSTANT_FORMATS,
    ISO,
    MISSING,
    TIME_FORMATS,
    UNKNOWN_ZONE,
    WEEKDAY_NUMBERINGS,
    FieldRule,
    FileRule,
    RecordMapping,
    SkipRule,
    units_of,
)

_TOP: Final = [
    *("time_zone", "missing", "decimal", "impossible_coordinates", "doubtful_coordinates"),
    *("file", "fields", "extras", "skip_where"),
]
_FILE: Final = ["format", "encoding", "delimiter", "quote", "header", "columns"]
_SKIP: Final = ["column", "is", "is_not"]
_COMMON: Final = ["column", "value", "missing", "values", "strip", "on_bad"]
_NUMBER: Final = ["unit", "decimal", "number_in_text"]
_TIME: Final = [
    *("date", "time", "formats", "date_formats", "time_formats", "time_zone"),
    *("not_before", "minutes_after"),
]
_ON_BAD: Final = ("reject", "missing")


def read_mapping(toml: str, *, delivered: bool = True) -> RecordMapping:
    """A mapping's TOML as values.

    Of orders that are not `delivered` yet nothing is required: neither their time nor their end.

    Raises:
        InvalidInput: `problems` has one entry per wrong key, named by its path.
    """
    try:
        table = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(
            "The mapping is not valid TOML", problems=[FieldProblem("mapping", str(error))]
        ) from None
    return _Reader(delivered=delivered).mapping(table)


class _Reader:
    def __init__(self, *, delivered: bool) -> None:
        self.delivered = delivered
        self.problems: list[FieldProblem] = []

    def complain(self, path: str, message: str) -> None:
        self.problems.append(FieldProblem(path, message))

    def mapping(self, table: dict[str, Any]) -> RecordMapping:
        self.known(table, _TOP, "")
        zone = self.zone(table.get("time_zone"), "time_zone")
        fields = self.fields(self.table(table, "fields"))
        extras = self.extras(self.table(table, "extras"))
        mapping = RecordMapping(
            time_zone=zone,
            missing=self.texts(table, "missing", "") if "missing" in table else MISSING,
            decimal=self.choice(table, "decimal", (".", ","), "", "."),
            impossible_coordinates=self.choice(
                table, "impossible_coordinates", _ON_BAD, "", "reject"
            ),
            doubtful_coordinates=self.choice(
                table, "doubtful_coordinates", ("missing", "reject", "keep"), "", "missing"
            ),
            file=self.file(self.table(table, "file")),
            fields=fields,
            extras=extras,
            skip=self.skip(table.get("skip_where", [])),
        )
        self.whole(mapping)
        if self.problems:
            count = len(self.problems)
            raise InvalidInput(
                f"The mapping has {count} mistake{'s' if count > 1 else ''}", problems=self.problems
            )
        return mapping

    def whole(self, mapping: RecordMapping) -> None:
        has = {rule.name for rule in mapping.fields}
        if self.delivered:
            self.required(has)
        for rule in mapping.fields:
            for key in ("not_before", "minutes_after"):
                other = getattr(rule, key)
                if other is not None and (other not in has or FIELD[other].kind is not Kind.TIME):
                    self.complain(f"fields.{rule.name}.{key}", f"{other!r} is no mapped time field")
            if rule.kind is Kind.TIME and rule.minutes_after is None:
                self.zone_is_known(rule, mapping)

    def required(self, has: set[str]) -> None:
        if not ("placed_at" in has or {"hour_of_day", "day_of_week"} <= has) and not (
            {"delivered_at", "delivery_minutes"} <= has
        ):
            self.complain(
                "fields.placed_at",
                "is required: the time of the order (or hour_of_day together with day_of_week)",
            )
        if "delivery_minutes" not in has and not {"delivered_at", "placed_at"} <= has:
            self.complain(
                "fields.delivery_minutes",
                "is required: the delivery's duration (or its end, delivered_at, with placed_at)",
            )

    def zone_is_known(self, rule: FieldRule, mapping: RecordMapping) -> None:
        formats = rule.formats or (ISO,)
        carries = rule.date is None and all(
            name in (ISO, *INSTANT_FORMATS) or "%z" in name or "%:z" in name for name in formats
        )
        stated = rule.time_zone or mapping.time_zone
        asked = any(problem.field == "time_zone" for problem in self.problems)
        if not (carries or stated or asked):
            self.complain(
                "time_zone",
                f"is needed: the times of {rule.name} carry no offset. "
                'Say where the business lives, for example time_zone = "Europe/Helsinki"',
            )

    def fields(self, table: dict[str, Any]) -> tuple[FieldRule, ...]:
        rules = {}
        for name, entry in table.items():
            path = f"fields.{name}"
            if name not in FIELD:
                self.complain(path, f"is no field of the delivery record{_close(name, FIELD)}")
            elif not isinstance(entry, dict):
                self.complain(path, 'needs a table, for example { column = "NAME" }')
            else:
                rules[name] = self.field(name, FIELD[name].kind, entry, path)
        return tuple(rules[name] for name in FIELD if name in rules)

    def extras(self, table: dict[str, Any]) -> tuple[FieldRule, ...]:
        rules = []
        for name, entry in table.items():
            path = f"extras.{name}"
            if not fullmatch(NAME_PATTERN, name) or name in (*FIELD, ROW_ID, LOAD_ID):
                self.complain(
                    path,
                    "an extra is named in small letters, digits and _, not like a field of the "
                    "record",
                )
            elif not isinstance(entry, dict):
                self.complain(path, 'needs a table, for example { column = "X", kind = "number" }')
            else:
                entry = dict(entry)
                kinds = tuple(str(kind) for kind in EXTRA_KINDS)
                kind = Kind(self.choice(entry, "kind", kinds, path, kinds[0], required=True))
                entry.pop("kind", None)
                rules.append(self.field(name, kind, entry, path))
        return tuple(rules)

    def field(self, name: str, kind: Kind, entry: dict[str, Any], path: str) -> FieldRule:
        timely = kind is Kind.TIME
        allowed = [*_COMMON]
        allowed += [*_TIME, *_NUMBER] if timely else []
        allowed += _NUMBER if kind in (Kind.NUMBER, Kind.INTEGER) else []
        allowed += ["numbering"] if name == "day_of_week" else []
        allowed += ["time_formats"] if name == "hour_of_day" else []
        self.known(entry, allowed, path)
        origins = [key for key in ("column", "value", "date") if key in entry]
        wrong = len(origins) != 1 or ("date" in entry) != ("time" in entry)
        # A misspelt key is complaint enough.
        if wrong and set(entry) <= set(allowed):
            both = ", or `date` and `time`" if timely else ""
            self.complain(path, f"needs exactly one origin: `column`, `value`{both}")
        units = units_of("delivery_minutes") if timely else units_of(name) if name in FIELD else ()
        numbering = self.choice(entry, "numbering", tuple(WEEKDAY_NUMBERINGS), path, None)
        return FieldRule(
            name=name,
            kind=kind,
            column=self.text(entry, "column", path),
            date=self.text(entry, "date", path),
            time=self.text(entry, "time", path),
            value=self.fixed(entry, path),
            unit=self.choice(entry, "unit", units, path, None),
            formats=self.formats(entry, "formats", path, TIME_FORMATS),
            date_formats=self.formats(entry, "date_formats", path, (ISO, "excel_days")),
            time_formats=self.formats(entry, "time_formats", path, CLOCK_FORMATS),
            time_zone=self.zone(entry.get("time_zone"), f"{path}.time_zone"),
            not_before=self.text(entry, "not_before", path),
            minutes_after=self.text(entry, "minutes_after", path),
            numbering=numbering,
            missing=self.texts(entry, "missing", path) if "missing" in entry else None,
            strip=self.texts(entry, "strip", path),
            number_in_text=self.flag(entry, "number_in_text", path, default=False),
            decimal=self.choice(entry, "decimal", (".", ","), path, None),
            values=self.replacements(entry, path),
            on_bad=self.choice(entry, "on_bad", _ON_BAD, path, "reject"),
        )

    def fixed(self, entry: dict[str, Any], path: str) -> str | None:
        value = entry.get("value")
        if isinstance(value, dict | list):
            self.complain(f"{path}.value", "needs one text or number")
            return None
        return None if value is None else str(value)

    def replacements(self, entry: dict[str, Any], path: str) -> dict[str, str]:
        values = entry.get("values", {})
        if not isinstance(values, dict) or any(isinstance(v, dict | list) for v in values.values()):
            self.complain(f"{path}.values", 'needs a table such as { "old" = "new" }')
            return {}
        return {key: str(value) for key, value in values.items()}

    def file(self, table: dict[str, Any]) -> FileRule:
        self.known(table, _FILE, "file")
        formats = tuple(str(item) for item in Format)
        rule = FileRule(
            format=Format(self.choice(table, "format", formats, "file", "auto")),
            encoding=self.text(table, "encoding", "file"),
            delimiter=self.text(table, "delimiter", "file"),
            quote=self.text(table, "quote", "file") or '"',
            header=self.flag(table, "header", "file", default=True),
            columns=self.texts(table, "columns", "file"),
        )
        for key in ("delimiter", "quote"):
            value = getattr(rule, key)
            if value is not None and (len(value) != 1 or not value.isascii()):
                self.complain(f"file.{key}", "must be one ASCII character")
        if rule.encoding is not None:
            try:
                "".encode(rule.encoding)
            except LookupError:
                self.complain("file.encoding", f"{rule.encoding!r} is no known encoding")
        if not rule.header and not rule.columns:
            self.complain("file.columns", "is needed where the file has no header")
        return rule

    def skip(self, entries: Any) -> tuple[SkipRule, ...]:
        if not isinstance(entries, list):
            self.complain("skip_where", "needs tables: [[skip_where]]")
            return ()
        rules = []
        for number, entry in enumerate(entries):
            path = f"skip_where[{number}]"
            if not isinstance(entry, dict):
                self.complain(path, "needs a table")
                continue
            self.known(entry, _SKIP, path)
            column = self.text(entry, "column", path)
            if column is None or ("is" in entry) == ("is_not" in entry):
                self.complain(path, "needs `column` and either `is` or `is_not`")
                continue
            unless = "is_not" in entry
            values = self.texts(entry, "is_not" if unless else "is", path)
            rules.append(SkipRule(column=column, values=values, unless=unless))
        return tuple(rules)

    def zone(self, value: Any, path: str) -> str | None:
        if value is None:
            return None
        if value == UNKNOWN_ZONE:
            self.complain(
                path,
                "only you can answer this: where does the business live? "
                'For example "Europe/Helsinki", or "UTC"',
            )
            return None
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, TypeError, OSError):
            self.complain(path, f"{value!r} is no IANA time zone such as Europe/Helsinki")
            return None
        return str(value)

    def formats(
        self, table: dict[str, Any], key: str, path: str, named: Iterable[str]
    ) -> tuple[str, ...]:
        found = self.texts(table, key, path)
        for text in found:
            if text not in named and "%" not in text:
                self.complain(
                    f"{path}.{key}",
                    f"{text!r} is neither one of {', '.join(named)} nor a pattern such as %d-%m-%Y",
                )
        return found

    def known(self, table: dict[str, Any], allowed: Iterable[str], path: str) -> None:
        for key in table:
            if key not in allowed:
                where = f"{path}.{key}" if path else key
                self.complain(where, f"is no key of a mapping here{_close(key, allowed)}")

    def table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if isinstance(value, dict):
            return value
        self.complain(key, f"needs a table: [{key}]")
        return {}

    def text(self, table: dict[str, Any], key: str, path: str) -> str | None:
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            self.complain(f"{path}.{key}", f"needs a text, not {value!r}")
            return None
        return value

    def texts(self, table: dict[str, Any], key: str, path: str) -> tuple[str, ...]:
        value = table.get(key, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.complain(f"{path}.{key}" if path else key, "needs a list of texts")
            return ()
        return tuple(value)

    def flag(self, table: dict[str, Any], key: str, path: str, *, default: bool) -> bool:
        value = table.get(key, default)
        if not isinstance(value, bool):
            self.complain(f"{path}.{key}", f"needs true or false, not {value!r}")
            return default
        return value

    def choice(
        self,
        table: dict[str, Any],
        key: str,
        options: tuple[str, ...],
        path: str,
        default: Any,
        *,
        required: bool = False,
    ) -> Any:
        value = table.get(key)
        if value is None and not required:
            return default
        if value not in options:
            where = f"{path}.{key}" if path else key
            if not options:
                self.complain(where, "means nothing for this field")
            else:
                given = "is missing" if value is None else f"is {value!r}"
                self.complain(where, f"{given}; it can be {', '.join(options)}")
            return default
        return value


def _close(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=2)
    return f"; did you mean {' or '.join(close)}?" if close else ""
