"""Commands for models: train, evaluate, predict, models."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from foodex.cli import output
from foodex.cli.jobs import predict_file
from foodex.cli.options import AsJson, State, run, settings_for, system_for
from foodex.core.errors import Conflict, FieldProblem, FoodexError, InvalidInput, NotFound, of_type
from foodex.domain.deliveries import FIELD, Kind
from foodex.domain.forecasts import QUANTILES, Forecast
from foodex.domain.loads import Format
from foodex.domain.models import EvaluationRequest, Job, JobState, TrainingRequest

if TYPE_CHECKING:
    from foodex.bootstrap import System

models_app = typer.Typer(help="Models and their versions.", no_args_is_help=True)

_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


def add_to(app: typer.Typer) -> None:
    """Put these commands under `foodex`."""
    app.command("train")(train)
    app.command("evaluate")(evaluate)
    app.command("predict")(predict)
    app.add_typer(models_app, name="models")


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = FieldProblem(name, f"'{text}' is no ISO 8601 time, e.g. 2026-09-01T00:00:00Z")
        raise InvalidInput("The time cannot be read", problems=[problem]) from None
    if moment.tzinfo is None:
        problem = FieldProblem(name, f"'{text}' has no zone; add Z for UTC or e.g. +03:00")
        raise InvalidInput("The time cannot be used", problems=[problem])
    return moment.astimezone(UTC)


async def _follow(system: "System", job: Job, what: str) -> Job:
    try:
        job = await output.follow(
            what,
            job,
            lambda seen: system.ml.wait_for_job(seen.id, seen=seen.progress, timeout_seconds=5),
            lambda seen: (seen.progress, seen.message, seen.state in _ENDED),
        )
    except BaseException:
        # Ctrl-C: a job nobody waits for any more is not left running behind the user's back.
        with suppress(FoodexError):
            await system.ml.cancel_job(job.id)
        raise
    if job.state is JobState.CANCELLED:
        raise Conflict(f"The job '{job.id}' was cancelled")
    if job.state is JobState.FAILED:
        raise of_type(job.error_type, job.error or f"The job '{job.id}' failed")
    return job


def train(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="The data set to learn from.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The model to make a version of.")],
    algorithm: Annotated[
        str,
        typer.Option(
            "--algorithm", "-a", help="linear_regression, random_forest or gradient_boosting."
        ),
    ] = "gradient_boosting",
    until: Annotated[
        str | None, typer.Option(help="Learn only from what was delivered before this time.")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Learn only from rows whose value here is `train`.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A field the model must not see; may be repeated.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Put the version into production when done.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed; the same seed, the same model.")] = 0,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Train a version of a model and say how good it is."""

    async def main() -> None:
        request = TrainingRequest(
            dataset=dataset,
            model=model,
            algorithm=algorithm,
            until=_time("until", until),
            split_column=split_column,
            without=tuple(name for given in without or () for name in given.split(",")),
            promote=promote,
            seed=seed,
        )
        async with system_for(settings_for(state)) as system:
            job = await system.ml.start_training(request)
            job = await _follow(system, job, f"training {model}")
            number = int((job.result or {})["version"])
            version = await system.ml.version(model, number)
        if as_json:
            output.emit(version)
            return
        place = "in production" if version.in_production else "not in production yet"
        output.out().print(f"[green]✓[/] [bold]{model}:{version.version}[/] is trained, {place}")
        _show_summary(version.summary)

    run(main)


def _show_summary(summary: Any) -> None:
    metrics = dict(summary.get("metrics") or {})
    if metrics:
        output.table(
            ("held-out part", ""),
            [(name, value) for name, value in metrics.items() if isinstance(value, (int, float))],
        )


def evaluate(
    model: Annotated[str, typer.Option("--model", "-m", help="The model, or model:version.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="The data set to judge on.")],
    since: Annotated[
        str | None, typer.Option(help="Judge the orders placed from this time on.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model on past orders, each seen as on the day it was placed, beside baselines."""

    async def main() -> None:
        name, _, number = model.partition(":")
        if number and not number.isdigit():
            raise InvalidInput(f"'{model}' is no model:version, e.g. {name}:3")
        request = EvaluationRequest(
            model=name,
            version=int(number) if number else None,
            dataset=dataset,
            since=_time("since", since),
        )
        async with system_for(settings_for(state)) as system:
            job = await system.ml.start_evaluation(request)
            job = await _follow(system, job, f"evaluating {model}")
        result = dict(job.result or {})
        if as_json:
            output.emit(result)
        else:
            _show_evaluation(model, result)

    run(main)


def _show_evaluation(model: str, result: dict[str, Any]) -> None:
    shown = (
        ("mae_minutes", "MAE, min", 1.0),
        ("bias_minutes", "bias, min", 1.0),
        ("within_5", "within 5 min, %", 100.0),
        ("within_10", "within 10 min, %", 100.0),
        ("p90_abs_error_minutes", "p90 error, min", 1.0),
        ("coverage_90", "90 % interval holds, %", 100.0),
        ("on_time_share", "on time, %", 100.0),
    )
    rows = [(model, result), *dict(result.get("baselines") or {}).items()]
    output.table(
        ("", *(title for _, title, _ in shown)),
        [
            (
                name,
                *(
                    None if figures.get(key) is None else float(figures[key]) * factor
                    for key, _, factor in shown
                ),
            )
            for name, figures in rows
        ],
        title=f"{result.get('n', 0):,} orders",
    )


def predict(
    fields: Annotated[
        list[str] | None, typer.Argument(help="The order: field=value …", show_default=False)
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", "-o", help="The order as a JSON object, or @FILE.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model; else the one in production.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each factor adds, in minutes.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file of orders, forecast as a job.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option("--mapping", help="How the file's columns are read: name or file.")
    ] = None,
    output_format: Annotated[
        Format, typer.Option("--format", help="How the answer to a file is written.")
    ] = Format.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to save the answer to a file in.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Forecast one order and say what to promise, or all orders of a file."""
    if file is not None:
        predict_file(
            file,
            mapping=mapping,
            model=model,
            format_=output_format,
            out=out,
            state=state,
            as_json=as_json,
        )
        return

    async def main() -> None:
        given = _order(order) | _fields(fields or [])
        async with system_for(settings_for(state)) as system:
            forecast = await system.ml.forecast(given, model=model, explain=explain)
        if as_json:
            output.emit(forecast)
        else:
            _show_forecast(forecast)

    run(main)


def _order(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw, type=dict[str, Any])
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {text[1:]}") from None
    except OSError as error:
        raise InvalidInput(f"{text[1:]} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The order is no JSON object: {error}") from None


def _fields(pairs: list[str]) -> dict[str, Any]:
    order: dict[str, Any] = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found:
            raise InvalidInput(f"'{pair}' is no field=value")
        field = FIELD.get(name)
        if field is not None and field.kind in (Kind.TEXT, Kind.CATEGORY, Kind.TIME):
            order[name] = text
            continue
        try:
            order[name] = float(text) if "." in text or "e" in text.lower() else int(text)
        except ValueError:
            order[name] = text
    return order


def _show_forecast(forecast: Forecast) -> None:
    low, median, high = (
        forecast.quantiles_minutes[QUANTILES.index(level)] for level in (0.05, 0.5, 0.95)
    )
    console = output.out()
    if forecast.promise:
        promise = forecast.promise
        console.print(
            f"Promise [bold green]{promise.earliest_minutes}–{promise.minutes} min[/]"
            f"  [dim](policy {promise.policy})[/]"
        )
    name = f"{forecast.model}:{forecast.version}" if forecast.model else "no model"
    console.print(f"Forecast {median:.1f} min, 90 % between {low:.1f} and {high:.1f} min")
    console.print(
        f"[dim]from {forecast.source} ({name})[/]"
        + (" [yellow]degraded[/]" if forecast.degraded else "")
    )
    if forecast.missing:
        console.print(f"[dim]without {', '.join(forecast.missing)}[/]")
    if forecast.explanation:
        explanation = forecast.explanation
        output.table(
            ("factor", "minutes"),
            [
                ("a typical order", explanation.typical_minutes),
                *((factor.name, factor.minutes) for factor in explanation.factors),
            ],
        )


@models_app.command("list")
def list_models(state: State = None, as_json: AsJson = False) -> None:
    """List the models."""

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            found = await system.ml.models()
        if as_json:
            output.emit(found)
        elif not found:
            output.out().print("No models yet: `foodex train --dataset D --model NAME`")
        else:
            output.table(
                ("model", "versions", "latest", "in production", "created"),
                [(m.name, m.versions, m.latest, m.production, m.created_at) for m in found],
            )

    run(main)


@models_app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="The model, or model:version.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's versions, or all that is known of one version."""

    async def main() -> None:
        name, _, number = model.partition(":")
        async with system_for(settings_for(state)) as system:
            if number:
                version = await system.ml.version(name, _version(number))
                if as_json:
                    output.emit(version)
                    return
                output.out().print(
                    f"[bold]{name}:{version.version}[/] {version.algorithm} on {version.dataset}, "
                    f"by {version.who} at {version.created_at:%Y-%m-%d %H:%M} UTC"
                )
                _show_summary(version.summary)
                importance = dict(version.summary.get("importance") or {})
                ranked = sorted(importance.items(), key=lambda item: -float(item[1]))[:15]
                output.table(("feature", "importance"), [(n, float(v)) for n, v in ranked])
                return
            found = await system.ml.model(name)
            versions = await system.ml.versions(name)
            log = await system.ml.production_log(name)
        if as_json:
            output.emit({"model": found, "versions": versions, "production_log": log})
            return
        output.table(
            ("version", "algorithm", "data set", "MAE, min", "created", "by", "in production"),
            [
                (
                    v.version,
                    v.algorithm,
                    v.dataset,
                    dict(v.summary.get("metrics") or {}).get("mae_minutes"),
                    v.created_at,
                    v.who,
                    v.in_production,
                )
                for v in versions
            ],
            title=name,
        )
        output.table(
            ("when", "what", "version", "before", "by"),
            [(c.at, c.action, c.version, c.previous, c.who) for c in log],
            title="production log",
        )

    run(main)


@models_app.command("promote")
def promote(
    model: Annotated[str, typer.Argument(help="model:version")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Put a version into production."""

    async def main() -> None:
        name, _, number = model.partition(":")
        async with system_for(settings_for(state)) as system:
            if number:
                chosen = _version(number)
            elif (latest := (await system.ml.model(name)).latest) is None:
                raise NotFound(f"The model '{name}' has no version yet")
            else:
                chosen = latest
            changed = await system.ml.promote(name, chosen)
        if as_json:
            output.emit(changed)
        else:
            output.out().print(f"[green]✓[/] {name}:{changed.production} is in production")

    run(main)


@models_app.command("rollback")
def rollback(
    model: Annotated[str, typer.Argument(help="The model.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Put back the version that was in production before."""

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            changed = await system.ml.rollback(model)
        if as_json:
            output.emit(changed)
        else:
            output.out().print(f"[green]✓[/] {model}:{changed.production} is in production again")

    run(main)


def _version(text: str) -> int:
    if not text.isdigit():
        raise InvalidInput(f"'{text}' is no version number")
    return int(text)
