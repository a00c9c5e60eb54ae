"""Of what type the error was that ended one of the jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("ml_jobs", sa.Column("error_type", sa.String(40)))
