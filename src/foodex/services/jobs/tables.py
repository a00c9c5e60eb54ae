"""The jobs service's table: one row is one job, and the row decides."""

import sqlalchemy as sa

from foodex.core.sql import UtcDateTime, new_metadata

metadata = new_metadata()

jobs = sa.Table(
    "jobs_jobs",
    metadata,
    # Sorts by the time of acceptance.
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    # How often it took its process or all its time, or met a fault of ours.
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("timeout_seconds", sa.Double, nullable=False),
    sa.Column("progress", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("seconds_left", sa.Double),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("account", sa.Text),
    # Digest of who asked and under which key: a request repeated finds its job.
    sa.Column("key", sa.String(64), unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("result", sa.JSON),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.String(40)),
    sa.Column("problems", sa.JSON, nullable=False),
    # Where its money is: see `job_rows.Settlement`.
    sa.Column("settlement", sa.String(16), nullable=False),
    sa.Column("price", sa.JSON),
    sa.Column("reservation", sa.String(64), unique=True),
    sa.Column("units_done", sa.BigInteger, nullable=False),
    sa.Column("settle_tries", sa.Integer, nullable=False),
    sa.Column("settle_at", UtcDateTime),
    sa.Column("replays", sa.Integer, nullable=False),
    # The lease: a number that grows with each claim, so that who held an earlier one is refused.
    sa.Column("lease", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("leased_until", UtcDateTime),
    # Since when it waits as it does now, and when its message was sent for that, if it was.
    sa.Column("waiting_since", UtcDateTime, nullable=False),
    sa.Column("published_at", UtcDateTime),
    sa.Index("ix_jobs_jobs_state", "state", "due_at"),
    sa.Index("ix_jobs_jobs_settlement", "settlement", "settle_at"),
    sa.Index("ix_jobs_jobs_who", "who", "id"),
    sa.Index("ix_jobs_jobs_account", "account", "id"),
)
