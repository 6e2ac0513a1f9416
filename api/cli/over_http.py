"""The connection to a running server, `--url`, by way of `amos_sdk`; its errors become sentences here."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

import amos_sdk
from api.cli import output
from api.cli.failure import EXIT_FAILURE, EXIT_USAGE, CommandError
from api.quantities import seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

RETRY_AFTER_S_MAX = 100_000_000
"""chosen: three years; a longer time is no advice to anybody."""

NOT_YET_S = 5.0
"""chosen: an execution is in the record within a second of its answer; this is a busy server's."""

USAGE_STATUSES = {400, 413, 414, 422}
"""Statuses that say the request itself is wrong, as the shell's exit code 2 does."""

NEXT_STEPS = {
    401: "Give an API key in AMOS_KEY or with --key-file; without keys a server serves its own machine.",
    403: "Ask the server's operator for a key with that scope.",
    404: "Check the address and the id; an execution appears about a second after its answer.",
    409: "docs/operations/caching.md says what warming needs.",
    429: "Slow down, or ask the server's operator for a higher limit.",
    432: "A budget or the providers' quotas are used up; `amos budget --url …` shows which.",
    503: "`amos report health --url …` shows which provider fails.",
    504: "Try again, or ask the server's operator for a longer AMOS_DEADLINE_S.",
}

CODE_OF_STEP = {403: "permission_denied", 409: "cannot_warm"}
"""Statuses that have other reasons too, and the code of the reason whose next step stands above."""


JSON_ONLY = {"Accept": "application/json"}


class HttpConnection:
    """Asks a server; a `Connection`."""

    def __init__(self, client: amos_sdk.AsyncClient) -> None:
        self._client = client

    async def search(self, body: dict[str, Any], *, no_cache: bool) -> bytes:
        """Search on the server."""
        headers = {"Cache-Control": "no-cache"} if no_cache else {}
        return await self._send("POST", "search", json=body, headers=headers)

    async def extract(self, body: dict[str, Any]) -> bytes:
        """Extract on the server."""
        return await self._send("POST", "extract", json=body)

    async def report(self, name: str, parameters: dict[str, str]) -> bytes:
        """A report of the server."""
        return await self._send("GET", f"reports/{name}", params=parameters, headers=JSON_ONLY)

    async def executions(self, parameters: dict[str, str]) -> bytes:
        """Past executions of the server."""
        return await self._send("GET", "executions", params=parameters, headers=JSON_ONLY)

    async def execution(self, execution_id: str) -> bytes:
        """An execution of the server; one just answered is waited for."""
        return await self._send("GET", f"executions/{quote(execution_id, safe='')}", wait_s=NOT_YET_S)

    async def budget(self, *, reconcile: bool) -> bytes:
        """What the server may spend and has spent."""
        return await (self._send("POST", "budget/reconcile") if reconcile else self._send("GET", "budget"))

    async def keys(self) -> bytes:
        """The keys of the server."""
        return await self._send("GET", "keys")

    async def create_key(self, body: dict[str, Any]) -> bytes:
        """A new key of the server."""
        return await self._send("POST", "keys", json=body)

    async def rotate_key(self, key_id: str, body: dict[str, Any]) -> bytes:
        """The successor of a key of the server."""
        return await self._send("POST", f"keys/{quote(key_id, safe='')}/rotate", json=body)

    async def revoke_key(self, key_id: str) -> bytes:
        """A key of the server, ended."""
        return await self._send("DELETE", f"keys/{quote(key_id, safe='')}")

    async def providers(self) -> bytes:
        """The providers of the server."""
        return await self._send("GET", "providers")

    async def register_provider(self, body: dict[str, Any]) -> bytes:
        """A new provider of the server."""
        return await self._send("POST", "providers", json=body)

    async def change_provider(self, name: str, body: dict[str, Any]) -> bytes:
        """A provider of the server, changed."""
        return await self._send("PATCH", f"providers/{quote(name, safe='')}", json=body)

    async def remove_provider(self, name: str) -> bytes:
        """A provider of the server, removed."""
        return await self._send("DELETE", f"providers/{quote(name, safe='')}")

    async def cache_stats(self) -> bytes:
        """The cache of the server."""
        return await self._send("GET", "cache")

    async def clear_cache(self, tier: str) -> bytes:
        """What the server threw away."""
        return await self._send("DELETE", "cache", params={"tier": tier} if tier else {})

    async def warm(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """A warming of the server, line by line; leaving it ends it there too."""
        with _explaining(self._client.base_url):
            async for line in self._client.lines("POST", "cache/warm", body=body):
                yield line

    async def health(self) -> dict[str, Any]:
        """How every component of the server is, also of one that cannot serve."""
        with _explaining(self._client.base_url):
            return await self._client.health()

    async def instance_metrics(self) -> bytes:
        """The figures of the process that answers, in Prometheus' format."""
        with _explaining(self._client.base_url):
            return await self._client.request("GET", "metrics/instance", is_json=False)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> bytes:
        with _explaining(self._client.base_url):
            return await self._client.request(
                method, path, body=json, params=params, headers=headers, wait_s=wait_s
            )


@asynccontextmanager
async def open_client(url: str, key: str | None = None) -> AsyncIterator[HttpConnection]:
    """A connection to the server at `url`, which may have a path. Raises CommandError for a bad address.

    `key` is the API key to show; `None` shows none. Nothing is tried twice: a person decides that.
    """
    address = url if "://" in url else f"http://{url}"
    try:
        opened = amos_sdk.AsyncClient(address, api_key=key, retries=amos_sdk.NO_RETRIES)
    except ValueError as error:
        what, _, fault = str(error).partition(" ")
        name = f"--url {url!r}" if what == "base_url" else "AMOS_KEY"
        raise CommandError(f"{name} {fault}.", exit_code=EXIT_USAGE) from error
    except OSError as error:  # the certificates to trust are read here; the error does not name the file
        raise CommandError(
            f"The file or folder in SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error.strerror}.",
            exit_code=EXIT_USAGE,
        ) from error
    async with opened as client:
        parsed = httpx.URL(client.base_url)
        if key is not None and parsed.scheme == "http" and not _is_this_machine(parsed):
            output.message(
                f"The API key goes to {parsed.host} in clear text; with https:// nobody could read it."
            )
        yield HttpConnection(client)


def _is_this_machine(address: httpx.URL) -> bool:
    # Imported only now: it brings half of the server along.
    from api.middleware.guard import is_loopback  # noqa: PLC0415

    return is_loopback(address.netloc)


@contextmanager
def _explaining(base: str) -> Iterator[None]:
    """Whatever fails there between us and the server comes out as CommandError."""
    try:
        yield
    except amos_sdk.Refused as error:
        raise _refused(error) from error
    except amos_sdk.TimedOut as error:
        raise CommandError(f"{base} did not answer in time.", "Try again; --url may be wrong.") from error
    except amos_sdk.Unreachable as error:
        raise _unreachable(base, error) from error
    except amos_sdk.AmosError as error:
        raise CommandError(
            f"{base} answers, but not as AMOS does.", "Check the address given with --url."
        ) from error


def _unreachable(base: str, error: amos_sdk.Unreachable) -> CommandError:
    if reason := _distrust(error):
        return CommandError(
            f"The certificate of {base} is not trusted: {reason}.",
            "If it is yours, trust it: SSL_CERT_FILE=/path/to/cert.pem amos …",
        )
    cause = error.__cause__
    if isinstance(cause, httpx.ConnectError):
        return CommandError(
            f"Nothing answers at {base}.", "Start a server with `amos serve`, or leave out --url."
        )
    is_clear = base.startswith("http:")
    step = "Try again" + ("; if the server speaks TLS, write https://." if is_clear else ".")
    return CommandError(f"The connection to {base} broke ({type(cause).__name__}).", step)


def _refused(error: amos_sdk.Refused) -> CommandError:
    wait_s = error.retry_after_s
    if wait_s is not None and wait_s < RETRY_AFTER_S_MAX:
        step = f"Try again in {seconds(round(wait_s))}."
    elif error.code != CODE_OF_STEP.get(error.status, error.code):
        step = ""  # another reason than the one whose next step is known; the sentence says what to do
    else:
        step = NEXT_STEPS.get(error.status, "")
    is_usage = error.status in USAGE_STATUSES
    return CommandError(error.message, step, exit_code=EXIT_USAGE if is_usage else EXIT_FAILURE)


def _distrust(error: BaseException | None) -> str:
    """Why TLS does not trust the server, in OpenSSL's words; `""` if that is not what went wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""
