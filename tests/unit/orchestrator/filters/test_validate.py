"""What no provider should see is refused with the field's name; what is harmless is cleaned."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import limits
from orchestrator.checks import clean_text
from orchestrator.errors import InvalidRequest
from orchestrator.filters.validate import ValidateFilter, check_extract, check_search
from orchestrator.model import ExtractRequest, Response, SearchRequest
from tests.support.calls import make_call

URL = "https://almanac.example/tides"


def checked(**fields):
    """The search as providers may see it."""
    request, _notes = check_search(SearchRequest(**{"query": "tide tables", **fields}))
    return request


def refusal(check, request):
    """Why the request is refused."""
    with pytest.raises(InvalidRequest) as refused:
        check(request)
    return refused.value


@pytest.mark.parametrize(
    "fields",
    [
        {"query": "ab"},
        {"query": "x" * 400},
        {"search_depth": "ultra-fast", "topic": "finance", "max_results": 0},
        {"include_answer": "advanced", "include_raw_content": "text"},
        {"include_answer": True, "include_raw_content": False},
        {"time_range": "w"},
        {"start_date": "2026-01-01", "end_date": "2026-01-01"},
        {"chunks_per_source": 1, "days": 400},
        {"include_domains": ("a.example",) * limits.INCLUDE_DOMAINS_MAX},
        {"exclude_domains": ("*.example", "a.example/docs")},
        {"extra": {f"f{n}": n for n in range(limits.EXTRA_FIELDS_MAX)}},
    ],
)
def test_what_is_within_the_rules_passes_as_it_is(fields):
    """A valid search is passed on unchanged, as the same value, without notes."""
    request = SearchRequest(**{"query": "tide tables", **fields})

    assert check_search(request) == (request, ())
    assert check_search(request)[0] is request


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"query": ""}, "query", "Query is missing"),
        ({"query": " \u200b\u202e\x00 "}, "query", "Query is missing"),
        ({"query": "x"}, "query", "Query is too short. Min query length is 2"),
        ({"query": "x" * 401}, "query", "Query is too long. Max query length is 400"),
        ({"search_depth": "deep"}, "search_depth", "Must be one of 'basic', 'advanced'"),
        ({"topic": "sports"}, "topic", "Must be one of 'general', 'news', 'finance'"),
        ({"include_answer": "long"}, "include_answer", "Must be one of true, false, 'basic'"),
        ({"include_raw_content": "html"}, "include_raw_content", "'markdown', 'text'"),
        ({"max_results": -1}, "max_results", "Must be 0 or more"),
        ({"chunks_per_source": 0}, "chunks_per_source", "Must be 1 or more"),
        ({"days": 0}, "days", "Must be 1 or more"),
        ({"time_range": "decade"}, "time_range", "Must be one of"),
        ({"time_range": "day", "end_date": "2026-01-01"}, "time_range", "cannot be set"),
        ({"start_date": "2026-02-30"}, "start_date", "Expected YYYY-MM-DD"),
        ({"end_date": "20260101"}, "end_date", "Expected YYYY-MM-DD"),
        ({"end_date": "2026-01-01T00:00"}, "end_date", "Expected YYYY-MM-DD"),
        ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "start_date", "cannot be after"),
        ({"include_domains": ("a.example",) * 301}, "include_domains", "Max 300"),
        ({"exclude_domains": ("a.example",) * 151}, "exclude_domains", "Max 150"),
        ({"include_domains": ("a.example", "  ")}, "include_domains", "[1]: Not a domain name"),
        ({"include_domains": ("not a domain",)}, "include_domains", "[0]: Not a domain name"),
        ({"exclude_domains": ("x" * 3000,)}, "exclude_domains", "[0]: Not a domain name"),
        ({"country": "atlantis"}, "country", "supported English country names"),
        ({"extra": {f"f{n}": n for n in range(33)}}, "", "Too many unknown fields"),
        ({"extra": {"f": "x" * 9000}}, "", "unknown fields are too large"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(fields, field, words):
    """The refusal names the field and says what the rule is."""
    error = refusal(check_search, SearchRequest(**{"query": "tide tables", **fields}))

    assert error.field == field
    assert words in error.message


@pytest.mark.parametrize("secret", ["swordfish"])
@pytest.mark.parametrize("field", ["topic", "country", "start_date", "include_answer"])
def test_a_refusal_does_not_repeat_what_was_sent(field, secret):
    """What a caller sent by mistake is not echoed into answers and logs."""
    assert secret not in refusal(check_search, SearchRequest(query="ab", **{field: secret})).message


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_results": 25}, "max_results", 20),
        ({"max_results": 10**9}, "max_results", 20),
        ({"chunks_per_source": 9}, "chunks_per_source", 3),
        ({"days": 10**40}, "days", limits.DAYS_MAX),
    ],
)
def test_too_much_is_reduced_and_said_so(fields, name, value):
    """Values that clients send beyond a range are reduced, with a note."""
    request, notes = check_search(SearchRequest(query="tides", **fields))

    assert getattr(request, name) == value
    assert notes == (f"{name} was reduced to {value}, the most there is.",)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  tides  ", "tides"),
        ("tides\nin\tLeith", "tides in Leith"),
        ("tides\u2028in\u2029Leith", "tides in Leith"),
        ("ti\u200bdes\u202e\x00\ufeff", "tides"),
        ("flag \U000e0067\U000e0062", "flag"),
        ("private \ue000", "private"),
        ("Gezeiten für Köln 潮汐", "Gezeiten für Köln 潮汐"),
        (
            "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f467",
            "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f467",
        ),
        ("p\u0430ypal", "p\u0430ypal"),  # a Cyrillic letter: which one deceives depends on who reads
    ],
)
def test_invisible_characters_are_removed(text, cleaned):
    """Control, bidi and invisible characters go; line ends become blanks."""
    assert clean_text(text) == cleaned


@given(st.text())
def test_clean_text_is_clean(text):
    """Whatever comes in, what goes out is printable, trimmed and stays as it is."""
    cleaned = clean_text(text)

    assert clean_text(cleaned) == cleaned
    hidden = set(cleaned) - {"\u200c", "\u200d"}  # between characters they join: see test_sanitise.py
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in hidden)


@pytest.mark.parametrize(
    ("query", "is_said"),
    [
        ("ti\u200bdes", True),
        ("tides\x00", True),
        ("\u202etides", True),
        (" tides\n", False),
        ("tides", False),
    ],
)
def test_what_was_removed_is_said(query, is_said):
    """The caller cannot see the difference, so they are told of it."""
    cleaned, notes = check_search(SearchRequest(query=query))

    assert cleaned.query == "tides"
    assert [note for note in notes if "invisible characters were removed" in note] == list(notes)
    assert bool(notes) is is_said


def test_domains_are_cleaned():
    """Scheme, case, blanks and a final slash of a domain do not count."""
    request = checked(include_domains=("https://A.Example/", " b.example ", "http://c.example/Docs"))

    assert request.include_domains == ("a.example", "b.example", "c.example/docs")


@pytest.mark.parametrize(
    ("given_", "name"),
    [("Germany", "germany"), ("DE", "germany"), ("uk", "united kingdom"), ("", None), (None, None)],
)
def test_a_country_is_a_name_or_a_code(given_, name):
    """Either spelling of a country becomes the name providers know."""
    assert checked(country=given_).country == name


# --- extract ---


def test_a_valid_extract_passes_as_it_is():
    """Up to twenty public URLs pass unchanged."""
    request = ExtractRequest(urls=tuple(f"{URL}/{n}" for n in range(20)), query="springs", timeout_s=3.0)

    assert check_extract(request)[0] is request


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"urls": ()}, "urls", "at least one URL"),
        ({"urls": (URL,) * 21}, "urls", "Max 20 URLs are allowed"),
        ({"urls": (URL, "ftp://a.example/")}, "urls", "urls[1]: Not an http or https URL"),
        ({"extract_depth": "fast"}, "extract_depth", "Must be one of"),
        ({"format": "html"}, "format", "Must be one of"),
        ({"chunks_per_source": 0}, "chunks_per_source", "1 or more"),
        ({"timeout_s": 0.9}, "timeout", "1 or more seconds"),
        ({"timeout_s": 0.0}, "timeout", "1 or more seconds"),
        ({"timeout_s": -1.0}, "timeout", "1 or more seconds"),
        ({"timeout_s": float("nan")}, "timeout", "1 or more seconds"),
        ({"timeout_s": float("inf")}, "timeout", "1 or more seconds"),
        ({"extra": {f"f{n}": n for n in range(33)}}, "", "Too many unknown fields"),
    ],
)
def test_an_extract_that_breaks_a_rule_is_refused_by_name(fields, field, words):
    """The refusal names the field and says what the rule is."""
    error = refusal(check_extract, ExtractRequest(**{"urls": (URL,), **fields}))

    assert error.field == field
    assert words in error.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "almanac.example",
        "//almanac.example/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://[::1",
        "http://a.example:99999/",
        "http://a.example/\u202egpj.exe",
        "http://a.example/\n",
        "http://a b.example/",
        "https://user:password@a.example/",
        "https://user@a.example/",
        "https://" + "a" * 2048 + ".example/",
    ],
)
def test_what_is_no_public_web_address_is_refused(url):
    """Only plain http and https URLs are read, without credentials or hidden characters."""
    assert refusal(check_extract, ExtractRequest(urls=(url,))).field == "urls"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "app.localhost",
        "printer.local",
        "db.internal",
        "redis",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "10.0.0.7",
        "169.254.169.254",
        "192.168.1.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
    ],
)
def test_private_addresses_are_refused_in_every_spelling(host):
    """A page on this machine or its network is not on the public internet."""
    assert "public internet" in refusal(check_extract, ExtractRequest(urls=(f"http://{host}/",))).message


@pytest.mark.parametrize(
    "host", ["a.example", "93.184.216.34", "[2606:4700::1111]", "köln.example", "a.example."]
)
def test_public_addresses_pass(host):
    """Names and public addresses are accepted as they are."""
    request = ExtractRequest(urls=(f"https://{host}:8443/x?y=z#w",))

    assert check_extract(request)[0] is request


def test_chunks_of_an_extract_are_reduced_and_said_so():
    """Five chunks are the most there is."""
    request, notes = check_extract(ExtractRequest(urls=(URL,), query="springs", chunks_per_source=9))

    assert request.chunks_per_source == 5
    assert len(notes) == 1


def test_the_query_of_an_extract_is_cleaned():
    """A query of invisible characters is none."""
    assert check_extract(ExtractRequest(urls=(URL,), query=" \u200b"))[0].query is None
    assert check_extract(ExtractRequest(urls=(URL,), query=" springs"))[0].query == "springs"


# --- the stage ---


async def test_the_inner_stages_see_the_clean_request():
    """What goes on is the cleaned request; the notes come back with the answer."""
    seen = []

    async def service(call):
        seen.append(call.request)
        return Response(fragment=b"", result_count=0, provider="tavily")

    response = await ValidateFilter(check_search)(
        make_call(SearchRequest(query=" tides ", max_results=25)), service
    )

    assert seen == [SearchRequest(query="tides", max_results=20)]
    assert response.notes == ("max_results was reduced to 20, the most there is.",)


async def test_what_the_inner_stages_say_stays():
    """That an answer is old is told beside what was reduced, not lost to it."""

    async def service(call):
        return Response(fragment=b"", result_count=0, provider="tavily", notes=("It is old.",))

    response = await ValidateFilter(check_search)(
        make_call(SearchRequest(query="tides", max_results=25)), service
    )

    assert response.notes == ("max_results was reduced to 20, the most there is.", "It is old.")


async def test_a_clean_request_goes_on_untouched():
    """Nothing is copied when nothing was changed."""
    call = make_call(SearchRequest(query="tides"))
    seen = []

    async def service(inner):
        seen.append(inner)
        return Response(fragment=b"", result_count=0, provider="tavily")

    await ValidateFilter(check_search)(call, service)

    assert seen[0] is call


async def test_an_invalid_request_goes_nowhere():
    """The inner stages never see what is refused."""

    async def unreachable(call):
        raise AssertionError("the inner stages were asked")

    with pytest.raises(InvalidRequest):
        await ValidateFilter(check_search)(make_call(SearchRequest(query="")), unreachable)
