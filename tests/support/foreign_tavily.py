"""Clients that speak Tavily's wire, as a table: how each is asked, and what its user gets for it.

They differ in how options are given, in what the text of a result is called, and in what becomes of a
refusal; all else is the same for all, and so are the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.foreign import PYTHON, ClientError, ForeignClient
from tests.support.npm import NODE
from tests.support.processes import ROOT

NPM_FOLDER = ROOT / "tests/clients"

Question = tuple[str, dict[str, Any]]
"""The name of a call of the client's script, and its arguments but for `base` and `key`."""

OPTIONS: dict[str, Any] = {
    "search_depth": "advanced",
    "topic": "news",
    "start_date": "2026-01-01",
    "end_date": "2026-11-01",
    "max_results": 7,
    "include_domains": ["almanac.example", "*.museum.example"],
    "exclude_domains": ["forum.example"],
    "include_answer": "advanced",
    "include_raw_content": "markdown",
    "include_images": True,
    "include_image_descriptions": True,
    "include_favicon": True,
    "country": "germany",
    "auto_parameters": False,
    "include_usage": True,
    "exact_match": False,
}
"""Options that every client can send, each in its own way, at once."""


@dataclass(frozen=True)
class Kind:
    """One client. `refusal` is what its user sees of a status and of our sentence about it, as a pattern."""

    name: str
    command: tuple[str, ...]
    search: Callable[[str], Question]
    search_with: Callable[[str, dict[str, Any]], Question]
    refusal: Callable[[int, str], str]
    extract: Callable[[list[str]], Question] | None = None
    relay: Callable[[str, str], Question] | None = None
    """`map` or `crawl` of a site, `research` of a question, or `getResearch` of an id."""
    stream: Callable[[str], Question] | None = None
    """A research that is told as it is made."""
    content: str = "content"
    nothing_found: str = ""
    """What a user gets instead of an empty list of results."""
    impatient: dict[str, Any] = field(default_factory=dict)
    """How to give up after 0.3 s; nothing if its user cannot."""
    needs: str = ""
    """Where its packages come from, beside those of the tests: "pip" or "npm"."""


class TavilyUser:
    """A client pointed at one base address, with one key."""

    def __init__(self, kind: Kind, client: ForeignClient, base: str) -> None:
        self.kind = kind
        self._client = client
        self.key = "tvly-mine"
        self._base = base

    async def ask(self, question: Question, path: str = "", **more: Any) -> Any:
        """What it returns; what it raises, or returns as an error (as LangChain does), is a ClientError."""
        call, arguments = question
        given = {"base": self._base + path, "key": self.key, **arguments, **more}
        answer = await self._client.ask(call, **given)
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            raise ClientError("{type}: {message}".format(**answer["error"]))
        return answer

    async def search(self, query: str, path: str = "", **more: Any) -> Any:
        """The answer to a search with nothing but a query."""
        return await self.ask(self.kind.search(query), path, **more)

    async def extract(self, urls: list[str], path: str = "") -> Any:
        """What it says about these pages."""
        assert self.kind.extract is not None
        return await self.ask(self.kind.extract(urls), path)


def _script(python: str, name: str) -> tuple[str, ...]:
    return (python, "-m", f"tests.clients.{name}")


def _langchain(name: str, call: str, refusal: Callable[[int, str], str]) -> Kind:
    def search_with(query: str, options: dict[str, Any]) -> Question:
        setup = {key: value for key, value in options.items() if not key.endswith("_date")}
        dates = {key: value for key, value in options.items() if key.endswith("_date")}
        return call, {"name": "TavilySearch", "query": query, "setup": setup, **dates}

    return Kind(
        name,
        _script(str(PYTHON), "with_langchain"),
        search=lambda query: (call, {"name": "TavilySearch", "query": query}),
        search_with=search_with,
        extract=lambda urls: (call, {"name": "TavilyExtract", "urls": urls}),
        relay=lambda operation, subject: (
            call,
            {"name": LANGCHAIN_TOOLS[operation][0], LANGCHAIN_TOOLS[operation][1]: subject},
        ),
        stream=lambda text: (call.replace("invoke", "stream"), {"input": text}),
        refusal=refusal,
        nothing_found="No search results found for 'tide tables'",
        needs="pip",
    )


def litellm_command() -> tuple[str, ...]:
    """Starts LiteLLM, which is a client of others than Tavily as well."""
    return _script(str(PYTHON), "with_litellm")


def _litellm(name: str, call: str) -> Kind:
    def search_with(query: str, options: dict[str, Any]) -> Question:
        # Its own spelling is Perplexity's; what that has not is passed through.
        own = {key: value for key, value in options.items() if key != "include_domains"}
        filters = {"search_domain_filter": options["include_domains"], "country": "Germany"}
        return call, {"provider": "tavily", "query": query, **own, **filters}

    return Kind(
        name,
        litellm_command(),
        search=lambda query: (call, {"provider": "tavily", "query": query}),
        search_with=search_with,
        refusal=lambda status, sentence: f"{LITELLM_CLASSES[status]}: .*{sentence}",
        content="snippet",
        impatient={"timeout": 0.3},
        needs="pip",
    )


LANGCHAIN_TOOLS = {
    "map": ("TavilyMap", "url"),
    "crawl": ("TavilyCrawl", "url"),
    "research": ("TavilyResearch", "input"),
    "getResearch": ("TavilyGetResearch", "request_id"),
}
"""Its tools, and what each calls its one argument."""

LITELLM_CLASSES: Mapping[int, str] = {
    400: "BadRequestError",
    401: "AuthenticationError",
    429: "RateLimitError",
    432: "BadRequestError",
    503: "ServiceUnavailableError",
}

TAVILY_CLASSES: Mapping[int, str] = {
    400: "BadRequestError",
    401: "InvalidAPIKeyError",
    429: "UsageLimitExceededError",
    432: "ForbiddenError",
}
"""What tavily-python raises, which Agno uses; of other statuses it shows the number only."""


def _agno_search_with(query: str, options: dict[str, Any]) -> Question:
    named = (
        "search_depth",
        "topic",
        "start_date",
        "end_date",
        "include_domains",
        "exclude_domains",
        "country",
    )
    setup = {key: options[key] for key in named}
    rest = {key: value for key, value in options.items() if key not in {*named, "max_results"}}
    arguments = {"query": query, "max_results": options["max_results"]}
    return "search", {**arguments, "setup": {**setup, "search_params": rest}}


def _agno_refusal(status: int, sentence: str) -> str:
    return f"{TAVILY_CLASSES[status]}: {sentence}" if status in TAVILY_CLASSES else f"HTTPError: {status}"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


KINDS = [
    _langchain(
        "langchain-sync", "invoke", lambda status, sentence: f"ValueError: Error {status}: {sentence}"
    ),
    _langchain("langchain-async", "ainvoke", lambda status, _: f"Exception: Error {status}: "),
    _litellm("litellm-sync", "search"),
    _litellm("litellm-async", "asearch"),
    Kind(
        "tavily-core",
        (NODE, str(NPM_FOLDER / "with_tavily_core.mjs")),
        search=lambda query: ("search", {"subject": query, "options": {}}),
        search_with=lambda query, options: (
            "search",
            {"subject": query, "options": {_camel(name): value for name, value in options.items()}},
        ),
        extract=lambda urls: ("extract", {"subject": urls, "options": {}}),
        relay=lambda operation, subject: (operation, {"subject": subject, "options": {}}),
        stream=lambda text: ("research", {"subject": text, "options": {"stream": True}}),
        refusal=lambda _, sentence: f"Error: {sentence}",
        impatient={"options": {"timeout": 0.3}},
        needs="npm",
    ),
    Kind(
        "agno",
        _script(sys.executable, "with_agno"),
        search=lambda query: ("search", {"query": query}),
        search_with=_agno_search_with,
        extract=lambda urls: ("extract", {"urls": urls}),
        refusal=_agno_refusal,
    ),
]
