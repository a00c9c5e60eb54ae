"""Reading price lists: every wrong key has its own complaint, and prices stay exact."""

import tomllib
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from foodex.core.errors import FieldProblem, FoodexError, InvalidInput
from foodex.core.settings import Stage
from foodex.domain.costs import (
    GB,
    MAX_BYTES,
    MAX_PREDICTIONS,
    MICRO,
    Load,
    Per,
    PriceLine,
    PriceList,
)
from foodex.domain.money import checked_currency

SOURCE_KINDS: Final = ("list", "quote", "bill", "planning")
MAX_PRICE: Final = 10**6
"""Units of the currency; what costs more for an hour or a gigabyte is a mistake."""

_TOP: Final = (
    *("name", "currency", "dated", "source", "source_kind", "hours_per_month", "peak_factor"),
    *("reference", "stages"),
)
_REFERENCE: Final = ("predictions", "objects_gb")
_LINE: Final = (
    *("name", "price", "per", "gb", "machines", "predictions_per_second", "least", "most"),
    "note",
)
_GROWING: Final = ("predictions_per_second", "least", "most")


def read_price_list(toml: str) -> PriceList:
    """A price list's TOML as values.

    Raises:
        InvalidInput: `problems` has one entry per wrong key, named by its path.
    """
    try:
        table = tomllib.loads(toml, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, ArithmeticError) as error:
        raise InvalidInput(
            "The price list is not valid TOML", problems=[FieldProblem("prices", str(error))]
        ) from None
    reader = _Reader()
    prices = reader.price_list(table)
    if reader.problems or prices is None:
        count = len(reader.problems)
        raise InvalidInput(
            f"The price list has {count} mistake{'s' if count > 1 else ''}",
            problems=reader.problems,
        )
    return prices


class _Reader:
    def __init__(self) -> None:
        self.problems: list[FieldProblem] = []

    def complain(self, path: str, message: str) -> None:
        self.problems.append(FieldProblem(path, message))

    def price_list(self, table: dict[str, Any]) -> PriceList | None:
        self.known(table, _TOP, "")
        reference = self.table(table.get("reference"), "reference")
        self.known(reference, _REFERENCE, "reference.")
        stages = self.stages(table.get("stages"))
        predictions = self.whole(reference, "predictions", "reference.", 1, MAX_PREDICTIONS)
        object_bytes = self.scaled(reference, "objects_gb", "reference.", GB, MAX_BYTES // GB)
        name, source = (self.text(table, key, "") for key in ("name", "source"))
        currency = self.currency(table.get("currency"))
        dated = self.day(table.get("dated"))
        kind = self.choice(table, "source_kind", SOURCE_KINDS, "")
        hours = self.whole(table, "hours_per_month", "", 1, 744)
        peak = self.whole(table, "peak_factor", "", 1, 10_000)
        if dated is None or kind is None or self.problems:
            return None
        return PriceList(
            name=name,
            currency=currency,
            dated=dated,
            source=source,
            source_kind=kind,
            hours_per_month=hours,
            peak_factor=peak,
            reference=Load(predictions=predictions, object_bytes=object_bytes),
            stages=stages,
        )

    def stages(self, value: Any) -> dict[Stage, tuple[PriceLine, ...]]:
        table = self.table(value, "stages")
        self.known(table, tuple(Stage), "stages.")
        found = {}
        for stage in Stage:
            lines = table.get(stage)
            if lines is None:
                continue
            if not isinstance(lines, list) or not lines:
                self.complain(f"stages.{stage}", "must be a list of lines: [[stages.…]]")
                continue
            found[stage] = tuple(
                self.line(self.table(line, path), f"{path}.")
                for number, line in enumerate(lines, 1)
                for path in [f"stages.{stage}.{number}"]
            )
        if not found:
            self.complain("stages", f"has no lines for any of {', '.join(Stage)}")
        return found

    def line(self, table: dict[str, Any], path: str) -> PriceLine:
        self.known(table, _LINE, path)
        per = self.choice(table, "per", tuple(Per), path)
        fixed = None
        for key, unit in (("gb", Per.GB_MONTH), ("machines", Per.MACHINE_HOUR)):
            if key in table and per and per != unit:
                self.complain(path + key, f"goes with per = '{unit}' alone")
            elif key in table:
                fixed = self.whole(table, key, path, 0, 10**9)
        if per == Per.MACHINE_HOUR and ("machines" in table) == ("predictions_per_second" in table):
            self.complain(path + "machines", "is needed, or else predictions_per_second")
        for key in _GROWING:
            if key in table and "predictions_per_second" not in table:
                self.complain(path + key, "goes with predictions_per_second alone")
            elif key in table and per and per != Per.MACHINE_HOUR:
                self.complain(path + key, f"goes with per = '{Per.MACHINE_HOUR}' alone")
        least = self.whole(table, "least", path, 1, 10**6) if "least" in table else 1
        most = self.whole(table, "most", path, 1, 10**6) if "most" in table else None
        if most is not None and most < least:
            self.complain(path + "most", "is below least")
        return PriceLine(
            name=self.text(table, "name", path),
            per=Per(per) if per else Per.MONTH,
            price_micros=self.scaled(table, "price", path, MICRO, MAX_PRICE),
            fixed=fixed,
            predictions_per_second=(
                self.whole(table, "predictions_per_second", path, 1, 10**9)
                if "predictions_per_second" in table
                else None
            ),
            least=least,
            most=most,
            note=self.text(table, "note", path) if "note" in table else "",
        )

    def known(self, table: dict[str, Any], keys: Collection[str], path: str) -> None:
        for key in table:
            if key not in keys:
                near = get_close_matches(key, keys, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.complain(path + key, f"is no key of a price list{hint}")

    def table(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.complain(path, "is missing" if value is None else "must be a table")
        return {}

    def text(self, table: dict[str, Any], key: str, path: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self.complain(path + key, "is missing" if key not in table else "must be a text")
        return ""

    def choice(
        self, table: dict[str, Any], key: str, choices: Collection[str], path: str
    ) -> str | None:
        value = table.get(key)
        if value in choices:
            return str(value)
        said = "is missing" if key not in table else f"{value!r} is none of them"
        self.complain(path + key, f"{said}: {', '.join(choices)}")
        return None

    def whole(self, table: dict[str, Any], key: str, path: str, least: int, most: int) -> int:
        value = table.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        said = "is missing" if key not in table else "must be"
        self.complain(path + key, f"{said}: a whole number from {least:,} to {most:,}")
        return least

    def scaled(self, table: dict[str, Any], key: str, path: str, scale: int, most: int) -> int:
        """A decimal as a whole number of its smallest parts; finer ones are refused."""
        value = table.get(key)
        if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value <= most:
            parts = value * scale
            if parts == int(parts):
                return int(parts)
            self.complain(path + key, f"{value} is finer than 1/{scale:,}")
            return 0
        said = "is missing" if key not in table else "must be"
        self.complain(path + key, f"{said}: a number from 0 to {most:,}")
        return 0

    def currency(self, value: Any) -> str:
        try:
            return checked_currency(value)
        except FoodexError:
            self.complain("currency", "must be three capital letters, as in EUR")
            return ""

    def day(self, value: Any) -> date | None:
        # A date with a time is a date too, to Python.
        if type(value) is date:
            return value
        self.complain("dated", "must be the day of the prices, as in 2026-11-21")
        return None
