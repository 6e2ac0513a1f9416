"""A gateway to ask, wherever it runs: in this process, or behind `--url` on a server.

Both ways speak Tavily's format as the server does, so that a command has one shape of answer to show and
`--json` prints the same from either.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from api.cli.failure import EXIT_USAGE, CommandError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

KEY_BYTES_MAX = 1_024
"""chosen: a file longer than this holds something else."""


class Connection(Protocol):
    """What the commands ask. Every method raises GatewayError or CommandError."""

    async def search(self, body: dict[str, Any], *, no_cache: bool) -> bytes:
        """The JSON answer to a search given as a Tavily request body."""

    async def extract(self, body: dict[str, Any]) -> bytes:
        """The JSON answer to an extract given as a Tavily request body."""

    async def report(self, name: str, parameters: dict[str, str]) -> bytes:
        """The JSON report `name` with parameters as over HTTP; absent ones have defaults."""

    async def executions(self, parameters: dict[str, str]) -> bytes:
        """A JSON page of past executions, with parameters as over HTTP; absent ones have defaults."""

    async def execution(self, execution_id: str) -> bytes:
        """The JSON account of one execution. Raises NotFound."""

    async def budget(self, *, reconcile: bool) -> bytes:
        """What may be spent and what was, as `GET /budget` gives it, or `POST /budget/reconcile`."""

    async def keys(self) -> bytes:
        """All API keys, as `GET /keys` gives them."""

    async def create_key(self, body: dict[str, Any]) -> bytes:
        """A new API key, made as the body of `POST /keys` says."""

    async def rotate_key(self, key_id: str, body: dict[str, Any]) -> bytes:
        """The successor of a key. Raises KeyNotFound."""

    async def revoke_key(self, key_id: str) -> bytes:
        """The key, ended for good. Raises KeyNotFound."""

    async def providers(self) -> bytes:
        """All providers and kinds, as `GET /providers` gives them."""

    async def register_provider(self, body: dict[str, Any]) -> bytes:
        """A provider, registered as the body of `POST /providers` says. Raises ProviderConflict."""

    async def change_provider(self, name: str, body: dict[str, Any]) -> bytes:
        """A provider, changed as the body of `PATCH /providers/{name}` says. Raises ProviderNotFound."""

    async def remove_provider(self, name: str) -> bytes:
        """A provider that is no more. Raises ProviderNotFound, ProviderConflict."""

    async def cache_stats(self) -> bytes:
        """The tiers of the cache, as `GET /cache` gives them."""

    async def clear_cache(self, tier: str) -> bytes:
        """What was thrown away of the tier, `""` for all, as `DELETE /cache` says it."""

    def warm(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """A warming as the body of `POST /cache/warm` says: its lines. Raises CannotWarm."""


@asynccontextmanager
async def connect(url: str | None, key_file: Path | None = None) -> AsyncIterator[Connection]:
    """Open the way to the server at `url`, or with `None` a gateway in this process on the data folder.

    The server is shown the API key in the file, or else that of the settings. Raises CommandError,
    SettingsError.
    """
    if url is None:
        from api.cli.in_process import open_gateway  # noqa: PLC0415

        async with open_gateway() as gateway:
            yield gateway
    else:
        from api.cli.over_http import open_client  # noqa: PLC0415

        async with open_client(url, credential(key_file)) as client:
            yield client


def credential(key_file: Path | None) -> str | None:
    """The key in the file, without one that of the settings; `None` if there is none. Raises CommandError."""
    if key_file is None:
        from api.settings import load  # noqa: PLC0415

        key = load().key
        return key.get_secret_value() if key is not None else None
    try:
        with key_file.open("rb") as opened:
            text = opened.read(KEY_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise CommandError(f"--key-file {key_file}: {error.strerror}.", exit_code=EXIT_USAGE) from error
    if not (text.isascii() and text.isprintable() and text and " " not in text):
        raise CommandError(f"--key-file {key_file}: holds no key.", exit_code=EXIT_USAGE)
    return text
