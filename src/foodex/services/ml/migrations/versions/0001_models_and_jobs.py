"""Models, versions, the log of what was in production, and jobs."""

import sqlalchemy as sa
from alembic import op

from foodex.core.sql import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "ml_models",
        sa.Column("name", sa.String(48), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("last_version", sa.Integer, nullable=False),
        sa.Column("production", sa.Integer),
        sa.PrimaryKeyConstraint("name", name="pk_ml_models"),
    )
    op.create_table(
        "ml_versions",
        sa.Column("model", sa.String(48), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("algorithm", sa.String(64), nullable=False),
        sa.Column("dataset", sa.String(48), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("model", "version", name="pk_ml_versions"),
        sa.ForeignKeyConstraint(
            ["model"], ["ml_models.name"], name="fk_ml_versions_model_ml_models"
        ),
    )
    op.create_table(
        "ml_production_changes",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), nullable=False
        ),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("model", sa.String(48), nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("previous", sa.Integer),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ml_production_changes"),
    )
    op.create_table(
        "ml_jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("error", sa.Text),
        sa.Column("result", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("beat_at", UtcDateTime),
        sa.Column("version", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_ml_jobs"),
    )
    op.create_index("ix_ml_jobs_state", "ml_jobs", ["state"])
