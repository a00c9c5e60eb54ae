"""The ml service's tables: models, versions, what was in production when, and jobs."""

import sqlalchemy as sa

from foodex.core.sql import UtcDateTime, new_metadata

metadata = new_metadata()

models = sa.Table(
    "ml_models",
    metadata,
    sa.Column("name", sa.String(48), primary_key=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # The highest version number ever given out, so that none is given twice.
    sa.Column("last_version", sa.Integer, nullable=False),
    sa.Column("production", sa.Integer),
)

versions = sa.Table(
    "ml_versions",
    metadata,
    sa.Column("model", sa.String(48), sa.ForeignKey("ml_models.name"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("algorithm", sa.String(64), nullable=False),
    sa.Column("dataset", sa.String(48), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    # name, size_bytes and sha256 of each artefact
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("summary", sa.JSON, nullable=False),
)

production_changes = sa.Table(
    "ml_production_changes",
    metadata,
    sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True
    ),
    sa.Column("at", UtcDateTime, nullable=False),
    # No foreign key: the log outlives what it tells of.
    sa.Column("model", sa.String(48), nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("previous", sa.Integer),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("who", sa.Text, nullable=False),
)

jobs = sa.Table(
    "ml_jobs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.String(40)),
    sa.Column("result", sa.JSON),
    # How often it was begun, by which process last, and when that one last gave a sign of life.
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("beat_at", UtcDateTime),
    # The version number set aside for a training, the same one if it has to begin again.
    sa.Column("version", sa.Integer),
)
