"""Jobs."""

import sqlalchemy as sa
from alembic import op

from foodex.core.sql import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "jobs_jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("timeout_seconds", sa.Double, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("seconds_left", sa.Double),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("key", sa.String(64)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("result", sa.JSON),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("error_type", sa.String(40)),
        sa.Column("problems", sa.JSON, nullable=False),
        sa.Column("settlement", sa.String(16), nullable=False),
        sa.Column("price", sa.JSON),
        sa.Column("reservation", sa.String(64)),
        sa.Column("units_done", sa.BigInteger, nullable=False),
        sa.Column("settle_tries", sa.Integer, nullable=False),
        sa.Column("settle_at", UtcDateTime),
        sa.Column("replays", sa.Integer, nullable=False),
        sa.Column("lease", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("leased_until", UtcDateTime),
        sa.Column("waiting_since", UtcDateTime, nullable=False),
        sa.Column("published_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_jobs_jobs"),
        sa.UniqueConstraint("key", name="uq_jobs_jobs_key"),
        sa.UniqueConstraint("reservation", name="uq_jobs_jobs_reservation"),
    )
    op.create_index("ix_jobs_jobs_state", "jobs_jobs", ["state", "due_at"])
    op.create_index("ix_jobs_jobs_settlement", "jobs_jobs", ["settlement", "settle_at"])
    op.create_index("ix_jobs_jobs_who", "jobs_jobs", ["who", "id"])
    op.create_index("ix_jobs_jobs_account", "jobs_jobs", ["account", "id"])
