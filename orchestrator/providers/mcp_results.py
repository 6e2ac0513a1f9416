"""A tool's answer as search results: finds the list, reads its members by the names they go by. Pure.

There is no standard for what a search tool answers. Known shapes are found by themselves, such as
`{"results": [{"title", "url", "snippet"}]}`, a bare list, one result a text block, or links to resources;
others by the paths that the operator gives. A text that is no JSON is refused: nobody can tell its results
apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.errors import ProviderProtocolError
from orchestrator.model import SearchAnswer, SearchResult
from orchestrator.providers.mcp_wire import ToolResult
from orchestrator.providers.ranking import falling_scores

RESULTS_READ_MAX = 100
"""chosen: five times what anybody may ask for; the rest of a longer list is not looked at."""

DEPTH_MAX = 3
"""chosen: how deep a list is looked for, such as `{"data": {"web": {"results": []}}}`."""

LISTS = (
    *("results", "result", "items", "data", "hits", "organic", "organic_results", "documents", "pages"),
    *("web", "webPages", "news", "value", "response", "search_results", "matches"),
)
"""Names under which tools were seen to keep their results, or the object that has them."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "url": ("url", "link", "href", "source_url", "sourceUrl", "uri"),
    "title": ("title", "name", "headline"),
    "content": ("content", "snippet", "description", "text", "summary", "excerpt", "highlights", "body"),
    "score": ("score", "relevance", "relevance_score", "similarity"),
    "published_date": ("published_date", "publishedDate", "published_at", "published", "date", "page_age"),
    "raw_content": ("raw_content",),
}
"""Names by which the members of a result go; the first that has a value is taken."""

Found = list[Any]


def read_results(provider: str, result: ToolResult, path: str, fields: Mapping[str, str]) -> SearchAnswer:
    """The results of a tool's answer. Raises ProviderProtocolError if there is no list of them.

    Results without a URL are left out. `path` and `fields` are the operator's, `""` and `{}` if there are
    none.
    """
    values = values_of(result)
    found = first_list(values, path)
    if found is None:
        raise _refused(provider, path, has_json=bool(values))
    items = [item for item in found[:RESULTS_READ_MAX] if isinstance(item, dict)]
    names = {field: (fields[field],) if field in fields else FIELDS[field] for field in FIELDS}
    kept = [item for item in items if text_of(item, names["url"])]
    scores = falling_scores([_value(item, names["score"]) for item in kept])
    return SearchAnswer(
        results=tuple(_result(item, names, score) for item, score in zip(kept, scores, strict=True)),
        answer=None,
        images=(),
    )


def _refused(provider: str, path: str, *, has_json: bool) -> ProviderProtocolError:
    if not has_json:
        words, reason = "answers in plain text, of which no results can be made", "text_only"
    elif path:
        words, reason = "has no list of results where the option results says", "no_results_list"
    else:
        words, reason = (
            "has no list of results in its answer; say where in the option results",
            "no_results_list",
        )
    return ProviderProtocolError(f"The tool of {provider} {words}.", provider=provider, reason=reason)


# --- where the list is --------------------------------------------------------------------------------------


def values_of(result: ToolResult) -> list[Any]:
    """Everything in the answer that is JSON, the likeliest to hold what is looked for first."""
    texts = [block.text for block in result.content if block.type == "text" and block.text]
    values = [value for value in _values(result.structured_content, texts) if value is not None]
    links = [
        {"url": block.uri, "title": block.title or block.name, "content": block.description}
        for block in result.content
        if block.type == "resource_link"
    ]
    return [*values, links] if links else values


def first_list(values: Sequence[Any], path: str = "") -> Found | None:
    """The list at the path, or the first list of results, in any of the values; `None` if there is none."""
    return next((listed for value in values if (listed := _listed(value, path)) is not None), None)


def _values(structured: Any, texts: Sequence[str]) -> Iterable[Any]:
    """Structured content before texts, which often repeat it."""
    yield None if _is_wrapped_prose(structured) else structured
    decoded = [_json(text) for text in texts]
    yield from decoded
    # Some servers give each result a block of its own.
    if decoded and all(isinstance(one, dict) for one in decoded):
        yield decoded


def _is_wrapped_prose(structured: Any) -> bool:
    """Whether it is but the text again: frameworks wrap what a function returned as `{"result": text}`."""
    inner = structured.get("result") if isinstance(structured, dict) and len(structured) == 1 else None
    return isinstance(inner, str) and _json(inner) is None


def _json(text: str) -> Any:
    """The object or list that a text is, `None` if it is none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _listed(value: Any, path: str) -> Found | None:
    """The list at the path, or the first list of results there is without one; `None` if there is none."""
    if not path:
        return _searched(value, DEPTH_MAX)
    for part in path.split("."):
        value = _opened(value)
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    value = _opened(value)
    return value if isinstance(value, list) else None


def _searched(value: Any, depth: int) -> Found | None:
    value = _opened(value)
    if isinstance(value, list):
        # An empty list is an answer: nothing was found. One of other things than results is not.
        is_results = any(isinstance(item, dict) and text_of(item, FIELDS["url"]) for item in value)
        return value if is_results or not value else None
    if not isinstance(value, Mapping) or not depth:
        return None
    inside = (_searched(value[name], depth - 1) for name in LISTS if name in value)
    return next((found for found in inside if found is not None), None)


def _opened(value: Any) -> Any:
    """What a text holds that is JSON itself, as where a framework wraps what a function returned."""
    return _json(value) if isinstance(value, str) else value


# --- one result ---------------------------------------------------------------------------------------------


def _result(item: Mapping[str, Any], names: Mapping[str, Sequence[str]], score: float) -> SearchResult:
    return SearchResult(
        title=text_of(item, names["title"]),
        url=text_of(item, names["url"]),
        content=text_of(item, names["content"])[: limits.CONTENT_CHARS_MAX],
        score=score,
        raw_content=text_of(item, names["raw_content"]) or None,
        published_date=text_of(item, names["published_date"]) or None,
    )


def _value(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of these members that has a value; a name may be a path, such as `meta.url`."""
    for name in names:
        value: Any = item
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and value not in ("", []):
            return value
    return None


def text_of(item: Mapping[str, Any], names: Sequence[str]) -> str:
    """The member as text: a list of texts (highlights) is joined, anything else that is no text is `""`."""
    value = _value(item, names)
    if isinstance(value, list):
        value = " […] ".join(one for one in value if isinstance(one, str))
    return value if isinstance(value, str) else ""
