"""API keys: what is kept of each, and a count of the changes to them.

Revision 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables, without any key."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("expires_at", "revoked_at")),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        *(
            sa.Column(f"limit_{name}", sa.Integer(), nullable=True)
            for name in ("burst", "per_minute", "per_hour")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    changes = op.create_table(
        "api_key_changes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_key_changes"),
    )
    op.bulk_insert(changes, [{"id": 1, "revision": 0}])


def downgrade() -> None:
    """Drop both: every key is gone, and the local operator needs none again."""
    op.drop_table("api_key_changes")
    op.drop_table("api_keys")
