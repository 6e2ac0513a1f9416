"""What can go wrong at a remote MCP server, each case one of our errors. Nobody sees the server's own words.

A refusal as "bad request" would be taken for the caller's fault and end the chain. Here it is the operator's
mapping that does not fit the tool, so it is this provider's failure alone, and the next one is asked.
"""

from __future__ import annotations

import re

from orchestrator.errors import (
    ProviderError,
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from orchestrator.events import FREE
from orchestrator.providers import mcp_wire as wire
from orchestrator.providers.upstream import Reply
from orchestrator.providers.upstream_faults import status_fault

UNREAD = frozenset({400, 404, 405, 406, 409, 415, 422})
"""Statuses by which a server says that it does not take a message of this kind: another era, a session it
has forgotten, or no MCP server at all."""

_WORDS: tuple[tuple[str, type[ProviderError], str, str], ...] = (
    (r"leads back to the gateway it came from", ProviderRejected, "loop", "leads back to this gateway"),
    (
        r"\b429\b|rate.?limit|too many requests|slow down",
        ProviderThrottled,
        "throttled",
        "asks us to slow down",
    ),
    (
        (
            r"\b(402|432|433)\b|insufficient (credits?|balance|funds)|out of credits"
            r"|(quota|credits?|balance) (is |was |has been |have been )?(exceeded|exhausted|used up)"
        ),
        ProviderQuotaExceeded,
        "quota",
        "has no quota left for us",
    ),
    (
        r"\b401\b|unauthori[sz]ed|invalid (api.?key|token|credential)|authentication (failed|required)",
        ProviderRejected,
        "key_refused",
        "refuses our key",
    ),
    (
        r"validation error|invalid (argument|parameter|input|request)|missing required|unexpected keyword",
        ProviderRejected,
        "wrong_arguments",
        "refuses the arguments its tool is called with",
    ),
    (
        r"\b50[0234]\b|timed? ?out|unavailable|temporar|connection (error|refused|reset)",
        ProviderUnavailable,
        "tool_unavailable",
        "cannot reach what its tool needs",
    ),
)
"""What a tool's own words mean; the first that fits decides. Read with care: they are written for models."""


def tool_fault(provider: str, result: wire.ToolResult) -> ProviderError:
    """Our error for an answer that the tool itself calls one.

    Words that say nothing we know make it a refusal, which is not tried again. What such a call was billed
    nobody knows.
    """
    text = " ".join((block.text or "")[:2_000] for block in result.content[:4])
    for pattern, kind, reason, words in _WORDS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{provider} {words}.", provider=provider, reason=reason)
    return ProviderRejected(f"The tool of {provider} failed.", provider=provider, reason="tool_failed")


def rpc_fault(provider: str, error: wire.RpcError) -> ProviderError:
    """Our error for a refusal of the protocol's, by its code alone."""
    kind: type[ProviderError] = ProviderProtocolError
    if error.code == wire.INVALID_PARAMS:
        kind, reason, words = (
            ProviderRejected,
            "wrong_arguments",
            "refuses the arguments its tool is called with",
        )
    elif error.code == wire.METHOD_NOT_FOUND:
        reason, words = "no_tools", "is an MCP server without tools"
    elif error.code == wire.UNSUPPORTED_VERSION:
        reason, words = "protocol_version", "speaks no revision of MCP that we speak"
    elif error.code == wire.INTERNAL_ERROR:
        kind, reason, words = ProviderUnavailable, "rpc_internal", "has a fault of its own"
    else:
        reason, words = "rpc_error", "refuses the call"
    return kind(f"{provider} {words} (JSON-RPC {error.code}).", provider=provider, reason=reason)


def http_fault(provider: str, reply: Reply) -> ProviderError:
    """Our error for a status that is no success, by the status alone."""
    if reply.status in UNREAD:
        words = "takes no message of MCP at the URL it is configured with"
        return ProviderProtocolError(
            f"{provider} {words} (HTTP {reply.status}).",
            provider=provider,
            reason=f"http_{reply.status}",
            assumed=FREE,
        )
    if 300 <= reply.status < 400:
        return ProviderProtocolError(
            f"{provider} redirects us (HTTP {reply.status}); redirects are not followed, since our key "
            "would go along. Configure the URL it leads to.",
            provider=provider,
            reason=f"http_{reply.status}",
            assumed=FREE,
        )
    return status_fault(reply, provider)


def configured_wrong(provider: str, reason: str, words: str) -> ProviderRejected:
    """The tool and what is configured for it do not fit together; nothing was called."""
    return ProviderRejected(f"{provider} {words}", provider=provider, reason=reason, assumed=FREE)
