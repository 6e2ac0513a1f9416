"""What alembic runs for every command: migrate over the connection it is given, or over `-x url=…`.

It configures no logging and reads no environment: both belong to the program that calls.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from storage.sql_engine import open_engine, prepare
from storage.sql_tables import metadata


def migrate(connection: Connection) -> None:
    """Run the migrations in the transaction of the connection: all of them or none."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_url(url: str) -> None:
    """The same over a connection of its own."""
    prepare(url)
    engine = open_engine(url, writer=True)
    async with engine.begin() as opened:
        await opened.run_sync(migrate)
    await engine.dispose()


given = context.config.attributes.get("connection")
if isinstance(given, Connection):
    migrate(given)
else:
    asyncio.run(migrate_url(context.get_x_argument(as_dictionary=True)["url"]))
