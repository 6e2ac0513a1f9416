"""A search tool of a remote MCP server as a provider, mapped by configuration: the kind `mcp`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator.errors import ProviderRejected
from orchestrator.events import FREE, Cost
from orchestrator.model import Call, ExtractAnswer, ExtractRequest, Found, SearchAnswer, SearchRequest
from orchestrator.ports import WEB_SCHEMES, Clock, Provider
from orchestrator.providers import mcp_arguments as arguments
from orchestrator.providers import mcp_wire as wire
from orchestrator.providers.mcp_faults import configured_wrong
from orchestrator.providers.mcp_options import McpOptions
from orchestrator.providers.mcp_pages import LAST_PAGE_S, PageReads, read_together, times
from orchestrator.providers.mcp_remote import Remote
from orchestrator.providers.mcp_results import read_results
from orchestrator.providers.operator_log import OperatorLog
from orchestrator.providers.option_checks import missing_secret, timing_of, with_secrets
from orchestrator.providers.registry import ProviderKind, Tools, Unconfigured
from orchestrator.providers.request_terms import unsupported
from orchestrator.providers.upstream import Upstream

MISFITS = frozenset({"no_such_tool", "wrong_arguments"})
"""Reasons for which only the operator can do something."""


EXTRACT_FIELDS = (
    *("query", "extract_depth", "format", "chunks_per_source"),
    *("include_images", "include_favicon"),
)
"""The fields of an extract that may make no difference."""


class McpTool:
    """A provider of any name. `aclose` closes the upstream of the remote it was given."""

    schemes = WEB_SCHEMES

    def __init__(self, name: str, remote: Remote, options: McpOptions, clock: Clock) -> None:
        self.name = name
        self.operations = frozenset({"search", "extract"} if options.extract_tool else {"search"})
        self.timing = timing_of(options.timeout_s)
        self._remote = remote
        self._clock = clock
        self._log = OperatorLog(MISFITS)
        self._options = options
        micros = round(options.usd_per_call * 1_000_000)
        amount = options.credits_per_call
        self._price = Cost(amount=amount, unit="credits" if amount else "", usd_micros=micros)

    def search_estimate(self, request: SearchRequest) -> Cost:
        """What the operator says a call costs."""
        return self._price

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """The price of a call for each page, though a tool may take all at once."""
        return times(self._price, len(set(request.urls)))

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError: see mcp_faults.py."""
        request, options = call.request, self._options
        used: arguments.Template = {}

        def fill(tool: wire.Tool) -> dict[str, Any]:
            nonlocal used
            given = options.arguments or arguments.suggested(tool.input_schema)
            used = self._fitting(given, tool, "arguments")
            return arguments.fill(used, arguments.of_search(request), tool.input_schema)

        with self._telling():
            result = await self._remote.call(options.tool, fill, call)
        answer = read_results(self.name, result, options.results, options.fields)
        if not request.include_raw_content:
            answer = _without_pages(answer)
        passed_over = unsupported(request, arguments.placeholders(used))
        return Found(answer=answer, provider=self.name, cost=self._price, unsupported=passed_over)

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Read the pages, in one call or in one each. Raises ProviderError: see mcp_pages.py."""
        request, name = call.request, self._options.extract_tool
        if not name:
            raise ProviderRejected(
                f"{self.name} reads no pages.", provider=self.name, reason="unsupported", assumed=FREE
            )
        with self._telling():
            tool = await self._remote.tool(name, call)
            given = self._options.extract_arguments or arguments.suggested_page(tool.input_schema)
            template = self._fitting(given, tool, "extract_arguments")

        async def read(urls: Sequence[str]) -> wire.ToolResult:
            values = arguments.of_pages(request, urls)
            return await self._remote.call(
                name, lambda now: arguments.fill(template, values, now.input_schema), call
            )

        urls, honoured = tuple(dict.fromkeys(request.urls)), arguments.placeholders(template)
        if "urls" in honoured:
            answer, cost = await read_together(self.name, urls, read), self._price
        else:
            reads = PageReads(self.name, urls, read, self._price)
            answer = await reads.run(call.deadline - self._clock.monotonic() - LAST_PAGE_S)
            cost = reads.cost
        passed_over = tuple(
            field for field in EXTRACT_FIELDS if getattr(request, field) and field not in honoured
        )
        return Found(answer=answer, provider=self.name, cost=cost, unsupported=passed_over)

    async def aclose(self) -> None:
        """Close the session and the connections. Safe to call twice."""
        await self._remote.aclose()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the operator of what only they can mend."""
        try:
            yield
        except ProviderRejected as fault:
            self._log.tell(fault)
            raise

    def _fitting(
        self, template: arguments.Template | None, tool: wire.Tool, option: str
    ) -> arguments.Template:
        """The template, if there is one and the tool takes it. Raises ProviderRejected if not."""
        if template is None:
            wanted = "a query" if option == "arguments" else "the address of a page"
            why = f"has no argument that looks like {wanted}"
        else:
            why = arguments.misfit(template, tool.input_schema)
        if template is None or why:
            words = f"calls the tool {tool.name}, which {why}; see the option {option}."
            raise configured_wrong(self.name, "wrong_arguments", words)
        return template


def _without_pages(answer: SearchAnswer) -> SearchAnswer:
    """The answer without the whole pages that a tool sent though nobody asked for them."""
    return replace(answer, results=tuple(replace(one, raw_content=None) for one in answer.results))


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
        tools={options.tool, options.extract_tool} - {""},
        protocol=options.protocol,
        installation=tools.installation,
    )
    return McpTool(name, remote, options, tools.clock)


MCP = ProviderKind(
    summary="A search tool of any remote MCP server, mapped by its options.", options=McpOptions, make=make
)
"""The kind."""
