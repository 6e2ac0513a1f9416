"""A SearXNG of one's own as a provider: the kind `searxng`. It costs nothing and knows no keys."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import ProviderError, ProviderProtocolError, ProviderRejected, ResultInvalid
from orchestrator.events import FREE, Cost
from orchestrator.model import Call, ExtractAnswer, ExtractRequest, Found, SearchAnswer, SearchRequest
from orchestrator.ports import WEB_SCHEMES, Provider
from orchestrator.providers import searxng_wire as wire
from orchestrator.providers.operator_log import OperatorLog
from orchestrator.providers.option_checks import missing_secret, timing_of, with_secrets
from orchestrator.providers.registry import ProviderKind, Tools, Unconfigured
from orchestrator.providers.searxng_wire import SearxngOptions
from orchestrator.providers.upstream import Reply, Upstream, trace_headers
from orchestrator.providers.upstream_faults import reading_answer, status_fault
from orchestrator.via import via_headers


class Searxng:
    """A provider of any name. `aclose` closes the upstream it was given."""

    operations = frozenset({"search"})
    schemes = WEB_SCHEMES

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        options: SearxngOptions,
        *,
        headers: Mapping[str, str],
        installation: str = "",
    ) -> None:
        self.name = name
        self.timing = timing_of(options.timeout_s)
        self._upstream = upstream
        self._options = options
        self._url = options.url.rstrip("/") + "/search"
        self._headers = headers
        self._installation = installation
        self._log = OperatorLog({"format_off", "wrong_parameters", "bad_json"})

    def search_estimate(self, request: SearchRequest) -> Cost:
        """Nothing: nobody bills it."""
        return FREE

    def extract_estimate(self, request: ExtractRequest) -> Cost:
        """Nothing: it reads no pages."""
        return FREE

    async def search(self, call: Call[SearchRequest]) -> Found[SearchAnswer]:
        """Search once. Raises ProviderError by the status, ProviderProtocolError, and ResultInvalid.

        The last is for a search that found nothing because the engines behind SearXNG did not answer.
        """
        request = call.request
        try:
            page = await self._page(call)
        except ProviderError as fault:
            self._log.tell(fault)
            raise
        answer = wire.answer_of(page, request)
        return Found(answer=answer, provider=self.name, unsupported=wire.passed_over(request, answer))

    async def extract(self, call: Call[ExtractRequest]) -> Found[ExtractAnswer]:
        """Not offered. Raises ProviderRejected."""
        raise ProviderRejected(
            f"{self.name} reads no pages.", provider=self.name, reason="unsupported", assumed=FREE
        )

    async def aclose(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._upstream.aclose()

    async def _page(self, call: Call[SearchRequest]) -> wire.Page:
        params = wire.search_params(call.request, self._options)
        headers = {**self._headers, **trace_headers(call), **via_headers(call, self._installation)}
        reply = await self._upstream.get(self._url, headers=headers, params=params)
        if reply.status != 200:
            raise self._fault(reply)
        with reading_answer(self.name):
            page = wire.read_page(reply.body)
        if page.is_blind(self._options.engines):
            raise ResultInvalid(
                f"{self.name} found nothing because its engines did not answer.",
                provider=self.name,
                reason="engines_unresponsive",
                assumed=FREE,
            )
        return page

    def _fault(self, reply: Reply) -> ProviderError:
        """By the status, as ever, but for what only the operator can mend.

        A 400 would be taken for the caller's fault and end the chain; here it is a parameter of ours, such as
        a language, that this SearXNG does not take.
        """
        if reply.status == 403:
            return ProviderRejected(
                f"{self.name} refuses to answer in JSON (HTTP 403): add `json` to `search: formats:` in the "
                "settings.yml of SearXNG.",
                provider=self.name,
                reason="format_off",
                assumed=FREE,
            )
        if reply.status in (400, 422):
            return ProviderRejected(
                f"{self.name} refuses a parameter of the search (HTTP {reply.status}): look at the engines, "
                "categories and language of its options.",
                provider=self.name,
                reason="wrong_parameters",
                assumed=FREE,
            )
        if 300 <= reply.status < 400:
            return ProviderProtocolError(
                f"{self.name} redirects us (HTTP {reply.status}); configure the URL it leads to.",
                provider=self.name,
                reason=f"http_{reply.status}",
                assumed=FREE,
            )
        return status_fault(reply, self.name)


def make(name: str, options: SearxngOptions, tools: Tools) -> Provider | Unconfigured:
    """The provider of these options. Raises InvalidRequest for options that cannot be meant."""
    options.check()
    if missing := missing_secret([options.url, *options.headers.values()], tools.secret):
        return Unconfigured(name=name, reason=missing)
    headers = {header: with_secrets(value, tools.secret) for header, value in options.headers.items()}
    upstream = Upstream(name, tools.clock)
    return Searxng(name, upstream, options, headers=headers, installation=tools.installation)


SEARXNG = ProviderKind(
    summary="A SearXNG of your own: searches the web through other engines.",
    options=SearxngOptions,
    make=make,
)
"""The kind."""
