"""What a tool is called with: the operator's template filled from a request, or what its schema suggests.

Pure. A template is a JSON object. A string that is a placeholder, such as `"{query}"`, becomes the request's
value of that name with its type; a placeholder within a longer string becomes text. An argument whose value
the caller did not give is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.model import SearchRequest
from orchestrator.providers import mcp_wire as wire
from orchestrator.providers.request_terms import TERMS

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
"""A name of a field of the request, in braces."""

NAMES = frozenset({"query", "max_results", "include_domains", "exclude_domains", *TERMS})
"""The fields a template may name."""

QUERY_NAMES = ("query", "q", "search_query", "search", "question", "keywords", "text", "input")
COUNT_NAMES = (
    *("max_results", "num_results", "numResults", "maxResults", "limit", "count", "num", "top_k", "k", "n"),
    *("size", "per_page", "page_size"),
)
"""What arguments are called by tools that search; the first that a schema has is taken."""

TEMPLATE_DEPTH_MAX = 8
"""chosen: arguments of a tool nested deeper are no arguments."""

Template = Mapping[str, Any]


def check_template(template: Template | None) -> None:
    """Raises InvalidRequest for a template without the query, or with a placeholder that is none."""
    if template is None:
        return
    used = placeholders(template)
    if "query" not in used:
        raise InvalidRequest(
            'options: arguments must say which one is the query, such as {"q": "{query}"}.',
            field="options.arguments",
        )
    if unknown := sorted(used - NAMES):
        raise InvalidRequest(
            f"options: arguments must not name {{{unknown[0][:40]}}}; there are {', '.join(sorted(NAMES))}.",
            field="options.arguments",
        )


def placeholders(value: Any, depth: int = 0) -> set[str]:
    """The names of all placeholders in a template. Raises InvalidRequest if it is nested too deep."""
    if depth > TEMPLATE_DEPTH_MAX:
        raise InvalidRequest("options: arguments are nested too deep.", field="options.arguments")
    if isinstance(value, str):
        return set(PLACEHOLDER.findall(value))
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return set().union(*(placeholders(one, depth + 1) for one in inner))


def suggested(schema: Mapping[str, Any]) -> dict[str, str] | None:
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


def misfit(template: Template, schema: Mapping[str, Any]) -> str:
    """Why the template does not fit the schema, in words for the operator; `""` if it may."""
    described, required = wire.properties(schema), schema.get("required")
    if described and (unknown := sorted(name for name in template if name not in described)):
        return f"has no argument {unknown[0]}"
    needed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    if missing := sorted(name for name in needed if name not in template):
        return f"needs the argument {missing[0][:100]}"
    return ""


def fill(template: Template, request: SearchRequest, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for a request. A number is held within the bounds that the schema has for it."""
    described = wire.properties(schema)
    filled = {}
    for name, value in template.items():
        made = _filled(value, request)
        if made is not None:
            filled[name] = _within(made, described.get(name))
    return filled


def _filled(value: Any, request: SearchRequest) -> Any:
    """The value with its placeholders replaced, `None` if one of them has no value."""
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole is not None:
            return _of_request(request, whole[1])
        parts = {name: _of_request(request, name) for name in PLACEHOLDER.findall(value)}
        if None in parts.values():
            return None
        return PLACEHOLDER.sub(lambda found: _text(parts[found[1]]), value)
    if isinstance(value, Mapping):
        made = {name: _filled(one, request) for name, one in value.items()}
        return {name: one for name, one in made.items() if one is not None}
    if isinstance(value, list):
        return [one for one in (_filled(one, request) for one in value) if one is not None]
    return value


def _of_request(request: SearchRequest, name: str) -> Any:
    """The request's value, `None` if it has none."""
    if name == "max_results":
        return request.limit
    value = getattr(request, name)
    if isinstance(value, tuple):
        return list(value) or None
    return value


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _within(value: Any, described: Any) -> Any:
    if not isinstance(described, dict) or isinstance(value, bool) or not isinstance(value, int):
        return value
    most, least = described.get("maximum"), described.get("minimum")
    if isinstance(most, int | float) and value > most:
        value = int(most)
    if isinstance(least, int | float) and value < least:
        value = int(least)
    return str(value) if described.get("type") == "string" else value


def _is_text(described: Any) -> bool:
    return isinstance(described, dict) and described.get("type") == "string"
