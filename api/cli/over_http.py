"""The connection to a running server, `--url`; every way HTTP can fail becomes a sentence."""

from __future__ import annotations

import json
import ssl
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from api.cli import output
from api.cli.failure import EXIT_FAILURE, EXIT_USAGE, CommandError
from api.cli.quantities import seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

TIMEOUT = httpx.Timeout(40.0, connect=5.0)
"""Seconds: an extract may take its server 30 (limits.EXTRACT_DEADLINE_S_MAX); the rest is the way there."""

RETRY_AFTER_DIGITS_MAX = 8
"""chosen: three years; a longer number of seconds is no advice to anybody."""

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


class HttpConnection:
    """Asks a server; a `Connection`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
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
        return await self._send(
            "GET", f"reports/{name}", params=parameters, headers={"Accept": "application/json"}
        )

    async def execution(self, execution_id: str) -> bytes:
        """An execution of the server."""
        return await self._send("GET", f"executions/{quote(execution_id, safe='')}")

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
        with self._explaining():
            async with self._client.stream("POST", "cache/warm", json=body) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise _refused(answer)
                async for text in answer.aiter_lines():
                    line = _object(text.encode())
                    if "error" in line:
                        raise CommandError(str(line["error"].get("message", "The server has failed.")))
                    yield line

    async def _send(self, method: str, path: str, **options: Any) -> bytes:
        base = self._client.base_url
        with self._explaining():
            answer = await self._client.request(method, path, **options)
        if not answer.is_success:
            raise _refused(answer)
        if not _object(answer.content):
            raise CommandError(
                f"{base} answers, but not as AMOS does.", "Check the address given with --url."
            )
        return answer.content

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Whatever fails there between us and the server comes out as CommandError."""
        base = self._client.base_url
        try:
            yield
        except httpx.ConnectError as error:
            if reason := _distrust(error):
                raise CommandError(
                    f"The certificate of {base} is not trusted: {reason}.",
                    "If it is yours, trust it: SSL_CERT_FILE=/path/to/cert.pem amos …",
                ) from error
            raise CommandError(
                f"Nothing answers at {base}.", "Start a server with `amos serve`, or leave out --url."
            ) from error
        except httpx.TimeoutException as error:
            raise CommandError(f"{base} did not answer in time.", "Try again; --url may be wrong.") from error
        except httpx.HTTPError as error:
            step = "Try again" + (
                "; if the server speaks TLS, write https://." if base.scheme == "http" else "."
            )
            raise CommandError(f"The connection to {base} broke ({type(error).__name__}).", step) from error


@asynccontextmanager
async def open_client(url: str, key: str | None = None) -> AsyncIterator[HttpConnection]:
    """A connection to the server at `url`, which may have a path. Raises CommandError for a bad address.

    `key` is the API key to show; `None` shows none.
    """
    address = url if "://" in url else f"http://{url}"
    try:
        parsed = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise CommandError(f"--url {url!r} is not an address: {error}.", exit_code=EXIT_USAGE) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise CommandError(f"--url {url!r} is not an http or https address.", exit_code=EXIT_USAGE)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    if key is not None and parsed.scheme == "http" and not _is_this_machine(parsed):
        output.message(
            f"The API key goes to {parsed.host} in clear text; with https:// nobody could read it."
        )
    try:
        opened = httpx.AsyncClient(base_url=parsed, timeout=TIMEOUT, headers=headers)
    except OSError as error:  # the certificates to trust are read here; the error does not name the file
        raise CommandError(
            f"The file or folder in SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error.strerror}.",
            exit_code=EXIT_USAGE,
        ) from error
    async with opened as client:
        yield HttpConnection(client)


def _is_this_machine(address: httpx.URL) -> bool:
    # Imported only now: it brings half of the server along.
    from api.middleware.guard import is_loopback  # noqa: PLC0415

    return is_loopback(address.netloc)


def _refused(answer: httpx.Response) -> CommandError:
    status = answer.status_code
    wait = answer.headers.get("Retry-After", "")
    step = (
        f"Try again in {seconds(int(wait))}."
        if wait.isdecimal() and len(wait) <= RETRY_AFTER_DIGITS_MAX
        else NEXT_STEPS.get(status, "")
    )
    if status == 403 and error_code(answer.content) != "permission_denied":
        step = ""  # another door than that of scopes; the sentence says what to do
    if error_code(answer.content) == "provider_conflict":
        step = ""  # likewise
    reason = error_text(answer.content) or f"HTTP {status} {answer.reason_phrase}".rstrip()
    if not answer.is_error:
        reason, step = (
            f"The server redirects or answers HTTP {status}.",
            "Check the address given with --url.",
        )
    return CommandError(reason, step, exit_code=EXIT_USAGE if status in USAGE_STATUSES else EXIT_FAILURE)


def error_text(content: bytes) -> str:
    """The sentence in an error body, in Tavily's envelope or as problem details; `""` if there is none."""
    detail = _object(content).get("detail")
    if isinstance(detail, dict):
        detail = detail.get("error")
    if isinstance(detail, list):  # one entry a wrong field
        found = [entry for entry in detail if isinstance(entry, dict)]
        detail = "; ".join(f"{_place(entry)}: {entry.get('msg', '')}" for entry in found)
    return detail if isinstance(detail, str) else ""


def error_code(content: bytes) -> str:
    """The code in an error body, in Tavily's envelope or as problem details; `""` if there is none."""
    body = _object(content)
    amos = body.get("amos", body)
    return str(amos.get("code", "")) if isinstance(amos, dict) else ""


def _object(content: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty if it is none."""
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _distrust(error: BaseException | None) -> str:
    """Why TLS does not trust the server, in OpenSSL's words; `""` if that is not what went wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""


def _place(entry: dict[str, Any]) -> str:
    loc = entry.get("loc")
    return ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else "request"
