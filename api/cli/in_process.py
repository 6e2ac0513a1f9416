"""The connection to a gateway in this process, on the data folder; a server may run beside it, or none.

Each part is opened when it is first needed: a report reads the database and starts no gateway.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from api.cli import output
from api.cli.failure import EXIT_USAGE, CommandError
from api.rest.dialects import tavily
from api.settings import load
from orchestrator.errors import EventLogUnavailable, NotFound
from orchestrator.history import closing
from orchestrator.model import CacheControl, Caller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from api.settings import Settings
    from orchestrator.cache_admin import CacheAdmin
    from orchestrator.gateway import Gateway
    from orchestrator.key_admin import KeyAdmin
    from orchestrator.model import Call, RequestT, Response
    from orchestrator.ports import ReportStore
    from orchestrator.provider_admin import ProviderAdmin
    from orchestrator.service import Service
    from storage.sql_event_log import SqlEventLog

DOOR = "cli"

NOT_YET_S = 5.0
"""chosen: an execution is in the record within a second of its answer; this is a busy machine's."""

LOOK_S = 0.2
"""chosen: a look at the database costs a millisecond."""

OPERATOR = "local"
"""The client in facts about what is done to keys here."""


class InProcess:
    """Asks a gateway of its own; a `Connection`."""

    def __init__(self, settings: Settings, cleanup: AsyncExitStack) -> None:
        self._settings = settings
        self._cleanup = cleanup
        self._opened: Gateway | None = None
        self._read: Record | None = None

    async def search(self, body: dict[str, Any], *, no_cache: bool) -> bytes:
        """Search here, with the parsing and the answer of `POST /search`."""
        asked = tavily.parse_search(json.dumps(body).encode())
        gateway = await self._gateway()
        call = gateway.open(asked.request, _caller(CacheControl(no_cache=no_cache)))
        render = partial(tavily.render_search, asked.request.query)
        return await _answer(call, gateway.search, render, wants_usage=asked.wants_usage)

    async def extract(self, body: dict[str, Any]) -> bytes:
        """Extract here, with the parsing and the answer of `POST /extract`."""
        asked = tavily.parse_extract(json.dumps(body).encode())
        gateway = await self._gateway()
        call = gateway.open(asked.request, _caller(CacheControl()))
        return await _answer(call, gateway.extract, tavily.render_extract, wants_usage=asked.wants_usage)

    async def report(self, name: str, parameters: dict[str, str]) -> bytes:
        """A report over the database here, as `GET /reports/{name}` gives it."""
        from api.rest import reports  # noqa: PLC0415

        record = await self._record()
        found = await reports.answer(record.reports, name, parameters.items(), time.time())
        self._cleanup.push_async_callback(say_if_empty, self._settings, record.log)
        return msgspec.json.encode(found)

    async def executions(self, parameters: dict[str, str]) -> bytes:
        """Past executions from the database here, as `GET /executions` gives them."""
        from api.rest import executions_search  # noqa: PLC0415

        query = executions_search.question(parameters.items(), time.time())
        if self._read is None:
            self._read = await self._record()
            self._cleanup.push_async_callback(say_if_empty, self._settings, self._read.log)
        return msgspec.json.encode(await self._read.reports.executions(query))

    async def execution(self, execution_id: str) -> bytes:
        """An execution from the database here, as `GET /executions/{id}` gives it.

        One just answered by a server, whose recorder has yet to bring it in, is waited for.
        """
        from api.rest import executions  # noqa: PLC0415

        record = await self._record()
        gives_up_at = time.monotonic() + NOT_YET_S
        while True:
            try:
                return msgspec.json.encode(await executions.answer(record.reports, execution_id))
            except NotFound as error:
                if error.retry_after_s is None or time.monotonic() > gives_up_at:
                    raise
            await asyncio.sleep(LOOK_S)

    async def budget(self, *, reconcile: bool) -> bytes:
        """What may be spent and what the database here says was, as `GET /budget` gives it."""
        await bring_in(self._settings)
        gateway = await self._gateway()
        assert gateway.budgets is not None  # every gateway of a composition has them
        report = gateway.budgets.reconcile() if reconcile else gateway.budgets.report()
        return msgspec.json.encode(await report)

    async def keys(self) -> bytes:
        """The keys in the database here, as `GET /keys` gives them."""
        from api.rest import keys  # noqa: PLC0415

        return msgspec.json.encode(await keys.listing(await self._admin()))

    async def create_key(self, body: dict[str, Any]) -> bytes:
        """A new key here, as `POST /keys` makes it."""
        from api.rest import keys  # noqa: PLC0415

        return msgspec.json.encode(await keys.create(await self._admin(), body, OPERATOR))

    async def rotate_key(self, key_id: str, body: dict[str, Any]) -> bytes:
        """The successor of a key here."""
        from api.rest import keys  # noqa: PLC0415

        return msgspec.json.encode(await keys.rotate(await self._admin(), key_id, body, OPERATOR))

    async def revoke_key(self, key_id: str) -> bytes:
        """A key here, ended."""
        from api.rest import keys  # noqa: PLC0415

        return msgspec.json.encode(await keys.revoke(await self._admin(), key_id, OPERATOR))

    async def providers(self) -> bytes:
        """The providers here, as `GET /providers` gives them."""
        from api.rest import providers  # noqa: PLC0415

        return msgspec.json.encode(await providers.listing(await self._providers()))

    async def register_provider(self, body: dict[str, Any]) -> bytes:
        """A new provider here, as `POST /providers` makes it."""
        from api.rest import providers  # noqa: PLC0415

        return msgspec.json.encode(await providers.register(await self._providers(), body, OPERATOR))

    async def change_provider(self, name: str, body: dict[str, Any]) -> bytes:
        """A provider here, changed."""
        from api.rest import providers  # noqa: PLC0415

        return msgspec.json.encode(await providers.change(await self._providers(), name, body, OPERATOR))

    async def remove_provider(self, name: str) -> bytes:
        """A provider here, removed."""
        from api.rest import providers  # noqa: PLC0415

        return msgspec.json.encode(await providers.remove(await self._providers(), name, OPERATOR))

    async def cache_stats(self) -> bytes:
        """What instances share, as `GET /cache` gives it. Raises CommandError if they share nothing."""
        return msgspec.json.encode(await (await self._cache()).view())

    async def clear_cache(self, tier: str) -> bytes:
        """What was thrown away, as `DELETE /cache` says it. Raises CommandError if nothing is shared."""
        cache = await self._cache()
        self._cleanup.push_async_callback(_bring_in_or_say_so, self._settings)
        return msgspec.json.encode(await cache.clear(tier, by=OPERATOR))

    async def _cache(self) -> CacheAdmin:
        from api.cache import shared_cache_admin  # noqa: PLC0415

        admin = await self._cleanup.enter_async_context(shared_cache_admin(self._settings))
        if admin is None:
            raise CommandError(
                "AMOS_REDIS_URL is not set, so answers are kept in the memory of each server and nowhere "
                "else; this command has no part in that.",
                "Ask the server: --url 127.0.0.1:8000. A server that starts again has an empty cache.",
            )
        return admin

    async def warm(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """A warming from here, of the cache that is shared; another would end with this command."""
        from api.warming_run import telling, wish_of  # noqa: PLC0415

        if self._settings.redis_url is None:
            raise CommandError(
                "Without AMOS_REDIS_URL the cache of this command ends with it.",
                "Warm that of a server: amos cache warm --url 127.0.0.1:8000",
                exit_code=EXIT_USAGE,
            )
        gateway = await self._gateway()
        await bring_in(self._settings)  # what was asked a moment ago counts too
        async with telling(gateway.warming, wish_of(body)) as lines:
            async for line in lines:
                yield line

    async def _admin(self) -> KeyAdmin:
        from api.keys import key_admin  # noqa: PLC0415

        self._cleanup.push_async_callback(_bring_in_or_say_so, self._settings)
        return await self._cleanup.enter_async_context(key_admin(self._settings))

    async def _providers(self) -> ProviderAdmin:
        from api.registrations import provider_admin  # noqa: PLC0415

        await bring_in(self._settings)  # what was changed a moment ago counts too
        self._cleanup.push_async_callback(_bring_in_or_say_so, self._settings)
        return await self._cleanup.enter_async_context(provider_admin(self._settings))

    async def _record(self) -> Record:
        return await self._cleanup.enter_async_context(open_record(self._settings))

    async def _gateway(self) -> Gateway:
        if self._opened is None:
            self._opened = await self._cleanup.enter_async_context(running_gateway(self._settings))
        return self._opened


@asynccontextmanager
async def open_gateway() -> AsyncIterator[InProcess]:
    """A gateway with the settings in force. Raises SettingsError."""
    async with AsyncExitStack() as cleanup:
        yield InProcess(load(), cleanup)


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway in this process; afterwards what it recorded is in the database, if that can be reached."""
    from api.composition import gateway  # noqa: PLC0415

    try:
        async with gateway(settings) as opened:
            yield opened
    finally:  # Also after a failure and after Ctrl-C.
        await _bring_in_or_say_so(settings)


class Record(NamedTuple):
    """The database, to be read."""

    reports: ReportStore
    log: SqlEventLog


@asynccontextmanager
async def open_record(settings: Settings) -> AsyncIterator[Record]:
    """Open the database, made if there is none.

    What was recorded and waits for a recorder is brought there first. Raises EventLogUnavailable.
    """
    from storage.sql_engine import open_engine  # noqa: PLC0415
    from storage.sql_event_log import SqlEventLog  # noqa: PLC0415
    from storage.sql_reports import SqlReports  # noqa: PLC0415

    await bring_in(settings)
    engine = open_engine(settings.database_url)
    try:
        yield Record(SqlReports(engine), SqlEventLog(engine))
    finally:
        await engine.dispose()


async def say_if_empty(settings: Settings, log: SqlEventLog) -> None:
    """Tell whoever looks into an empty record which it is: a relative folder is another one elsewhere."""
    from storage.sql_address import read_address  # noqa: PLC0415

    if not await log.last_position():
        place = read_address(settings.database_url).shown
        output.message(f"There are no events in {place}; AMOS_DATA_DIR or AMOS_DATABASE_URL names another.")


async def bring_in(settings: Settings) -> None:
    """Bring what is in the journal into the database, unless a recorder is there to do it.

    Raises EventLogUnavailable.
    """
    from storage.recorder_process import drain  # noqa: PLC0415

    await drain(settings.data_dir, settings.database_url)


async def _bring_in_or_say_so(settings: Settings) -> None:
    """The same after an answer, which a database out of reach does not spoil: the journal keeps the facts."""
    try:
        await bring_in(settings)
    except EventLogUnavailable as error:
        output.message(f"{error.message} The journal keeps what was recorded; `amos doctor` shows more.")


@contextmanager
def _explaining_interruption() -> Iterator[None]:
    """Tell why Ctrl-C does not end the command at once while a call is under way."""
    try:
        yield
    except asyncio.CancelledError:
        output.message("Waiting for the call under way, to record its cost; Ctrl-C again leaves at once.")
        raise


async def _answer(
    call: Call[RequestT],
    service: Service[RequestT, Response],
    render: Callable[..., bytes],
    *,
    wants_usage: bool,
) -> bytes:
    """The rendered answer to the call; how long it took is what its last event says, as over HTTP."""
    with _explaining_interruption():
        response = await service(call)
    return render(
        response,
        execution_id=call.trail.execution_id,
        duration_s=closing(call.trail.events).duration_s,
        wants_usage=wants_usage,
    )


def _caller(cache_control: CacheControl) -> Caller:
    return Caller(door=DOOR, dialect="tavily", is_in_process=True, cache_control=cache_control)
