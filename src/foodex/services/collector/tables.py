"""The collector's tables: sources, mappings and the log of loads."""

import sqlalchemy as sa

from foodex.core.sql import UtcDateTime, new_metadata

metadata = new_metadata()

sources = sa.Table(
    "collector_sources",
    metadata,
    sa.Column("name", sa.String(48), primary_key=True),
    # The source's value as JSON.
    sa.Column("source", sa.Text, nullable=False),
)

mappings = sa.Table(
    "collector_mappings",
    metadata,
    sa.Column("name", sa.String(48), primary_key=True),
    sa.Column("toml", sa.Text, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
)

loads = sa.Table(
    "collector_loads",
    metadata,
    sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True
    ),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("source_name", sa.Text, nullable=False),
    sa.Column("location", sa.Text, nullable=False),
    sa.Column("dataset", sa.String(48), nullable=False),
    sa.Column("mapping", sa.Text, nullable=False),
    sa.Column("mapping_toml", sa.Text, nullable=False),
    sa.Column("mapping_hash", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("committing", sa.Boolean, nullable=False, default=False),
    sa.Column("cancelled", sa.Boolean, nullable=False, default=False),
    sa.Column("logged", sa.Boolean, nullable=False, default=False),
    sa.Column("owner", sa.Text),
    sa.Column("leased_until", UtcDateTime),
    sa.Column("progress", sa.Double, nullable=False, default=0.0),
    # Up to this row everything is staged in both layers.
    sa.Column("staged_row", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_read", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_kept", sa.BigInteger, nullable=False, default=0),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False, default=0),
    sa.Column("rejected_by_rule", sa.JSON, nullable=False, default=dict),
    sa.Column("repaired", sa.JSON, nullable=False, default=dict),
    sa.Column("columns", sa.JSON, nullable=False, default=list),
    sa.Column("content_hash", sa.String(64)),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.String(40)),
    # Under which whoever began it finds it again.
    sa.Column("reference", sa.String(64)),
    sa.Index("uq_collector_loads_reference", "reference", unique=True),
    sa.Index("ix_collector_loads_state", "state"),
    sa.Index("ix_collector_loads_content", "dataset", "content_hash", "mapping_hash"),
)
