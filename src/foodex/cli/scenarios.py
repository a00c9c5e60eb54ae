"""Commands for scenarios: what can be done, doing it, and what was done."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from foodex.cli import output
from foodex.cli.options import AsJson, State, run, settings_for, system_for
from foodex.core.errors import Conflict, FieldProblem, FoodexError, InvalidInput, of_type
from foodex.domain.jobs import JobState
from foodex.domain.reports import Figure, shown

if TYPE_CHECKING:
    from foodex.bootstrap import System
    from foodex.domain.scenarios import Outcome, Run, ScenarioDescription

scenario_app = typer.Typer(help="Things to have done, each with its history.", no_args_is_help=True)

_FREE = {"allow_extra_args": True, "ignore_unknown_options": True}
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="The folder to save the files in, if there are.")
]


def add_to(app: typer.Typer) -> None:
    """Put these commands under `foodex`."""
    app.add_typer(scenario_app, name="scenario")


@scenario_app.command("list")
def list_scenarios(state: State = None, as_json: AsJson = False) -> None:
    """List what can be done."""

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            found = await system.scenarios.scenarios()
        if as_json:
            output.emit(found)
            return
        output.table(
            ("scenario", "what it is for", "who may"),
            [(one.name, one.purpose, ", ".join(one.roles)) for one in found],
        )

    run(main)


@scenario_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The scenario, as `foodex scenario list` names it.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show what a scenario takes."""

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            found = await system.scenarios.scenario(name)
        if as_json:
            output.emit(found)
            return
        output.out().print(f"[bold]{found.title}[/]")
        output.out().print(found.purpose + "\n")
        needed = frozenset(found.parameters.get("required", ()))
        fields: Mapping[str, Any] = found.parameters["properties"]
        output.table(
            ("parameter", "kind", "default", "what it is"),
            [
                (
                    f"--{field}",
                    _kind(about),
                    "needed" if field in needed else _text(about.get("default")),
                    about.get("description", ""),
                )
                for field, about in fields.items()
            ],
        )

    run(main)


@scenario_app.command("run", context_settings=_FREE)
def run_scenario(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The scenario; its parameters as `--name value`.")],
    out: Out = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario to its end, say what came of it, and save its files."""

    async def main() -> None:
        async with system_for(settings_for(state), work=True) as system:
            scenario = await system.scenarios.scenario(name)
            parameters = await _sent(system, scenario, _parameters(scenario, context.args))
            begun = await system.scenarios.start(name, parameters)
            await _to_the_end(system, begun, out, as_json=as_json)

    run(main)


@scenario_app.command("repeat")
def repeat(
    run_id: Annotated[str, typer.Argument(help="The run, as `foodex scenario history` names it.")],
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="With what was asked for then, not exactly as it was made then."
        ),
    ] = False,
    out: Out = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario again as it was run before."""

    async def main() -> None:
        async with system_for(settings_for(state), work=True) as system:
            begun = await system.scenarios.repeat(run_id, anew=anew)
            await _to_the_end(system, begun, out, as_json=as_json)

    run(main)


@scenario_app.command("history")
def history(
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Of this scenario only; repeatable.")
    ] = None,
    in_state: Annotated[
        list[JobState] | None, typer.Option("--in", help="In this state only; repeatable.")
    ] = None,
    who: Annotated[str | None, typer.Option(help="Of this person only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most runs.")] = 20,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show who ran what when, what came of it, and which files it left."""

    # Late: it brings the whole of the web with it.
    from foodex.domain.scenarios import RunFilter

    async def main() -> None:
        wanted = RunFilter(scenarios=tuple(scenario or ()), states=tuple(in_state or ()), who=who)
        async with system_for(settings_for(state)) as system:
            page = await system.scenarios.runs(wanted, limit=limit)
        if as_json:
            output.emit(page)
            return
        if not page.runs:
            output.out().print("No runs yet: `foodex scenario list` says what can be run")
            return
        output.table(
            ("run", "scenario", "state", "who", "when", "seconds", "files", "what came of it"),
            [
                (
                    one.id,
                    one.scenario,
                    one.state.value,
                    one.who,
                    one.created_at,
                    one.seconds,
                    ", ".join(file.name for file in one.files),
                    one.outcome.summary[0] if one.outcome else one.error or one.message,
                )
                for one in page.runs
            ],
        )

    run(main)


@scenario_app.command("cancel")
def cancel(
    run_id: Annotated[str, typer.Argument(help="The run, as `foodex scenario history` names it.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run."""

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            found = await system.scenarios.cancel(run_id)
        if as_json:
            output.emit(found)
        else:
            output.out().print(f"[green]✓[/] {found.title}, {found.id}: {found.state.value}")

    run(main)


def _parameters(scenario: "ScenarioDescription", words: Sequence[str]) -> dict[str, Any]:
    """`--name value` and `--name=value` as the scenario's parameters; lists by repeating a name.

    A value for an object is JSON or @FILE, and a file to be sent is @FILE; a name alone is a yes.
    """
    known: Mapping[str, Any] = scenario.parameters["properties"]
    given: dict[str, Any] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise InvalidInput(f"'{word}' is no parameter; they are given as --name value")
        name, found, value = word[2:].partition("=")
        name = name.replace("-", "_")
        kind = _kind(known[name]) if name in known else "string"
        if not found:
            if kind == "boolean" and (not waiting or waiting[0].startswith("--")):
                value = "true"
            elif waiting:
                value = waiting.pop(0)
            else:
                problem = FieldProblem(name, "has no value")
                raise InvalidInput(f"'{scenario.title}' cannot be run so", problems=[problem])
        if kind == "array":
            given.setdefault(name, []).extend(one for one in value.split(",") if one)
        else:
            given[name] = _object(name, value) if kind == "object" else value
    return given


async def _sent(
    system: "System", scenario: "ScenarioDescription", parameters: dict[str, Any]
) -> dict[str, Any]:
    """The parameters with the files sent that were given as @FILE."""
    for name, about in scenario.parameters["properties"].items():
        value = parameters.get(name)
        if "x-upload" not in about or not isinstance(value, str) or not value.startswith("@"):
            continue
        path = Path(value[1:])
        if about["x-upload"]["path"] == "/api/v1/collector/uploads":
            sent = await system.collector.upload(path.name, _pieces(path))
            parameters[name] = sent.location
        else:
            parameters[name] = (await system.files.put(path.name, _pieces(path))).file
    return parameters


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    with file:
        while piece := await asyncio.to_thread(file.read, 1 << 20):
            yield piece


def _object(name: str, text: str) -> Any:
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw)
    except OSError as error:
        raise InvalidInput(f"{text[1:]} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        problem = FieldProblem(name, f"is no JSON: {error}")
        raise InvalidInput("The parameters cannot be used", problems=[problem]) from None


def _kind(about: Mapping[str, Any]) -> str:
    kinds = [about, *about.get("anyOf", ())]
    found = [str(k["type"]) for k in kinds if k.get("type", "null") != "null"]
    found += ["string" for k in kinds if "enum" in k and "type" not in k]
    return found[0] if found else "string"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _to_the_end(system: "System", begun: "Run", out: Path | None, *, as_json: bool) -> None:
    scenarios = system.scenarios
    try:
        ended = await output.follow(
            begun.title,
            begun,
            lambda seen: scenarios.wait_for_run(seen.id, seen=seen.progress, timeout_seconds=5),
            lambda seen: (seen.progress, seen.message, seen.ended),
        )
    except BaseException:
        # Ctrl-C: what nobody waits for any more is not left running behind the user's back.
        with suppress(FoodexError):
            await scenarios.cancel(begun.id)
        raise
    if ended.state is JobState.CANCELLED:
        raise Conflict(f"The run '{ended.id}' was cancelled")
    if ended.state is not JobState.DONE:
        error = of_type(ended.error_type, ended.error or f"The run '{ended.id}' failed")
        error.problems = ended.problems
        raise error
    saved = await _save(system, ended, out) if out is not None else []
    if as_json:
        output.emit(ended)
        return
    if ended.outcome is not None:
        _tell(ended.outcome)
    if out is None and ended.files:
        names = ", ".join(file.name for file in ended.files)
        output.out().print(f"[dim]run {ended.id} left {names}; --out FOLDER saves them[/]")
    for path in saved:
        output.out().print(f"[green]✓[/] {path}")


async def _save(system: "System", ended: "Run", out: Path) -> list[Path]:
    await asyncio.to_thread(_make_folder, out)
    saved = []
    for file in ended.files:
        pieces = [piece async for piece in system.scenarios.file(ended.id, file.name)]
        output.write(out / file.name, b"".join(pieces))
        saved.append(out / file.name)
    return saved


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be made: {error.strerror}") from None


def _tell(outcome: "Outcome") -> None:
    console = output.out()
    for sentence in outcome.summary:
        console.print(sentence, markup=False)
    if outcome.figures:
        console.print()
        rows = [_row(figure) for figure in outcome.figures]
        # What no figure has is no column.
        titles = ("", "", "95 % between", "beside")
        some = [i for i in range(len(titles)) if any(row[i] for row in rows)]
        output.table([titles[i] for i in some], [[row[i] for i in some] for row in rows])
    for table in outcome.tables:
        console.print()
        output.table(
            tuple(column.title for column in table.columns),
            [
                tuple(
                    shown(cell, column.unit, column.currency)
                    for cell, column in zip(row, table.columns, strict=True)
                )
                for row in table.rows
            ],
            title=table.title,
        )


def _row(figure: Figure) -> tuple[str, str, str, str]:
    def said(value: float | None) -> str:
        return shown(value, figure.unit, figure.currency)

    between = "" if figure.low is None else f"{said(figure.low)} and {said(figure.high)}"
    beside = "" if figure.other is None else f"{figure.versus}: {said(figure.other)}"
    return figure.name, said(figure.value), between, beside
