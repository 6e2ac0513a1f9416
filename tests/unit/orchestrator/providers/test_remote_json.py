"""Whatever JSON a remote server sends: it is an answer of ours, or an error of ours, and nothing else."""

from __future__ import annotations

import json

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.errors import ProviderProtocolError
from orchestrator.model import SearchAnswer, SearchRequest
from orchestrator.providers import mcp_arguments as arguments
from orchestrator.providers import mcp_wire as mcp
from orchestrator.providers import searxng_wire as searxng
from orchestrator.providers.mcp_results import FIELDS, LISTS, read_results
from tests.support.fuzzing import outcome, patient

REQUEST = SearchRequest(query="tides", include_answer=True, include_images=True)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NAMES = st.sampled_from(
    [
        *(*LISTS, *(name for names in FIELDS.values() for name in names), "properties", "required", "type"),
        *("minimum", "maximum", "x-mcp-header", "answers", "infoboxes", "unresponsive_engines", "answer"),
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
URL = "https://a.example"


def falls(answer):
    """Whether the scores are 0..1 and fall."""
    scores = [one.score for one in answer.results]
    return scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)


@patient
@given(JSON, st.lists(st.text(max_size=30), max_size=3))
@example({"results": [{"url": URL, "score": 10**400}, {"url": URL + "/2", "score": float("nan")}]}, [])
@example([{"url": [URL]}, {"url": URL, "title": {"a": 1}}], ["[", "{}"])
def test_a_tools_answer_is_results_or_our_error(structured, texts):
    """Nothing in it breaks the reading, and what is read holds texts and falling scores."""
    content = [mcp.Content(type="text", text=text) for text in (*texts, json.dumps(structured))]
    answer, error = outcome(
        read_results, "remote", mcp.ToolResult(content=content, structured_content=structured), "", {}
    )

    assert isinstance(error, ProviderProtocolError) or falls(answer)


@patient
@given(st.dictionaries(st.sampled_from(["results", "answers", "infoboxes", "unresponsive_engines"]), JSON))
@example({"results": [{"url": URL, "score": 10**400, "img_src": [1]}, {"url": URL + "/2", "score": -3}]})
@example({"results": [{"url": URL, "score": 1e308}], "answers": [{"answer": {}}, 7], "infoboxes": [None]})
def test_a_page_of_searxng_is_results_or_no_page(body):
    """What has the shape of a page becomes an answer, whatever its members are."""
    try:
        page = searxng.read_page(json.dumps(body))
    except msgspec.DecodeError:
        return

    answer = searxng.answer_of(page, REQUEST)

    assert isinstance(answer, SearchAnswer)
    assert falls(answer)
    assert isinstance(searxng.passed_over(REQUEST, answer), tuple)
    assert page.is_blind(()) in (True, False)


@patient
@given(JSON)
@example({"properties": {"query": {"type": "string"}, "limit": {"maximum": 1e400, "minimum": 1e400}}})
@example({"properties": {"query": {"minimum": -(10**400)}}, "required": [{}, "\x1b[2J"]})
def test_a_tools_schema_is_a_hint(schema):
    """Whatever it says, arguments can be suggested, judged and filled, and no word of it breaks a log."""
    template = arguments.suggested(schema) or {"query": "{query}", "limit": "{max_results}"}

    why = arguments.misfit(template, schema)
    filled = arguments.fill(template, arguments.of_search(REQUEST), schema)

    assert why.isprintable()
    assert "tides" in filled.values()
    assert arguments.suggested_page(schema) is None or "{url" in str(arguments.suggested_page(schema))
    assert all(value.isprintable() for value in mcp.argument_headers(schema, filled).values())


@patient
@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"data: {}\n", b"\n", b"\r\n", b"data:", b"id: 1\n"]))
)
def test_a_stream_is_read_in_any_pieces(pieces):
    """However a stream is cut, its answer is found, or it is not JSON, or not there."""
    whole = b"".join(pieces)
    found = []
    for cut in ([whole], pieces, [whole[at : at + 1] for at in range(len(whole))]):
        listener = mcp.Listener(1)
        try:
            for piece in cut:
                listener(piece)
            listener.end()
        except (msgspec.DecodeError, UnicodeDecodeError):
            found.append("not JSON")
        else:
            found.append(listener.answer)

    assert found[0] == found[1] == found[2]


@patient
@given(st.binary(max_size=10), st.integers(min_value=1, max_value=7))
def test_an_answer_in_a_stream_is_found(noise, size):
    """Whatever comments surround it, and however the pieces are cut."""
    comment = b": " + noise.replace(b"\n", b"").replace(b"\r", b"") + b"\n"
    stream = comment + b'event: message\ndata: {"id": 7,\ndata: "result": {"a": 1}}\n\n' + comment
    listener = mcp.Listener(7)

    ends = [listener(stream[at : at + size]) for at in range(0, len(stream), size)]

    assert ends[-1]
    assert ends.count(True) < len(ends)
    assert listener.answer is not None
    assert msgspec.json.decode(listener.answer.result) == {"a": 1}
