"""Bring orders in from where they are."""

from pydantic import Field, model_validator

from foodex.core.access import Role
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.loads import Source, SourceKind
from foodex.domain.reports import Column, Figure, Table, Unit, of_hundred
from foodex.domain.scenarios import Outcome
from foodex.services.gateway.scenario import Context, Parameters, Scenario, one_of, sent_to
from foodex.services.gateway.scenario_steps import counted, exact_of, have_done


class CollectData(Parameters):
    source: str | None = Field(
        None,
        description="The name of a source that the collector knows.",
        examples=["orders-api"],
        json_schema_extra=one_of("sources"),
    )
    upload: str | None = Field(
        None,
        description="Or a file that was sent: the `location` that the upload gave.",
        examples=["collector/uploads/4f1c09ab22d07e55/orders.csv"],
        json_schema_extra=sent_to("/api/v1/collector/uploads", "location"),
    )
    mapping: str | None = Field(
        None,
        description="A mapping by its name or as TOML; without it, the source's own.",
        examples=["our-export"],
        json_schema_extra=one_of("mappings"),
    )
    dataset: str | None = Field(
        None,
        description="Where the rows go, also a new one; without it, the source's own.",
        examples=["orders"],
        json_schema_extra=one_of("datasets", or_new=True),
    )

    @model_validator(mode="after")
    def _from_one_place(self) -> "CollectData":
        if (self.source is None) == (self.upload is None):
            raise ValueError("either `source` or `upload` must be given")
        return self


async def run(context: Context[CollectData]) -> Outcome:
    """Have the collector load it, and say what was taken and what was not."""
    asked, collector = context.parameters, context.ports.collector
    source = await _source(context)
    mapping, dataset = asked.mapping or source.mapping, asked.dataset or source.dataset
    problems = [
        FieldProblem(name, f"is needed: the source '{source.name}' has none of its own")
        for name, value in (("mapping", mapping), ("dataset", dataset))
        if value is None
    ]
    if problems:
        raise InvalidInput("The data cannot be collected", problems=problems)
    load = await have_done(
        context,
        "load",
        {
            "source": asked.source or source,
            "mapping": mapping,
            "dataset": dataset,
        },
        to=0.95,
    )
    if load["rows_rejected"]:
        await context.job.put_file("rejected-rows.csv", collector.rejections_csv(load["id"]))
    read, kept = load["rows_read"], load["rows_kept"]
    rules = sorted(load["rejected_by_rule"].items(), key=lambda item: -item[1])
    if load["state"] == "duplicate":
        summary = [f"'{dataset}' has these rows already; nothing was added."]
    else:
        taken = f", {of_hundred(kept / read)} of those read" if read else ""
        summary = [f"{counted(kept, 'row')} taken into '{dataset}'{taken}."]
    if rules:
        summary.append(
            f"{counted(load['rows_rejected'], 'row')} rejected, mostly by the rule "
            f"'{rules[0][0]}'; each is in rejected-rows.csv with its reason."
        )
    return Outcome(
        summary=tuple(summary),
        figures=(
            Figure(name="Rows read", value=read, unit=Unit.COUNT),
            Figure(name="Rows taken", value=kept, unit=Unit.COUNT),
            Figure(name="Rows rejected", value=load["rows_rejected"], unit=Unit.COUNT),
        ),
        tables=(
            Table(
                title="Why rows were rejected",
                columns=(Column(title="Rule"), Column(title="Rows", unit=Unit.COUNT)),
                rows=tuple(rules),
            ),
        )
        if rules
        else (),
        exact=exact_of(asked, mapping=mapping, dataset=dataset),
        facts={"load": load},
    )


async def _source(context: Context[CollectData]) -> Source:
    asked = context.parameters
    if asked.upload is not None:
        return Source(name="upload", kind=SourceKind.UPLOAD, location=asked.upload)
    known = {source.name: source for source in await context.ports.collector.sources()}
    if asked.source not in known:
        there = f"there are: {', '.join(sorted(known))}" if known else "there are none yet"
        problem = FieldProblem("source", f"there is no source '{asked.source}'; {there}")
        raise InvalidInput("The data cannot be collected", problems=[problem])
    return known[asked.source]


SCENARIO = Scenario(
    name="collect-data",
    title="Collect data from a source",
    purpose="Bring orders from a file, a folder or a server into a data set, row by row judged.",
    parameters=CollectData,
    run=run,
    roles=frozenset({Role.ANALYST, Role.ADMIN}),
    # A source has other rows tomorrow.
    reproducible=False,
    timeout_seconds=86_400.0,
)
