"""Tavily's wire format, which is the native format of the search API: requests in, answers and errors out.

Parsing checks shape and types; which values are allowed is decided behind every door by the validate stage.
Rendering joins bytes around the encoded fragment of an answer, which is never decoded on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from api.rest.dialects.dialect import Asked, Dialect
from api.rest.dialects.fields import build, check_depth, decode_object, parameters
from orchestrator.errors import InvalidRequest
from orchestrator.events import MILLION
from orchestrator.model import Attempt, ExtractRequest, Response, SearchRequest

NAME = "tavily"

_SEARCH_FIELDS = frozenset(SearchRequest.__struct_fields__) - {"extra"}
_EXTRACT_FIELDS = frozenset(ExtractRequest.__struct_fields__) - {"extra"}
_EXTRACT_RENAMED = {"timeout_s": "timeout"}
_LISTS = frozenset({"include_domains", "exclude_domains"})
INTEGERS = frozenset({"max_results", "chunks_per_source", "days"})

DIGITS_MAX = 18
"""chosen: more digits than any limit has, and what fits 64 bits; reading more takes the square of them."""

_WORDS = {"true": True, "false": False}

_encode = msgspec.json.Encoder().encode


class Amos(msgspec.Struct, frozen=True, kw_only=True):
    """Our addition to an answer: why this answer. `credits` and `cost_usd` are what this very call spent."""

    provider: str
    cache: str
    age_s: float
    stale: bool
    degraded: bool
    attempts: tuple[Attempt, ...]
    credits: float
    cost_usd: float
    unsupported: tuple[str, ...]
    notes: tuple[str, ...]
    execution_id: str


class ErrorSentence(msgspec.Struct, frozen=True):
    """What went wrong, in a sentence for a person."""

    error: str


class AmosOfError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Our addition to a failure: its code for programs, and what was tried, if it was an execution."""

    code: str
    execution_id: str = ""
    attempts: tuple[Attempt, ...] | msgspec.UnsetType = msgspec.UNSET


class KeylessLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit as Tavily's clients understand it that have no key: which one, and when it ends."""

    code: str
    message: str
    window: str | None
    retry_after_seconds: int | None
    next_actions: tuple[str, ...] = ()


class TavilyError(msgspec.Struct, frozen=True, kw_only=True):
    """A failure in the only envelope whose sentence Tavily's clients show to people.

    `error` is there for a client that said it has no key, when it is a limit that ended its call.
    """

    detail: ErrorSentence
    amos: AmosOfError
    error: KeylessLimit | msgspec.UnsetType = msgspec.UNSET


# --- requests -----------------------------------------------------------------------------------------------


def parse_search(body: bytes, _query_string: bytes = b"") -> Asked[SearchRequest]:
    """The search in a JSON body. Raises InvalidRequest, whatever the bytes."""
    return _search(decode_object(body))


def parse_search_query(query_string: bytes) -> Asked[SearchRequest]:
    """The search in a URL: `q` or `query`, and every option under its own name. Raises InvalidRequest.

    Lists are repeated or separated by commas, integers and `true`/`false` are written out.
    """
    given: dict[str, Any] = {}
    for name, text in parameters(query_string):
        if name in _LISTS:
            given.setdefault(name, []).extend(part.strip() for part in text.split(",") if part.strip())
        else:
            given["query" if name == "q" else name] = _parameter(name, text)
    if "query" not in given:
        raise InvalidRequest("q: Query is missing. Ask for /search?q=...", field="q")
    return _search(given)


def parse_extract(body: bytes, _query_string: bytes = b"") -> Asked[ExtractRequest]:
    """The extract in a JSON body. Raises InvalidRequest, whatever the bytes."""
    given = decode_object(body)
    fields, extra, credential, wants_usage = sorted_out(given, _EXTRACT_FIELDS - {"timeout_s"})
    urls = fields.get("urls")
    if urls is None:
        raise InvalidRequest("urls: URLs are missing.", field="urls")
    if isinstance(urls, str):
        fields["urls"] = [urls]
    elif not isinstance(urls, list):
        raise InvalidRequest("urls: expected a string or a list of strings.", field="urls")
    if (timeout_s := extra.pop("timeout", None)) is not None:
        fields["timeout_s"] = timeout_s
    if extra:
        check_depth(extra)
        fields["extra"] = extra
    return Asked(build(ExtractRequest, fields, _EXTRACT_RENAMED), credential, wants_usage)


def _search(given: dict[str, Any]) -> Asked[SearchRequest]:
    fields, extra, credential, wants_usage = sorted_out(given, _SEARCH_FIELDS)
    if "query" not in fields:
        raise InvalidRequest("query: Query is missing.", field="query")
    if extra:
        check_depth(extra)
        fields["extra"] = extra
    return Asked(build(SearchRequest, fields), credential, wants_usage)


def sorted_out(
    given: dict[str, Any], known: frozenset[str]
) -> tuple[dict[str, Any], dict[str, Any], str | None, bool]:
    """A body's known fields, unknown ones, key, and whether usage is wanted. A null was not given."""
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            (fields if name in known else extra)[name] = value
    credential = extra.pop("api_key", None)
    if credential is not None and not isinstance(credential, str):
        raise InvalidRequest("api_key: expected a string.", field="api_key")
    wants_usage = extra.pop("include_usage", False)
    if not isinstance(wants_usage, bool):
        raise InvalidRequest("include_usage: expected true or false.", field="include_usage")
    return fields, extra, credential, wants_usage


def _parameter(name: str, text: str) -> Any:
    """The JSON value a parameter of a URL stands for; the text itself where it stands for none."""
    if name in ("q", "query"):
        return text
    if name in INTEGERS:
        digits = text.removeprefix("-")
        # More digits than any limit, and int() is quadratic: such a text is refused as the string it is.
        return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX else text
    return _WORDS.get(text.lower(), text or None)


# --- answers ------------------------------------------------------------------------------------------------


def render_search(
    query: str, response: Response, *, execution_id: str, duration_s: float, wants_usage: bool
) -> bytes:
    """The JSON body of a search answer. `query` is echoed as it was asked."""
    head = b'{"query":' + _encode(query) + b',"follow_up_questions":null,' + response.fragment
    return head + _tail(response, execution_id, duration_s, wants_usage=wants_usage)


def render_extract(response: Response, *, execution_id: str, duration_s: float, wants_usage: bool) -> bytes:
    """The JSON body of an extract answer."""
    return b"{" + response.fragment + _tail(response, execution_id, duration_s, wants_usage=wants_usage)


def render_error(
    message: str,
    *,
    status: int = 0,
    code: str,
    execution_id: str = "",
    attempts: Sequence[Attempt] = (),
    keyless: KeylessLimit | None = None,
) -> bytes:
    """The JSON body of an error; `keyless` is what clients without a key look for in it."""
    amos = amos_of_error(code, execution_id, attempts)
    return _encode(TavilyError(detail=ErrorSentence(message), amos=amos, error=keyless or msgspec.UNSET))


def amos_of_error(code: str, execution_id: str, attempts: Sequence[Attempt]) -> AmosOfError:
    """Our addition to a failure; `""` if there is no execution to tell of."""
    tried = _rounded(attempts) if execution_id else msgspec.UNSET
    return AmosOfError(code=code, execution_id=execution_id, attempts=tried)


def _rounded(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The attempts with durations to the microsecond: more digits say nothing and are hard to read."""
    return tuple(msgspec.structs.replace(one, duration_s=round(one.duration_s, 6)) for one in attempts)


def why(
    response: Response, execution_id: str, *, unsupported: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> Amos:
    """Why this answer; `unsupported` and `notes` are what a dialect has to add."""
    cost = response.cost
    return Amos(
        provider=response.provider,
        cache=response.cache,
        age_s=round(response.age_s, 3),
        stale=response.is_stale,
        degraded=response.is_degraded,
        attempts=_rounded(response.attempts),
        credits=cost.amount if cost.unit == "credits" else 0.0,
        cost_usd=cost.usd_micros / MILLION,
        unsupported=(*response.unsupported, *unsupported) if unsupported else response.unsupported,
        notes=(*notes, *response.notes) if notes else response.notes,
        execution_id=execution_id,
    )


def _tail(response: Response, execution_id: str, duration_s: float, *, wants_usage: bool) -> bytes:
    amos = why(response, execution_id)
    # Tavily counts whole credits; the exact figure is in `amos`.
    usage = b',"usage":{"credits":%d}' % round(amos.credits) if wants_usage else b""
    return b',"response_time":%.3f%b,"request_id":"%b","amos":%b}' % (
        duration_s,
        usage,
        execution_id.encode(),
        _encode(amos),
    )


# --- for the endpoints --------------------------------------------------------------------------------------


def _answered_search(
    asked: Asked[SearchRequest], response: Response, *, execution_id: str, duration_s: float
) -> bytes:
    return render_search(
        asked.request.query,
        response,
        execution_id=execution_id,
        duration_s=duration_s,
        wants_usage=asked.wants_usage,
    )


def _answered_extract(
    asked: Asked[ExtractRequest], response: Response, *, execution_id: str, duration_s: float
) -> bytes:
    return render_extract(
        response, execution_id=execution_id, duration_s=duration_s, wants_usage=asked.wants_usage
    )


def _in_url(_body: bytes, query_string: bytes) -> Asked[SearchRequest]:
    return parse_search_query(query_string)


SEARCH = Dialect(
    name=NAME,
    parsers={"POST": parse_search, "QUERY": parse_search, "GET": _in_url, "HEAD": _in_url},
    render=_answered_search,
)
"""`POST` for Tavily's clients, `GET` with `q` for people, `QUERY` (RFC 10008) for a safe POST."""

EXTRACT = Dialect(name=NAME, parsers={"POST": parse_extract}, render=_answered_extract)
"""`POST` only: reading pages has no short form."""
