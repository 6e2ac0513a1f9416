"""The kind `searxng` against a server that behaves, and misbehaves, as SearXNG does."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from orchestrator.clock import SystemClock
from orchestrator.errors import (
    InvalidRequest,
    ProviderProtocolError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    ResultInvalid,
)
from orchestrator.events import FREE
from orchestrator.model import SearchRequest
from orchestrator.providers.registry import Kinds, Registration, Tools, Unconfigured
from orchestrator.providers.searxng import SEARXNG
from tests.support.calls import failure_of, make_call
from tests.support.faults import Fault
from tests.support.http_server import DeadPort
from tests.support.searxng_simulator import SearxngSimulator, params_of

SEARCH = SearchRequest(query="tide tables harbour museum")
SECRETS = {"proxy": "letmein", "split": "two\nlines"}


def made(url, **options):
    """What the kind makes of these options."""
    registration = Registration(
        name="intranet", kind="searxng", priority=100, options={"url": url, **options}
    )
    return Kinds({"searxng": SEARXNG}, ()).make(registration, Tools(clock=SystemClock(), secret=SECRETS.get))


@pytest.fixture
async def simulator():
    """SearXNG, simulated."""
    async with SearxngSimulator() as running:
        yield running


@pytest.fixture
async def provider(simulator):
    """The provider, pointed at the simulator."""
    provider = made(simulator.base_url)
    yield provider
    await provider.aclose()


async def test_search_brings_results_for_nothing(provider):
    """A search gives the results in SearXNG's order, with scores that fall from 1, and costs nothing."""
    found = await provider.search(make_call(SEARCH))

    scores = [one.score for one in found.answer.results]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[-1] > 0) == (1.0, True)
    assert SEARCH.query in found.answer.results[0].title
    assert [one.published_date for one in found.answer.results[:2]] == [None, "2026-11-10T00:00:00"]
    assert (found.cost, found.provider, found.unsupported) == (FREE, "intranet", ())
    assert provider.search_estimate(SEARCH) == FREE


async def test_only_what_was_asked_is_sent(provider, simulator):
    """A plain search leaves everything else to SearXNG's own settings."""
    await provider.search(make_call(SEARCH, credential="amos_live_secret"))

    sent = simulator.calls[0]
    assert params_of(sent) == {"q": SEARCH.query, "format": "json", "pageno": "1"}
    assert (sent.method, sent.path) == ("GET", "/search")
    assert "amos_live_secret" not in str(sent)


async def test_options_are_the_defaults(simulator):
    """What the operator says is sent with each search, and a header with its secret."""
    simulator.token = "letmein"
    provider = made(
        simulator.base_url + "/",
        engines=["brave", "wikipedia"],
        categories=["general", "it"],
        language="de-CH",
        safesearch=1,
        headers={"X-Token": "{secret:proxy}"},
    )

    await provider.search(make_call(SEARCH))
    await provider.aclose()

    assert params_of(simulator.calls[0]) == {
        "q": SEARCH.query,
        "format": "json",
        "pageno": "1",
        "engines": "brave,wikipedia",
        "categories": "general,it",
        "language": "de-CH",
        "safesearch": "1",
    }


WISHES = [
    ({"topic": "news"}, {"categories": "news"}, ()),
    ({"time_range": "w"}, {"time_range": "week"}, ()),
    ({"days": 30}, {"time_range": "month"}, ()),
    ({"days": 3}, {}, ("days",)),
    ({"language": "de"}, {"language": "de"}, ()),
    ({"language": "de", "country": "Austria"}, {"language": "de-AT"}, ()),
    ({"language": "german"}, {}, ("language",)),
    ({"country": "austria"}, {}, ("country",)),
    ({"safe_search": True}, {"safesearch": "2"}, ()),
    ({"include_domains": ("museum.example",)}, {"q": f"{SEARCH.query} site:museum.example"}, ()),
    (
        {"include_domains": ("*.a.example", "b.example"), "exclude_domains": ("c.example",)},
        {"q": f"{SEARCH.query} (site:a.example OR site:b.example) -site:c.example"},
        (),
    ),
    ({"include_domains": ("a.example",), "include_domains_mode": "prefer"}, {}, ("include_domains_mode",)),
    ({"include_domains": tuple(f"{n}.example" for n in range(9))}, {}, ("include_domains",)),
    ({"topic": "general", "search_depth": "basic", "include_published_date": True}, {}, ()),
    (
        {
            "topic": "finance",
            "search_depth": "advanced",
            "include_raw_content": True,
            "start_date": "2026-01-01",
        },
        {},
        ("search_depth", "topic", "start_date", "include_raw_content"),
    ),
    ({"include_answer": True, "include_images": True}, {}, ("include_answer", "include_images")),
    ({"extra": {"shiny": 1, "include_usage": True}}, {}, ("shiny",)),
]


@pytest.mark.parametrize(("wishes", "sent", "unsupported"), WISHES)
async def test_what_it_cannot_honour_is_named(provider, simulator, wishes, sent, unsupported):
    """A wish either becomes a parameter or stands among those that made no difference."""
    found = await provider.search(make_call(SearchRequest(query=SEARCH.query, **wishes)))

    assert params_of(simulator.calls[0]) == {"q": SEARCH.query, "format": "json", "pageno": "1", **sent}
    assert found.unsupported == unsupported


async def test_news_replaces_the_engines(simulator):
    """SearXNG adds up engines and categories, so a search for news names only the category."""
    provider = made(simulator.base_url, engines=["brave"], categories=["general"])

    await provider.search(make_call(SearchRequest(query="tides", topic="news")))
    await provider.aclose()

    assert params_of(simulator.calls[0]).items() >= {"categories": "news"}.items()
    assert "engines" not in params_of(simulator.calls[0])


@pytest.mark.parametrize("query", ["!!g tide tables", "!images tide tables", "tide !!g"])
async def test_a_bang_is_a_word(provider, simulator, query):
    """A caller cannot choose SearXNG's engines by a bang, nor be redirected by two."""
    found = await provider.search(make_call(SearchRequest(query=query)))

    assert len(found.answer.results) == 10
    assert params_of(simulator.calls[0])["q"] == query.replace("!", "")


@pytest.mark.parametrize(
    ("variant", "answer"),
    [
        ("answers_of_old", "At noon."),
        ("answers_of_new", "At noon."),
        ("infobox", "The rise and fall of the sea."),
    ],
)
async def test_an_answer_is_given_to_who_asks_for_one(provider, simulator, variant, answer):
    """Answers in both of their shapes, or an infobox, are the short answer, if one is wanted."""
    simulator.always(Fault.variant(variant))

    asked = await provider.search(make_call(SearchRequest(query="tides", include_answer=True)))
    unasked = await provider.search(make_call(SearchRequest(query="tides")))

    assert (asked.answer.answer, asked.unsupported) == (answer, ())
    assert unasked.answer.answer is None


async def test_images_are_given_to_who_asks_for_them(provider, simulator):
    """Images of results come as URLs, or with a description, whole where SearXNG leaves out the scheme."""
    simulator.always(Fault.variant("with_images"))
    wish = SearchRequest(query="tides", include_images=True)

    plain = await provider.search(make_call(wish))
    told = await provider.search(make_call(msgspec.structs.replace(wish, include_image_descriptions=True)))

    assert (plain.answer.images, plain.unsupported) == (("https://images.example/1.png",), ())
    assert told.answer.images[0]["description"].startswith("tides | ")


@pytest.mark.parametrize(("variant", "count"), [("no_scores", 10), ("odd_members", 2), ("partly_blind", 10)])
async def test_a_deviating_answer_is_an_answer(provider, simulator, variant, count):
    """What is missing, repeated or odd without need does not cost the caller the results."""
    simulator.script(Fault.variant(variant))

    results = (await provider.search(make_call(SEARCH))).answer.results

    assert len(results) == count
    assert [one.score for one in results] == sorted((one.score for one in results), reverse=True)
    assert results[0].score == 1.0


async def test_nothing_found_is_a_success(provider, simulator):
    """An empty list of engines that all answered is an answer."""
    simulator.script(Fault.empty())

    assert (await provider.search(make_call(SEARCH))).answer.results == ()


async def test_nothing_seen_is_a_failure(provider, simulator):
    """An empty list because engines did not answer is no answer, so that the next provider is asked."""
    simulator.script(Fault.variant("blind"))

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (ResultInvalid, "engines_unresponsive", FREE)


@pytest.mark.parametrize(("engines", "is_blind"), [(["brave", "duckduckgo"], True), (["a", "b", "c"], False)])
async def test_engines_that_are_known_are_counted(simulator, engines, is_blind):
    """Where it is known which engines are asked, one that answered is enough to believe in nothing."""
    simulator.script(Fault.variant("blind"))
    provider = made(simulator.base_url, engines=engines)

    if is_blind:
        assert (await failure_of(provider.search(make_call(SEARCH)))).reason == "engines_unresponsive"
    else:
        assert (await provider.search(make_call(SEARCH))).answer.results == ()
    await provider.aclose()


async def test_json_that_is_not_switched_on_is_told(provider, simulator, caplog):
    """A SearXNG as it is installed refuses JSON; its operator reads in the log what to change, once."""
    simulator.formats = {"html"}

    with caplog.at_level(logging.WARNING, "amos.providers"):
        errors = [await failure_of(provider.search(make_call(SEARCH))) for _ in range(2)]

    assert {(type(error), error.reason) for error in errors} == {(ProviderRejected, "format_off")}
    assert "settings.yml" in errors[0].message
    assert [record.message for record in caplog.records] == [errors[0].message]


STATUSES = [
    (400, ProviderRejected, "wrong_parameters"),
    (401, ProviderRejected, "key_refused"),
    (403, ProviderRejected, "format_off"),
    (404, ProviderProtocolError, "http_404"),
    (302, ProviderProtocolError, "http_302"),
    (429, ProviderThrottled, "throttled"),
    (500, ProviderUnavailable, "http_500"),
    (502, ProviderUnavailable, "http_502"),
]


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES)
async def test_the_status_decides(provider, simulator, status, kind, reason):
    """Each status is one error of ours, none of which is held against the caller or billed."""
    simulator.script(Fault.status(status, text="its own words"))

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.assumed) == (kind, reason, FREE)
    assert error.reason != "bad_request"
    assert "own words" not in error.message


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (Fault.truncate(), ProviderUnavailable, "truncated"),
        (Fault.garbage(), ProviderProtocolError, "bad_http"),
        (Fault.variant("html"), ProviderProtocolError, "bad_json"),
        (Fault.body("[]"), ProviderProtocolError, "bad_shape"),
        (Fault.body('{"results": null}'), ProviderProtocolError, "bad_shape"),
    ],
)
async def test_a_broken_answer_is_our_error(provider, simulator, fault, kind, reason):
    """However an answer breaks, the caller sees an error of ours; the next call is not affected."""
    simulator.script(fault)

    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (kind, reason)
    assert (await provider.search(make_call(SEARCH))).answer.results


async def test_a_cut_connection_is_tried_once_more(provider, simulator):
    """A search that is free is asked again at once if the connection breaks, and not a third time."""
    simulator.script(Fault.reset())
    assert (await provider.search(make_call(SEARCH))).answer.results

    simulator.script(Fault.reset(), times=2)
    error = await failure_of(provider.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderUnavailable, "reset")
    assert simulator.count == 4


async def test_a_refused_connection_is_our_error():
    """A SearXNG that is not there is an unreachable provider."""
    with DeadPort() as dead:
        provider = made(dead.base_url)
        error = await failure_of(provider.search(make_call(SEARCH)))
        await provider.aclose()

    assert (type(error), error.reason) == (ProviderUnavailable, "connect")


async def test_cancelling_releases_the_connection(provider, simulator):
    """An attempt that takes too long can be cancelled, and the next call is not affected."""
    simulator.script(Fault.hang())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await provider.search(make_call(SEARCH))

    assert (await provider.search(make_call(SEARCH))).answer.results


BAD_OPTIONS = [
    ({"url": "ftp://engine.example"}, "url"),
    ({"url": "http://me:pass@engine.example"}, "url"),
    ({"url": "http://engine.example/?q=1"}, "url"),
    ({"url": "http://"}, "url"),
    ({"url": "http://engine.example:port"}, "url"),
    ({"url": "http://engine.example", "language": "klingon"}, "language"),
    ({"url": "http://engine.example", "engines": ["a,b"]}, "engines"),
    ({"url": "http://engine.example", "timeout_s": 0}, "timeout_s"),
    ({"url": "http://engine.example", "headers": {"Authorization": "Basic bWU6cGFzcw=="}}, "headers"),
    ({"url": "http://engine.example", "headers": {"Host": "other.example"}}, "headers"),
    ({"url": "http://engine.example", "headers": {"X-A": "b\r\nX-C: d"}}, "headers"),
    ({"url": "http://engine.example", "headers": {"X-A": "b", "x-a": "c"}}, "headers"),
    ({"url": "http://engine.example", "safesearch": 3}, "safesearch"),
    ({"url": "http://engine.example", "speed": "fast"}, "speed"),
    ({}, "url"),
]


@pytest.mark.parametrize(("options", "named"), BAD_OPTIONS)
def test_options_that_cannot_be_meant_are_refused(options, named):
    """The refusal names the option, and repeats no value: it may be a secret in the wrong place."""
    registration = Registration(name="intranet", kind="searxng", priority=100, options=options)

    with pytest.raises(InvalidRequest, match=named) as caught:
        Kinds({"searxng": SEARXNG}, ()).make(registration, Tools(clock=SystemClock()))

    assert "pass" not in caught.value.message
    assert "bWU6" not in caught.value.message


@pytest.mark.parametrize("url", ["http://10.0.0.7:8080", "http://localhost/searx", "http://[fd00::7]:8080"])
def test_a_private_address_is_the_operators_choice(url):
    """An engine of one's own stands where only one's own machines get."""
    assert not isinstance(made(url), Unconfigured)


@pytest.mark.parametrize(("name", "words"), [("absent", "has no absent"), ("split", "cannot be sent")])
def test_a_secret_that_is_missing_is_named(name, words):
    """Without its secret a provider is unconfigured, and says which is missing; its value is never shown."""
    unconfigured = made("http://engine.example", headers={"X-Token": f"{{secret:{name}}}"})

    assert isinstance(unconfigured, Unconfigured)
    assert words in unconfigured.reason
    assert "lines" not in unconfigured.reason
