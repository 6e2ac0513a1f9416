"""Whatever comes in, a dialect's parser returns a question or refuses it as a bad request; no third thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from api.rest.dialects import openwebui, perplexity, searxng
from orchestrator.errors import InvalidRequest
from orchestrator.model import ExtractRequest, SearchRequest
from tests.support.fuzzing import outcome, patient

PARSERS: dict[str, Callable[[bytes, bytes], Any]] = {
    "perplexity": perplexity.parse,
    "searxng": searxng.parse,
    "openwebui": openwebui.parse_search,
    "openwebui load": openwebui.parse_load,
}
NAMES = sorted({*perplexity.Body.__struct_fields__, "urls", "count", "topic", "model", "new"})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def check(name: str, body: bytes, query_string: bytes = b"") -> None:
    """The parser gives a question or a refusal."""
    status = 0
    asked, refusal = None, None
    try:
        asked, refusal = outcome(PARSERS[name], body, query_string)
    except HTTPException as forbidden:
        status = forbidden.status_code
    if status:
        assert (name, status) == ("searxng", 403)
    elif refusal is not None:
        assert isinstance(refusal, InvalidRequest)
        assert refusal.message.endswith(".")
    else:
        assert isinstance(asked.request, SearchRequest | ExtractRequest)


@pytest.mark.parametrize("name", PARSERS)
@patient
@given(body=st.binary(max_size=200), query_string=st.binary(max_size=100))
def test_bytes(name: str, body: bytes, query_string: bytes):
    """Bytes that were never meant for it."""
    check(name, body, query_string)


@pytest.mark.parametrize("name", [name for name in PARSERS if name != "searxng"])
@patient
@given(fields=st.dictionaries(st.sampled_from(NAMES), json_values), query=json_values | st.just("tides"))
def test_json(name: str, fields: dict[str, Any], query: Any):
    """Known fields with any value."""
    check(name, json.dumps({"query": query, **fields}).encode())


@patient
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["q", "format", "pageno", "categories", "language", "time_range", "safesearch"]),
            st.sampled_from(["json", "0", "1", "2", "en-US", "news", "day", "%e2%82%ac", "%00"]),
        )
    )
)
def test_parameters(pairs: list[tuple[str, str]]):
    """Known parameters with the values of others."""
    check("searxng", b"", "&".join(f"{name}={value}" for name, value in pairs).encode())
