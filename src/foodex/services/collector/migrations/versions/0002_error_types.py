"""Of what type the error was that ended one of the loads."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("collector_loads", sa.Column("error_type", sa.String(40)))
