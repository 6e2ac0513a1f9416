"""What a tool is called with: the operator's template filled from a request, or what its schema suggests.

Pure. A template is a JSON object. A string that is a placeholder, such as `"{query}"`, becomes the request's
value of that name with its type; a placeholder within a longer string becomes text. An argument whose value
the caller did not give is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.model import ExtractRequest, SearchRequest
from orchestrator.providers import mcp_wire as wire
from orchestrator.providers.ranking import is_number
from orchestrator.providers.request_terms import TERMS

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
"""A name of a field of the request, in braces."""

NAMES = frozenset({"query", "max_results", "include_domains", "exclude_domains", *TERMS})
"""The fields of a search that a template may name."""

PAGE_NAMES = frozenset({"url", "urls", "query", "format", "extract_depth"})
"""The fields of an extract that a template may name: `url` makes a call a page, `urls` one for all pages."""

URL_NAMES = ("url", "uri", "link", "href", "id", "page_url", "target")
URLS_NAMES = ("urls", "links", "uris")
"""What arguments are called by tools that read pages."""

QUERY_NAMES = ("query", "q", "search_query", "search", "question", "keywords", "text", "input")
COUNT_NAMES = (
    *("max_results", "num_results", "numResults", "maxResults", "limit", "count", "num", "top_k", "k", "n"),
    *("size", "per_page", "page_size"),
)
"""What arguments are called by tools that search; the first that a schema has is taken."""

RESULTS_MIN_MAX = 1_000
"""chosen: a schema that wants more than so many results at least is not obeyed."""

TEMPLATE_DEPTH_MAX = 8
"""chosen: arguments of a tool nested deeper are no arguments."""

Template = Mapping[str, Any]
ValueOf = Callable[[str], Any]
"""Gives the value for a placeholder, `None` if the caller has given none."""


def check_template(template: Template | None) -> None:
    """Raises InvalidRequest for a template without the query, or with a placeholder that is none."""
    if template is not None and "query" not in _known(template, NAMES, "arguments"):
        raise _bad("arguments", 'must say which one is the query, such as {"q": "{query}"}')


def check_page_template(template: Template | None) -> None:
    """Raises InvalidRequest for a template without the page or pages, or with a placeholder that is none."""
    if template is not None:
        used = _known(template, PAGE_NAMES, "extract_arguments")
        if ("url" in used) == ("urls" in used):
            words = 'must say which one is the page, such as {"url": "{url}"} or {"urls": "{urls}"}'
            raise _bad("extract_arguments", words)


def _known(template: Template, names: frozenset[str], option: str) -> set[str]:
    used = placeholders(template)
    if unknown := sorted(used - names):
        words = f"must not name {{{unknown[0][:40]}}}; there are {', '.join(sorted(names))}"
        raise _bad(option, words)
    return used


def _bad(option: str, words: str) -> InvalidRequest:
    return InvalidRequest(f"options: {option} {words}.", field=f"options.{option}")


def placeholders(value: Any, depth: int = 0) -> set[str]:
    """The names of all placeholders in a template. Raises InvalidRequest if it is nested too deep."""
    if depth > TEMPLATE_DEPTH_MAX:
        raise _bad("arguments", "are nested too deep")
    if isinstance(value, str):
        return set(PLACEHOLDER.findall(value))
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return set().union(*(placeholders(one, depth + 1) for one in inner))


def suggested(schema: Any) -> dict[str, str] | None:
    """The template that a tool's schema suggests, `None` if it has no argument that looks like a query."""
    described = wire.properties(schema)
    query = next((name for name in QUERY_NAMES if name in described), None)
    if query is None:
        # A tool with one text argument can only mean that one.
        texts = [name for name, one in described.items() if _is_text(one)]
        if len(texts) != 1:
            return None
        query = texts[0]
    count = next((name for name in COUNT_NAMES if name in described), None)
    return {query: "{query}", **({count: "{max_results}"} if count else {})}


def suggested_page(schema: Any) -> dict[str, str] | None:
    """The template that the schema of a tool that reads pages suggests, `None` if it suggests none."""
    described = wire.properties(schema)
    if several := next((name for name in URLS_NAMES if name in described), None):
        return {several: "{urls}"}
    one = next((name for name in URL_NAMES if _is_text(described.get(name))), None)
    return {one: "{url}"} if one else None


def misfit(template: Template, schema: Any) -> str:
    """Why the template does not fit the schema, in words for the operator; `""` if it may."""
    described = wire.properties(schema)
    required = schema.get("required") if isinstance(schema, dict) else None
    if described and (unknown := sorted(name for name in template if name not in described)):
        return f"has no argument {unknown[0]}"
    needed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    if missing := sorted(name for name in needed if name not in template):
        # A stranger's word in a log: only if it is a proper name.
        return f"needs the argument {missing[0]}" if wire.is_tool_name(missing[0]) else "needs more arguments"
    return ""


def fill(template: Template, value_of: ValueOf, schema: Any) -> dict[str, Any]:
    """The arguments with their values. A number is held within the bounds that the schema has for it."""
    described = wire.properties(schema)
    filled = {}
    for name, value in template.items():
        made = _filled(value, value_of)
        if made is not None:
            filled[name] = _within(made, described.get(name))
    return filled


def _filled(value: Any, value_of: ValueOf) -> Any:
    """The value with its placeholders replaced, `None` if one of them has no value."""
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole is not None:
            return value_of(whole[1])
        parts = {name: value_of(name) for name in PLACEHOLDER.findall(value)}
        if None in parts.values():
            return None
        return PLACEHOLDER.sub(lambda found: _text(parts[found[1]]), value)
    if isinstance(value, Mapping):
        made = {name: _filled(one, value_of) for name, one in value.items()}
        return {name: one for name, one in made.items() if one is not None}
    if isinstance(value, list):
        return [one for one in (_filled(one, value_of) for one in value) if one is not None]
    return value


def of_search(request: SearchRequest) -> ValueOf:
    """The values of a search."""

    def value_of(name: str) -> Any:
        value = request.limit if name == "max_results" else getattr(request, name)
        return list(value) or None if isinstance(value, tuple) else value

    return value_of


def of_pages(request: ExtractRequest, urls: Sequence[str]) -> ValueOf:
    """The values of an extract of these pages."""

    def value_of(name: str) -> Any:
        if name in ("url", "urls"):
            return urls[0] if name == "url" else list(urls)
        return getattr(request, name)

    return value_of


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _within(value: Any, described: Any) -> Any:
    if not isinstance(described, dict) or isinstance(value, bool) or not isinstance(value, int):
        return value
    most, least = described.get("maximum"), described.get("minimum")
    if is_number(most) and 0 <= most < value:
        value = int(most)
    if is_number(least) and value < least <= RESULTS_MIN_MAX:
        value = int(least)
    return str(value) if described.get("type") == "string" else value


def _is_text(described: Any) -> bool:
    return isinstance(described, dict) and described.get("type") == "string"
