"""What a job's process is asked to do, as it stands in the job's folder."""

from datetime import datetime

import msgspec

from foodex.domain.promises import PolicyChange, PromisePolicy
from foodex.eta.training import TrainingOptions


class Training(msgspec.Struct, kw_only=True):
    """What to train, and which promise is told of in its summary."""

    options: TrainingOptions
    policy: PromisePolicy = PromisePolicy()


class Evaluation(msgspec.Struct, kw_only=True):
    """What to judge, and which promise to judge it by.

    Without `since`, rows whose `split_column` is `train` were fitted and are not judged. `zones`
    are the policies of single cities; the others have `policy`.
    """

    model_folder: str
    since: datetime | None
    split_column: str | None
    policy: PromisePolicy
    until: datetime | None = None
    zones: dict[str, PromisePolicy] = {}
    change: PolicyChange | None = None


class Task(msgspec.Struct, kw_only=True):
    """One of both, and how considerate to be of whoever else needs the processor."""

    nice: int = 0
    training: Training | None = None
    evaluation: Evaluation | None = None
