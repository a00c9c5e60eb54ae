"""Batch predictions: a file of orders in, the same file with forecasts out, as a background job."""

import asyncio
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from foodex.core.access import SYSTEM, Role, acting_as
from foodex.core.clock import Clock
from foodex.core.errors import FieldProblem, InvalidInput, NotFound
from foodex.core.settings import BatchesSettings
from foodex.domain.deliveries import FIELD, ORDERS_AHEAD
from foodex.domain.deliveries import Kind as ColumnKind
from foodex.domain.ledger import Price
from foodex.domain.loads import Format
from foodex.domain.mapping_toml import read_mapping
from foodex.domain.models import Version
from foodex.ports.accounts import Accounts
from foodex.ports.collector import Collector
from foodex.ports.jobs import JobContext, Kind
from foodex.ports.ml import Ml
from foodex.ports.orders import Examine, Examined, Read, ReadRule, Scorer, name_of
from foodex.ports.storage import Storage
from foodex.services.gateway.kinds.scoring_process import REFUSED_FILE, predict_rows
from foodex.services.gateway.order_files import (
    fetch,
    key_of,
    saying_that_it_is_gone,
    shown_name,
)

NAME: Final = "predict_file"
OPERATION: Final = "eta_batch"
_OUTPUTS: Final = (Format.CSV, Format.NDJSON, Format.PARQUET)
_COMPUTING: Final = 0.9
"""The share of a job that is computing; the rest is fetching and keeping."""


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to forecast: an uploaded file, how its columns are to be read, by which model.

    `mapping` is a mapping's name or TOML; without it the columns are called as the fields of the
    delivery record. `output` is the format of the answer.
    """

    file: str
    mapping: str | None = None
    model: str | None = None
    output: Format = Format.CSV


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFunctions:
    """Who reads files of orders and who scores them, in a process of its own."""

    read: Read
    examine: Examine
    scorer: Scorer


class Predicting:
    """The kind `predict_file`."""

    def __init__(
        self,
        *,
        storage: Storage,
        collector: Collector,
        ml: Ml,
        accounts: Accounts,
        functions: FileFunctions,
        settings: BatchesSettings,
        clock: Clock,
    ) -> None:
        self._storage, self._collector = storage, collector
        self._ml, self._accounts = ml, accounts
        self._functions, self._settings, self._clock = functions, settings, clock

    def kind(self) -> Kind:
        """The kind of job, for clients too."""
        return Kind(
            name=NAME,
            run=self.run,
            roles=frozenset(Role),
            check=check,
            quote=self.quote,
            timeout_seconds=self._settings.max_seconds,
        )

    async def quote(self, parameters: Mapping[str, Any]) -> Price:
        """The price of every row of the file; raises what stands against the job, before it is.

        Raises:
            InvalidInput: a file or a mapping that cannot be used; says where.
            TooLarge: more than the limit.
        """
        request = msgspec.convert(parameters, BatchRequest)
        key = key_of(request.file)
        with acting_as(SYSTEM):
            version = await self._ml.answering(request.model)
            examined = await self._examined(request, key, version)
            return await self._price(version.model, examined.rows)

    async def run(self, context: JobContext) -> Mapping[str, Any]:
        """Forecast the file; each attempt begins anew, and leaves the same."""
        request = msgspec.convert(context.job.parameters, BatchRequest)
        context.report(0.0, "fetching the file")
        folder = context.folder
        path = await _subfolder(folder, "file") / shown_name(request.file)
        with saying_that_it_is_gone():
            await context.objects.get_file(key_of(request.file), path)
        kit = await self._unpacked(request.model, await _subfolder(folder, "kit"))
        done = await context.compute(
            predict_rows,
            {
                "file": str(path),
                "rule": msgspec.to_builtins(await self._rule(request, {})),
                "kit": str(kit),
                "read": name_of(self._functions.read),
                "examine": name_of(self._functions.examine),
                "scorer": name_of(self._functions.scorer),
                "output": request.output.value,
            },
        )
        context.report(_COMPUTING, "keeping the answer")
        answer = f"predictions.{request.output.value}"
        await context.put_file(answer, folder / answer)
        if done["refused"]:
            await context.put_file(REFUSED_FILE, folder / REFUSED_FILE)
        most = context.job.price.quantity if context.job.price else done["forecast"]
        context.charge(min(done["forecast"], most))
        return {**done, "file": answer}

    async def _examined(self, request: BatchRequest, key: str, version: Version) -> Examined:
        # What a model reads beyond the record is here only asked by name.
        features = version.summary.get("features", ())
        extras = {name: ColumnKind.NUMBER for name in features if name not in FIELD}
        rule = await self._rule(request, extras)
        with tempfile.TemporaryDirectory(prefix="foodex-orders-") as folder:
            pieces = self._storage.get_object(key)
            path = await fetch(pieces, request.file, Path(folder))
            return await asyncio.to_thread(self._functions.examine, path, rule)

    async def _rule(self, request: BatchRequest, extras: Mapping[str, ColumnKind]) -> ReadRule:
        return ReadRule(
            mapping=await self._mapping(request.mapping),
            extras=extras,
            latest=self._clock.now() + ORDERS_AHEAD,
            rows_at_once=self._settings.rows_at_once,
            file_bytes=self._settings.max_file_bytes,
        )

    async def _mapping(self, mapping: str | None) -> str | None:
        if mapping is None or _is_written(mapping):
            return mapping
        try:
            with acting_as(SYSTEM):
                return await self._collector.mapping(mapping)
        except NotFound:
            problem = FieldProblem("mapping", f"there is no mapping '{mapping}'")
            raise InvalidInput("The mapping is not known", problems=[problem]) from None

    async def _price(self, model: str, rows: int) -> Price:
        prices = {
            price.model: price
            for price in await self._accounts.price_list()
            if price.operation == OPERATION
        }
        listed = prices.get(model) or prices.get(None)
        if listed is None:
            raise NotFound(f"There is no price for '{OPERATION}'")
        return Price(
            operation=OPERATION,
            model=model,
            unit_minor=listed.unit_minor,
            currency=listed.currency,
            quantity=rows,
        )

    async def _unpacked(self, model: str | None, folder: Path) -> Path:
        with tempfile.TemporaryFile(dir=folder) as packed:
            async for piece in self._ml.kit(model):
                await asyncio.to_thread(packed.write, piece)
            packed.seek(0)

            def unpack() -> None:
                with tarfile.open(fileobj=packed) as tar:
                    tar.extractall(folder, filter="data")

            await asyncio.to_thread(unpack)
        return folder


def check(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters as they are kept.

    Raises:
        InvalidInput: names each that cannot be used.
    """
    try:
        request = msgspec.convert(parameters, BatchRequest)
    except msgspec.ValidationError as error:
        problem = FieldProblem("parameters", str(error))
        raise InvalidInput("The job cannot be accepted", problems=[problem]) from None
    if request.output not in _OUTPUTS:
        problem = FieldProblem("output", f"must be one of {', '.join(_OUTPUTS)}")
        raise InvalidInput("The job cannot be accepted", problems=[problem])
    key_of(request.file)
    if request.mapping is not None and _is_written(request.mapping):
        read_mapping(request.mapping, delivered=False)
    plain: Mapping[str, Any] = msgspec.to_builtins(request)
    return plain


def _is_written(mapping: str) -> bool:
    return "=" in mapping or "\n" in mapping


async def _subfolder(folder: Path, name: str) -> Path:
    path = folder / name
    await asyncio.to_thread(path.mkdir)
    return path
