"""A search tool of a remote MCP server as a provider, mapped by configuration: the kind `mcp`."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import ProviderRejected
from orchestrator.events import FREE, Cost
from orchestrator.model import Call, ExtractAnswer, ExtractRequest, Found, SearchAnswer, SearchRequest
from orchestrator.ports import WEB_SCHEMES, Provider
from orchestrator.providers import mcp_arguments as arguments
from orchestrator.providers import mcp_wire as wire
from orchestrator.providers.mcp_faults import configured_wrong
from orchestrator.providers.mcp_options import McpOptions
from orchestrator.providers.mcp_remote import Remote
from orchestrator.providers.mcp_results import read_results
from orchestrator.providers.operator_log import OperatorLog
from orchestrator.providers.option_checks import missing_secret, timing_of, with_secrets
from orchestrator.providers.registry import ProviderKind, Tools, Unconfigured
from orchestrator.providers.request_terms import unsupported
from orchestrator.providers.upstream import Upstream

MISFITS = frozenset({"no_such_tool", "wrong_arguments"})
"""Reasons for which only the operator can do something."""


class McpTool:
    """A provider of any name. `aclose` closes the upstream of the remote it was given."""

    operations = frozenset({"search"})
    schemes = WEB_SCHEMES

    def __init__(self, name: str, remote: Remote, options: McpOptions) -> None:
        self.name = name
        self.timing = timing_of(options.timeout_s)
        self._remote = remote
        self._log = OperatorLog(MISFITS)
        self._options = options
        micros = round(options.usd_per_call * 1_000_000)
        amount = options.credits_per_call
        self._cost = Cost(amount=amount, unit="credits" if amount else "", usd_micros=micros)

    def search_estimate(self, request: SearchRequest) -> Cost:
        """What the operator says a call costs."""
        return self._cost

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """Nothing: it reads no pages."""
        return FREE

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError: see mcp_faults.py."""
        request = call.request
        used: arguments.Template = {}

        def fill(tool: wire.Tool) -> dict[str, Any]:
            nonlocal used
            used = self._template(tool)
            return arguments.fill(used, request, tool.input_schema)

        try:
            result = await self._remote.call(self._options.tool, fill, call)
        except ProviderRejected as fault:
            self._log.tell(fault)
            raise
        answer = read_results(self.name, result, self._options.results, self._options.fields)
        honoured = arguments.placeholders(used)
        return Found(
            answer=answer,
            provider=self.name,
            cost=self._cost,
            unsupported=unsupported(request, honoured),
        )

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Not offered. Raises ProviderRejected."""
        raise ProviderRejected(
            f"{self.name} reads no pages.", provider=self.name, reason="unsupported", assumed=FREE
        )

    async def aclose(self) -> None:
        """Close the session and the connections. Safe to call twice."""
        await self._remote.aclose()

    def _template(self, tool: wire.Tool) -> arguments.Template:
        """The operator's template, or the one the tool suggests. Raises ProviderRejected if it cannot be."""
        template = self._options.arguments
        if template is None:
            template = arguments.suggested(tool.input_schema)
        if template is None:
            why = "has no argument that looks like a query"
        else:
            why = arguments.misfit(template, tool.input_schema)
        if template is None or why:
            words = f"calls the tool {tool.name}, which {why}; see the option arguments."
            raise configured_wrong(self.name, "wrong_arguments", words)
        return template


def make(name: str, options: McpOptions, tools: Tools) -> Provider | Unconfigured:
    """The provider of these options. Raises InvalidRequest for options that cannot be meant."""
    options.check()
    if missing := missing_secret([options.url, *options.headers.values()], tools.secret):
        return Unconfigured(name=name, reason=missing)
    remote = Remote(
        name,
        Upstream(name, tools.clock),
        with_secrets(options.url, tools.secret, is_url=True),
        headers={header: with_secrets(value, tools.secret) for header, value in options.headers.items()},
        tools=(options.tool,),
        protocol=options.protocol,
        installation=tools.installation,
    )
    return McpTool(name, remote, options)


MCP = ProviderKind(
    summary="A search tool of any remote MCP server, mapped by its options.", options=McpOptions, make=make
)
"""The kind."""
