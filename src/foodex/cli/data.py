"""Commands for data: mapping, import, datasets."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import typer

from foodex.cli import output
from foodex.cli.options import AsJson, State, run, settings_for, system_for
from foodex.core.errors import Conflict, FieldProblem, FoodexError, InvalidInput, of_type
from foodex.domain.datasets import Layer
from foodex.domain.loads import Load, LoadState, Rejection, Source, SourceKind
from foodex.domain.mappings import Suggestion

if TYPE_CHECKING:
    from foodex.bootstrap import System

mapping_app = typer.Typer(help="Mappings: how a company's export becomes delivery records.")
datasets_app = typer.Typer(help="Data sets.", invoke_without_command=True)

_PIECE: Final = 1 << 20


def add_to(app: typer.Typer) -> None:
    """Put these commands under `foodex`."""
    app.add_typer(mapping_app, name="mapping", no_args_is_help=True)
    app.command("import")(import_file)
    app.add_typer(datasets_app, name="datasets")


@mapping_app.command("suggest")
def suggest(
    file: Annotated[Path, typer.Argument(help="An export of past orders.")],
    save: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the mapping to this file.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Write a first mapping for a file: what each column seems to be, and what is in doubt."""
    local = _local(file)

    async def main() -> Suggestion:
        async with system_for(settings_for(state)) as system:
            source = await _source(system, local)
            suggestion = await system.collector.suggest_mapping(source)
        return suggestion

    suggestion = run(main)
    if save is not None:
        output.write(save, suggestion.toml.encode())
    if as_json:
        output.emit(suggestion)
    elif save is None:
        typer.echo(suggestion.toml, nl=False)
    questions = suggestion.questions
    if questions and not as_json:
        output.err().print("[yellow]Please answer in the mapping before importing:[/]")
        for question in questions:
            output.err().print(f"  • {question}", markup=False)


def import_file(
    file: Annotated[
        Path,
        typer.Argument(help="The export: CSV (also gz), Parquet or NDJSON, or a folder of them."),
    ],
    mapping: Annotated[str, typer.Option("--mapping", "-m", help="A mapping's file or name.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="The data set to fill.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Import past orders into a data set; rows that cannot be used are kept with their reason."""
    local, mapping_text = _local(file), _mapping_text(mapping)

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            source = await _source(system, local)
            load = await system.collector.start_load(source, mapping=mapping_text, dataset=dataset)
            load = await _follow(system, load, f"importing {file.name}")
            examples = await _examples(system, load) if load.rows_rejected else {}
        _report(load, file, examples, as_json=as_json)

    run(main)


async def _follow(system: "System", load: Load, what: str) -> Load:
    try:
        return await output.follow(
            what,
            load,
            lambda seen: system.collector.wait_for_load(
                seen.id, seen=seen.progress, timeout_seconds=5
            ),
            lambda seen: (
                seen.progress,
                f"{seen.rows_read:,} rows",
                seen.state is not LoadState.RUNNING,
            ),
        )
    except BaseException:
        # Ctrl-C: a load nobody waits for any more is not left running behind the user's back.
        with suppress(FoodexError):
            await system.collector.cancel_load(load.id)
        raise


async def _examples(system: "System", load: Load) -> dict[str, Rejection]:
    """By rule, the first row that it refused."""
    found: dict[str, Rejection] = {}
    for rejection in await system.collector.rejections(load.id, limit=1000):
        found.setdefault(rejection.rule, rejection)
    return found


def _report(load: Load, file: Path, examples: dict[str, Rejection], *, as_json: bool) -> None:
    if load.state is LoadState.FAILED:
        raise of_type(load.error_type, load.error or f"{file} could not be imported")
    if load.state is LoadState.CANCELLED:
        raise Conflict(f"Load {load.id} of {file} was cancelled")
    if as_json:
        output.emit(load)
    if load.rows_read and not load.rows_kept and set(examples) - {"duplicate_order"}:
        raise InvalidInput(
            f"No row of {file.name} could be used; the rows are kept with their reasons in load "
            f"{load.id}",
            problems=[FieldProblem(e.field, e.reason, e.row) for e in examples.values()],
        )
    if as_json:
        return
    console = output.out()
    if load.state is LoadState.DUPLICATE:
        console.print(f"The same content is in '{load.dataset}' already; nothing was added.")
        return
    console.print(
        f"[green]✓[/] {load.rows_kept:,} of {load.rows_read:,} rows are in "
        f"[bold]{load.dataset}[/] ({load.duration_seconds or 0:.1f} s, load {load.id})"
    )
    if load.rows_rejected:
        output.table(
            ("rejected by", "rows", "for example"),
            [
                (rule, rows, _where(examples[rule]) if rule in examples else None)
                for rule, rows in sorted(load.rejected_by_rule.items(), key=lambda item: -item[1])
            ],
        )


def _where(example: Rejection) -> str:
    return str(FieldProblem(example.field or "the row", example.reason, example.row))


def _mapping_text(mapping: str) -> str:
    path = Path(mapping)
    if path.suffix == ".toml" or path.exists():
        try:
            # What stands in a file is a mapping, however little it is, and never a name.
            return path.read_text() + "\n"
        except FileNotFoundError:
            raise InvalidInput(
                f"There is no mapping file {mapping}; `foodex mapping suggest FILE -o {mapping}` "
                "writes a first one"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"The mapping {mapping} cannot be read: {error}") from None
    return mapping


@dataclass(frozen=True, slots=True)
class _Local:
    """A file or folder of this machine."""

    path: Path
    is_folder: bool


def _local(path: Path) -> _Local:
    if not path.exists():
        raise InvalidInput(f"There is no file {path}")
    return _Local(path.absolute(), path.is_dir())


async def _source(system: "System", local: _Local) -> Source:
    """The file as a source: by its path in this process, else sent to the running system."""
    path, name = local.path, local.path.name
    if system.local:
        kind = SourceKind.FOLDER if local.is_folder else SourceKind.FILE
        return Source(name=name, kind=kind, location=str(path))
    if local.is_folder:
        raise InvalidInput(
            "A folder can be imported only while FoodEx is not running; import its files one by one"
        )
    return await system.collector.upload(name, _pieces(path))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(_PIECE):
            yield piece


@datasets_app.callback()
def datasets(context: typer.Context, state: State = None, as_json: AsJson = False) -> None:
    """List the data sets."""
    if context.invoked_subcommand is not None:
        return

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            found = await system.storage.datasets()
        if as_json:
            output.emit(found)
        elif not found:
            output.out().print("No data sets yet: `foodex import FILE --mapping M --dataset NAME`")
        else:
            output.table(
                ("data set", "layer", "rows", "columns", "first order", "last order", "zone"),
                [
                    (d.name, d.layer, d.rows, len(d.columns), d.first_at, d.last_at, d.time_zone)
                    for d in found
                ],
            )

    run(main)


@datasets_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The data set.")],
    raw: Annotated[bool, typer.Option("--raw", help="The rows as they came.")] = False,
    rows: Annotated[int, typer.Option("--rows", min=0, max=1000, help="Rows to show.")] = 5,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show a data set: its columns and its first rows."""

    async def main() -> None:
        layer = Layer.RAW if raw else Layer.PROCESSED
        async with system_for(settings_for(state)) as system:
            dataset = await system.storage.dataset(name, layer)
            page = await system.storage.rows(name, layer, limit=max(1, rows))
        shown = page.rows[:rows]
        if as_json:
            output.emit({"dataset": dataset, "rows": shown})
            return
        output.out().print(
            f"[bold]{dataset.name}[/] ({dataset.layer}): {dataset.rows:,} rows, "
            f"local times in {dataset.time_zone}"
        )
        examples = [
            ", ".join(str(row[c.name]) for row in shown if row.get(c.name) is not None)
            for c in dataset.columns
        ]
        output.table(
            ("column", "kind", "first values"),
            [
                (c.name, c.kind, text[:70])
                for c, text in zip(dataset.columns, examples, strict=True)
            ],
        )

    run(main)


@datasets_app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="The data set.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    state: State = None,
) -> None:
    """Delete a data set, raw and processed, with all its rows."""
    if not yes:
        typer.confirm(f"Delete the data set '{name}' with all its rows?", abort=True)

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            layers = [d.layer for d in await system.storage.datasets() if d.name == name]
            for layer in layers or [Layer.PROCESSED]:
                await system.storage.delete_dataset(name, layer)
        output.out().print(f"Deleted [bold]{name}[/].")

    run(main)
