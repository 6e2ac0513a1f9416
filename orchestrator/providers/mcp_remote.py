"""A remote MCP server as somebody who calls its tools: finds out its era, opens sessions, calls, begins anew.

It speaks through our own Upstream and not through the official SDK's client: a call is bounded in time and
bytes, ends when it is cancelled, and leaves no task behind (docs/decisions/0032-mcp-as-a-provider.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from orchestrator.errors import ProviderError, ProviderProtocolError, ProviderUnavailable
from orchestrator.events import FREE
from orchestrator.model import Call
from orchestrator.providers import mcp_wire as wire
from orchestrator.providers.mcp_faults import (
    UNREAD,
    configured_wrong,
    http_fault,
    rpc_fault,
    tool_fault,
)
from orchestrator.providers.upstream import Reply, Upstream, trace_headers
from orchestrator.providers.upstream_faults import reading_answer
from orchestrator.via import via_headers

TOOL_PAGES_MAX = 16
"""chosen: pages of the list of tools that are looked through for ours."""

NAMES_SHOWN_MAX = 10
"""chosen: as many names of tools are told to an operator who configured one that is not there."""

FAREWELL_S = 1.0
"""chosen: how long closing a session may take, which is a courtesy."""

AnswerT = TypeVar("AnswerT")
Fill = Callable[[wire.Tool], dict[str, Any]]
"""Gives the arguments for the tool as its server describes it."""


class _Peer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about the server, for as long as it remembers us."""

    version: str
    session: str
    tools: Mapping[str, wire.Tool]


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    """A request: what it asks, and what its headers say. `more` are headers beside those of its era."""

    method: str
    params: Mapping[str, Any] = {}
    version: str = ""
    session: str = ""
    tool: str = ""
    more: Mapping[str, str] = {}


class _Stale(Exception):
    """The server does not take what it took before: it forgot our session, or is another one now."""

    def __init__(self, fault: ProviderError) -> None:
        super().__init__()
        self.fault = fault


class Remote:
    """The server at `url`. `tools` are those we call; `headers` go with each request.

    May be called concurrently; the first call finds out what the server is while the others wait for it.
    """

    def __init__(
        self,
        provider: str,
        upstream: Upstream,
        url: str,
        *,
        headers: Mapping[str, str],
        tools: Iterable[str],
        protocol: str = "auto",
        installation: str = "",
    ) -> None:
        self._provider = provider
        self._upstream = upstream
        self._url = url
        self._headers = headers
        self._wanted = frozenset(tools)
        self._protocol = protocol
        self._installation = installation
        self._numbers = itertools.count(1)
        self._peer: _Peer | None = None
        self._connecting = asyncio.Lock()

    async def call(self, name: str, fill: Fill, call: Call[Any]) -> wire.ToolResult:
        """What the tool answers. Raises ProviderError, also for an answer that the tool calls an error.

        A session that the server has forgotten is opened again, once a call: a server that has forgotten it
        has done nothing yet.
        """
        peer = await self._known(call)
        try:
            return await self._call(peer, name, fill, call)
        except _Stale:
            self._forget(peer)
            peer = await self._known(call)
        try:
            return await self._call(peer, name, fill, call)
        except _Stale as still:
            self._forget(peer)
            raise still.fault from None

    async def tool(self, name: str, call: Call[Any]) -> wire.Tool:
        """The tool as its server describes it. Raises ProviderError."""
        return (await self._known(call)).tools[name]

    async def aclose(self) -> None:
        """Take leave of the server, if it waits for that, and close the connections. Safe to call twice."""
        peer, self._peer = self._peer, None
        if peer is not None and peer.session:
            headers = {**self._headers, **wire.headers(peer.version, "", session=peer.session)}
            with contextlib.suppress(ProviderError, TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._upstream.delete(self._url, headers=headers)
        await self._upstream.aclose()

    def _forget(self, peer: _Peer) -> None:
        if self._peer is peer:
            self._peer = None

    async def _call(self, peer: _Peer, name: str, fill: Fill, call: Call[Any]) -> wire.ToolResult:
        tool = peer.tools[name]
        arguments = fill(tool)
        more = wire.argument_headers(tool.input_schema, arguments) if peer.version == wire.MODERN else {}
        sent = _Message(
            method="tools/call",
            params={"name": name, "arguments": arguments},
            version=peer.version,
            session=peer.session,
            tool=name,
            more=more,
        )
        reply, answer = await self._ask(sent, call)
        if answer is None or (answer.error is not None and answer.error.code == wire.UNSUPPORTED_VERSION):
            raise _Stale(http_fault(self._provider, reply))
        if answer.error is not None:
            self._forget(peer)  # The tool may have changed: the next call looks at its description again.
            raise rpc_fault(self._provider, answer.error)
        result = self._read(answer, wire.ToolResult)
        if result.is_error:
            raise tool_fault(self._provider, result)
        if result.result_type != "complete":
            raise self._broken("input_required", "wants to be told more, which nobody can do here")
        return result

    # --- finding out ----------------------------------------------------------------------------------------

    async def _known(self, call: Call[Any]) -> _Peer:
        if self._peer is None:
            # Whoever holds the lock may be cancelled; the next one in line then takes over.
            async with self._connecting:
                if self._peer is None:
                    try:
                        self._peer = await self._found_out(call)
                    except ProviderError as fault:
                        fault.assumed = FREE  # No tool has been called yet.
                        raise
        return self._peer

    async def _found_out(self, call: Call[Any]) -> _Peer:
        """The server's era and our tools: a modern one tells both in the answer to its first request."""
        if self._protocol != "handshake":
            reply, answer = await self._ask(_Message(method="tools/list", version=wire.MODERN), call)
            if answer is not None and answer.error is None:
                return await self._with_tools(wire.MODERN, "", answer, call)
            if self._protocol == wire.MODERN:
                raise self._refusal(reply, answer)
        reply, answer = await self._ask(_Message(method="initialize", params=wire.welcome_params()), call)
        if answer is None or answer.error is not None:
            raise self._refusal(reply, answer)
        version = self._read(answer, wire.Welcome).protocol_version
        if version not in wire.HANDSHAKES:
            raise self._broken("protocol_version", "speaks no revision of MCP that we speak")
        session = reply.headers.get("mcp-session-id") or ""
        if not wire.is_session(session):
            raise self._broken("bad_session", "gives a session a name that no header can hold")
        await self._greet(version, session, call)
        sent = _Message(method="tools/list", version=version, session=session)
        reply, answer = await self._ask(sent, call)
        if answer is None or answer.error is not None:
            raise self._refusal(reply, answer)
        return await self._with_tools(version, session, answer, call)

    async def _greet(self, version: str, session: str, call: Call[Any]) -> None:
        """Say that the handshake is over; whatever comes back, the next request shows whether it is."""
        method = "notifications/initialized"
        await self._upstream.post_json(
            self._url,
            headers={
                **self._headers,
                **wire.headers(version, method, session=session),
                **self._marks(call),
            },
            body={"jsonrpc": "2.0", "method": method},
            enough=lambda _piece: True,
        )

    async def _with_tools(self, version: str, session: str, answer: wire.RpcAnswer, call: Call[Any]) -> _Peer:
        """The peer with our tools, looked for in as many pages as it takes. Raises if one is not there."""
        found: dict[str, wire.Tool] = {}
        others: list[str] = []
        for number in range(1, TOOL_PAGES_MAX + 1):
            page = self._read(answer, wire.ToolList)
            found |= {tool.name: tool for tool in page.tools if tool.name in self._wanted}
            others += [tool.name for tool in page.tools if tool.name not in self._wanted]
            if len(found) == len(self._wanted):
                return _Peer(version=version, session=session, tools=found)
            if not page.next_cursor or number == TOOL_PAGES_MAX:
                break
            sent = _Message(
                method="tools/list", params={"cursor": page.next_cursor}, version=version, session=session
            )
            reply, next_answer = await self._ask(sent, call)
            if next_answer is None or next_answer.error is not None:
                raise self._refusal(reply, next_answer)
            answer = next_answer
        missing = ", ".join(sorted(self._wanted - found.keys()))
        raise configured_wrong(self._provider, "no_such_tool", f"has no tool {missing}; {_named(others)}.")

    # --- one exchange ---------------------------------------------------------------------------------------

    async def _ask(self, sent: _Message, call: Call[Any]) -> tuple[Reply, wire.RpcAnswer | None]:
        """The answer, `None` if the server does not take such a message. Raises ProviderError."""
        number = next(self._numbers)
        listener = wire.Listener(number)
        with reading_answer(self._provider):
            reply = await self._upstream.post_json(
                self._url,
                headers={
                    **self._headers,
                    **wire.headers(sent.version, sent.method, sent.tool, sent.session),
                    **sent.more,
                    **self._marks(call),
                },
                body=wire.message(sent.version, number, sent.method, sent.params, call),
                enough=listener,
            )
            if reply.status in UNREAD:
                return reply, _refused(reply)
            if reply.status != 200:
                raise http_fault(self._provider, reply)
            if reply.headers.get("content-type", "").lower().startswith("text/event-stream"):
                listener.end()
                if listener.answer is None:
                    raise ProviderUnavailable(
                        f"{self._provider} ended its answer too early.",
                        provider=self._provider,
                        reason="truncated",
                    )
                return reply, listener.answer
            answer = wire.read_answer(reply.body)
        if answer.id != number:
            raise self._broken("wrong_id", "answered another request than ours")
        return reply, answer

    def _marks(self, call: Call[Any]) -> dict[str, str]:
        """What each request carries: its trace, and the gateways the call has come through."""
        return trace_headers(call) | via_headers(call, self._installation)

    def _read(self, answer: wire.RpcAnswer, kind: type[AnswerT]) -> AnswerT:
        with reading_answer(self._provider):
            return msgspec.json.decode(answer.result, type=kind)

    def _refusal(self, reply: Reply, answer: wire.RpcAnswer | None) -> ProviderError:
        if answer is None or answer.error is None:
            return http_fault(self._provider, reply)
        return rpc_fault(self._provider, answer.error)

    def _broken(self, reason: str, words: str) -> ProviderProtocolError:
        return ProviderProtocolError(f"{self._provider} {words}.", provider=self._provider, reason=reason)


def _refused(reply: Reply) -> wire.RpcAnswer | None:
    """The protocol's own words in the body of a refusal, `None` if there are none that we know."""
    try:
        answer = wire.read_answer(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    known = (wire.INVALID_PARAMS, wire.METHOD_NOT_FOUND, wire.UNSUPPORTED_VERSION)
    return answer if answer.error is not None and answer.error.code in known else None


def _named(others: list[str]) -> str:
    """Which tools there are instead, as far as they have proper names."""
    proper = [name for name in others if wire.is_tool_name(name)]
    shown = ", ".join(proper[:NAMES_SHOWN_MAX])
    more = f" and {len(proper) - NAMES_SHOWN_MAX} more" if len(proper) > NAMES_SHOWN_MAX else ""
    return f"it has {shown}{more}" if shown else "it has no other either"
