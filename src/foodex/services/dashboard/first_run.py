"""Where somebody stands on the way from a file of their own to a judged model that answers.

Nothing of it is remembered here: every step follows from what the API tells.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from foodex.services.dashboard.gateway import Gateway
from foodex.services.dashboard.pages.jobs import RUNNING

DEMONSTRATION: Final = "demo_city"
"""The data set and the model that a first start makes of the simulated city."""
KEPT_BACK: Final = 0.2
"""The share of the time, at its end, whose orders judge the model and are not learned from."""
LEAST_ORDERS: Final = 50
_WHOLE_DAYS: Final = timedelta(days=5)
_LATER: Final = ("vehicle", "own_estimate_minutes")
"""Fields a new order often lacks: known only once a courier rides, or what FoodEx replaces."""

Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRun:
    """All there is of one data set's way; None where a step has not been reached.

    `training` is the newest job that kept orders back for judging, `whole` the newest one behind
    it that learned from all orders. `version` is what `training` made, `evaluation` the newest
    judgement of it.
    """

    dataset: Found | None = None
    load: Found | None = None
    training: Found | None = None
    version: Found | None = None
    evaluation: Found | None = None
    model: Found | None = None
    whole: Found | None = None
    own: tuple[str, ...] = ()
    has_demonstration: bool = False

    @property
    def has_orders(self) -> bool:
        """Whether there is anything to learn from."""
        return self.dataset is not None and self.dataset["rows"] > 0

    @property
    def is_importing(self) -> bool:
        """Whether the data set is being filled right now."""
        return self.load is not None and self.load["state"] == "running"

    @property
    def in_production(self) -> bool:
        """Whether the model answers."""
        return self.model is not None and self.model["production"] is not None

    @property
    def judgement(self) -> Found | None:
        """How good the version is: as it was judged, else as its training tells."""
        if self.evaluation is not None and self.evaluation["result"]:
            found: Found = self.evaluation["result"]
            return found
        if self.version is None or self.training is None or keeps_back(self.training):
            return None
        summary = self.version["summary"]
        metrics = summary.get("metrics") or {}
        if metrics.get("mae_minutes") is None:
            return None
        return {**metrics, "baselines": summary.get("baselines") or {}}

    @property
    def step(self) -> str:
        """The step that waits to be done: `file`, `import`, `train`, `judge` or `use`."""
        if self.is_importing:
            return "import"
        if not self.has_orders:
            return "file"
        if self.version is None:
            return "train"
        return "use" if self.judgement else "judge"


def is_done(job: Found | None) -> bool:
    """Whether a job came to its end well."""
    return job is not None and job["state"] == "done"


def is_running(job: Found | None) -> bool:
    """Whether a job waits or runs."""
    return job is not None and job["state"] in RUNNING


async def find(gateway: Gateway, name: str) -> FirstRun:
    """The way of the data set `name`; with none given, of the newest that is not simulated."""
    datasets, loads, jobs, models = await asyncio.gather(
        gateway.get("/storage/datasets"),
        gateway.get("/collector/loads", {"limit": 100}),
        gateway.get("/ml/jobs", {"limit": 200}),
        gateway.get("/ml/models"),
    )
    processed = {one["name"]: one for one in datasets if one["layer"] == "processed"}
    loads = [one for one in loads if one["dataset"] != DEMONSTRATION or name == DEMONSTRATION]
    own = sorted(set(processed) - {DEMONSTRATION})
    if not name:
        name = _newest(processed, own, loads)
    load = next((one for one in loads if one["dataset"] == name), None)
    here = FirstRun(
        dataset=processed.get(name),
        load=load,
        own=tuple(own),
        has_demonstration=DEMONSTRATION in processed,
    )
    training, whole = _trainings(jobs, name)
    if training is None:
        return here
    model = training["request"]["model"]
    here = replace(
        here,
        training=training,
        whole=whole,
        model=next((one for one in models if one["name"] == model), None),
    )
    if here.model is None or not is_done(training):
        return here
    number = int(training["result"]["version"])
    versions = await gateway.get(f"/ml/models/{model}/versions")
    version = next((one for one in versions if one["version"] == number), None)
    if version is None:
        return here
    return replace(here, version=version, evaluation=_evaluation(jobs, name, model, number))


def _newest(processed: Mapping[str, Found], own: Sequence[str], loads: Sequence[Found]) -> str:
    running = next((one["dataset"] for one in loads if one["state"] == "running"), None)
    if running:
        return str(running)
    if not own:
        # An import that failed leaves no data set, only its load.
        return str(loads[0]["dataset"]) if loads else ""
    return max(own, key=lambda one: str(processed[one]["changed_at"]))


def _trainings(jobs: Sequence[Found], name: str) -> tuple[Found | None, Found | None]:
    mine = [one for one in jobs if one["kind"] == "train" and one["request"]["dataset"] == name]
    judged = next((one for one in mine if keeps_back(one)), None)
    if judged is None:
        # Of orders without dates none can be kept back: the training's own figures are all.
        return (mine[0], None) if mine else (None, None)
    later = mine[: mine.index(judged)]
    same = (one for one in later if one["request"]["model"] == judged["request"]["model"])
    return judged, next((one for one in same if not keeps_back(one)), None)


def keeps_back(job: Found) -> bool:
    """Whether a training left orders to judge its version by."""
    return bool(job["request"].get("until") or job["request"].get("split_column"))


def _evaluation(jobs: Sequence[Found], name: str, model: str, version: int) -> Found | None:
    return next(
        (
            one
            for one in jobs
            if one["kind"] == "evaluate"
            and one["request"]["dataset"] == name
            and one["request"]["model"] == model
            and one["request"].get("version") == version
            and not one["request"].get("change")
        ),
        None,
    )


def kept_back_from(dataset: Found) -> datetime | None:
    """From when on orders judge the model; None where orders have no dates."""
    if not dataset["first_at"] or not dataset["last_at"]:
        return None
    first, last = (datetime.fromisoformat(dataset[key]) for key in ("first_at", "last_at"))
    cut = last - KEPT_BACK * (last - first)
    if last - first >= _WHOLE_DAYS:
        local = cut.astimezone(ZoneInfo(dataset["time_zone"]))
        cut = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return cut.astimezone(UTC) if first < cut < last else None


def left_out(dataset: Found) -> tuple[str, ...]:
    """Fields to ask about before a training: those there that a new order often lacks."""
    names = {column["name"] for column in dataset["columns"]}
    return tuple(name for name in _LATER if name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A line of the comparison: who forecast, and how well."""

    name: str
    mae: float
    bias: float | None
    on_time: float | None
    late: float | None
    orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How good the model is beside what the company says today and beside simple rules.

    `gain` is how many minutes closer it is than the company's own estimate (than the best simple
    rule, where there is none), `surely` whether that is beyond chance, `ends` its 95 % interval.
    """

    rivals: tuple[Rival, ...]
    against: str | None
    gain: float | None
    ends: tuple[float, float] | None

    @property
    def word(self) -> str:
        """`better`, `even` or `worse`; `alone` where there is nothing to compare with."""
        if self.gain is None:
            return "alone"
        if self.ends is None:
            return "better" if self.gain > 0 else "worse"
        low, high = self.ends
        return "better" if low > 0 else "worse" if high < 0 else "even"


def verdict_of(result: Found) -> Verdict:
    """What an evaluation says, for somebody who has to decide."""
    baselines = result.get("baselines") or {}
    shown = ("own_estimate", "store_hour_median", "median")
    rivals = [_rival("model", result)]
    rivals += [_rival(name, baselines[name]) for name in shown if name in baselines]
    against = "own_estimate" if "own_estimate" in baselines else None
    if against is None and len(rivals) > 1:
        against = min(rivals[1:], key=lambda one: one.mae).name
    ends = ((result.get("baseline_intervals") or {}).get(against) or {}).get("mae_gain_minutes")
    gain = None
    if against is not None:
        # The model on the very orders of the other, where the interval tells; else on all.
        other = next(one.mae for one in rivals if one.name == against)
        gain = sum(ends) / 2 if ends else other - rivals[0].mae
    return Verdict(
        rivals=tuple(rivals),
        against=against,
        gain=gain,
        ends=(ends[0], ends[1]) if ends else None,
    )


def _rival(name: str, figures: Found) -> Rival:
    return Rival(
        name=name,
        mae=figures["mae_minutes"],
        bias=figures.get("bias_minutes"),
        on_time=figures.get("on_time_share"),
        late=figures.get("late_10_share"),
        orders=figures["n"],
    )
