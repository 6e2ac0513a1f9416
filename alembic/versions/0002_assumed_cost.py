"""Money in the hit rate is counted by attempts, and what is only assumed apart from what was billed.

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAMES = ("operation", "door", "client", "topic", "provider", "cache")
MEASURES = ("requests", "results", "stale", "saved_usd_micros", "cost_usd_micros")


def upgrade() -> None:
    """Make the table anew, empty; without its checkpoint the recorder counts from the first frame again."""
    _remake((*MEASURES, "assumed_usd_micros"))


def downgrade() -> None:
    """The same with the table as it was."""
    _remake(MEASURES)


def _remake(measures: tuple[str, ...]) -> None:
    op.drop_table("rollup_hit_rate")
    op.create_table(
        "rollup_hit_rate",
        sa.Column("minute", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in NAMES),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in measures),
        sa.PrimaryKeyConstraint("minute", *NAMES, name="pk_rollup_hit_rate"),
        sqlite_with_rowid=False,
    )
    op.execute("DELETE FROM checkpoints WHERE projection = 'hit_rate'")
