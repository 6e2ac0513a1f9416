"""The providers of an installation as settings and event log have them together.

Used by the gateway, and by the command line without a server.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from api.providers import registered, roster_of
from api.record import record
from api.settings import Settings
from api.settings_values import json_object
from orchestrator.clock import SystemClock
from orchestrator.facts import PROVIDERS_STREAM
from orchestrator.ports import Clock
from orchestrator.provider_admin import ProviderAdmin
from orchestrator.registrations import RegistrationBook
from orchestrator.roster import Roster
from storage.sql_engine import open_engine
from storage.sql_facts import SqlFacts

SECRET_CHARS_MIN = 6
"""chosen: what is shorter stands in many a text by chance, and is no secret for long."""


@contextlib.asynccontextmanager
async def registrations(
    settings: Settings, roster: Roster, clock: Clock, *, instance: str = "", only: str = ""
) -> AsyncIterator[RegistrationBook]:
    """The roster kept as settings and log say, for as long as the context lasts."""
    engine = open_engine(settings.database_url)
    try:
        async with contextlib.aclosing(
            RegistrationBook(
                registered(settings),
                SqlFacts(engine, PROVIDERS_STREAM),
                roster,
                clock,
                instance=instance,
                only=only,
            )
        ) as book:
            await book.start()
            yield book
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def provider_admin(settings: Settings) -> AsyncIterator[ProviderAdmin]:
    """What may be done to the list of providers, without a gateway; the database is made or migrated first.

    Its facts go to the journal. Raises EventLogUnavailable, SettingsError, OSError.
    """
    # Imported only now: whoever has a migrated database needs none of alembic in memory.
    from storage.sql_schema import upgrade  # noqa: PLC0415

    await upgrade(settings.database_url)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as cleanup:
        journal, recorder = await cleanup.enter_async_context(record(settings, clock))
        roster = roster_of(settings, clock, recorder)
        cleanup.push_async_callback(roster.aclose)
        book = await cleanup.enter_async_context(
            registrations(settings, roster, clock, instance=journal.instance)
        )
        book.require_known()
        yield ProviderAdmin(book, recorder, is_secret=secrets_of(settings))


def secrets_of(settings: Settings) -> Callable[[str], bool]:
    """Tells whether a text holds a secret of the settings."""
    secrets = {
        part.strip()
        for field in type(settings).model_fields
        if isinstance(value := getattr(settings, field), SecretStr)
        for part in (value.get_secret_value(), *value.get_secret_value().split(","))
    }
    if settings.provider_secrets is not None:
        secrets |= {str(one) for one in json_object(settings.provider_secrets.get_secret_value()).values()}
    addresses = [settings.database_url]
    if settings.redis_url is not None:
        addresses.append(settings.redis_url.get_secret_value())
    secrets |= {unquote(urlsplit(address).password or "") for address in addresses}
    long_enough = [secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN]
    return lambda text: any(secret in text for secret in long_enough)
