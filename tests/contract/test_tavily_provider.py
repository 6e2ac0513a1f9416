"""The provider `tavily` against a server that behaves, and misbehaves, as Tavily's contract describes."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from orchestrator import limits
from orchestrator.clock import SystemClock
from orchestrator.errors import (
    ProviderProtocolError,
    ProviderQuotaExceeded,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
)
from orchestrator.events import Cost
from orchestrator.model import ExtractRequest, SearchRequest
from orchestrator.providers import upstream as upstream_module
from orchestrator.providers.tavily import Tavily
from orchestrator.providers.upstream import Upstream
from tests.support.calls import failure_of, make_call
from tests.support.faults import Fault
from tests.support.http_server import DeadPort
from tests.support.keys import one_key
from tests.support.tavily_simulator import TavilySimulator

SEARCH = SearchRequest(query="tide tables harbour museum")
EXTRACT = ExtractRequest(urls=("https://almanac.example/how", "https://almanac.example/gone"))


@pytest.fixture
async def simulator():
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest.fixture
async def tavily(simulator):
    """The provider, pointed at the simulator."""
    provider = Tavily(Upstream("tavily", SystemClock()), simulator.base_url, one_key(simulator.api_key))
    yield provider
    await provider.aclose()


async def test_search_brings_results_and_their_price(tavily):
    """A search gives the results in order, with the credits that Tavily billed and their price."""
    found = await tavily.search(make_call(SEARCH))

    assert len(found.answer.results) == 5
    assert SEARCH.query in found.answer.results[0].title
    scores = [result.score for result in found.answer.results]
    assert scores == sorted(scores, reverse=True)
    assert found.cost == Cost(amount=1, unit="credits", usd_micros=8_000)
    assert (found.provider, found.unsupported) == ("tavily", ())


async def test_only_what_was_given_is_sent(tavily, simulator):
    """The request holds what the caller gave and the wish to know the price, and our key as bearer."""
    await tavily.search(make_call(SEARCH, credential="amos_live_secret"))

    sent = simulator.calls[0]
    assert sent.json == {"query": SEARCH.query, "include_usage": True}
    assert sent.headers["authorization"] == f"Bearer {simulator.api_key}"
    assert sent.headers["content-type"] == "application/json"
    assert "amos_live_secret" not in str(sent)
    assert "cookie" not in sent.headers
    assert "traceparent" not in sent.headers


async def test_the_attempt_is_the_parent(tavily, simulator):
    """The outgoing traceparent names the call's trace and the span of its attempt."""
    call = make_call(SEARCH, trace_id="0af7651916cd43dd8448eb211c80319c")

    await tavily.search(msgspec.structs.replace(call, span_id="2" * 16))

    assert simulator.calls[0].headers["traceparent"] == f"00-0af7651916cd43dd8448eb211c80319c-{'2' * 16}-01"


async def test_extract_covers_every_url(tavily, simulator):
    """Pages and failures together are the URLs asked for; a page is a fifth of a credit, a failure free."""
    found = await tavily.extract(make_call(EXTRACT))

    assert [page.url for page in found.answer.pages] == ["https://almanac.example/how"]
    assert found.answer.pages[0].raw_content.startswith("# page")
    assert [failure.url for failure in found.answer.failures] == ["https://almanac.example/gone"]
    assert found.cost == Cost(amount=0.2, unit="credits", usd_micros=1_600)
    assert simulator.calls[0].json == {"urls": list(EXTRACT.urls), "include_usage": True}


@pytest.mark.parametrize(
    ("variant", "images"),
    [
        ("images_null", ()),
        ("images_strings", ("https://images.example/1.png",)),
        ("images_objects", ({"url": "https://images.example/1.png", "description": "A harbour."},)),
    ],
)
async def test_images_come_in_three_shapes(tavily, simulator, variant, images):
    """Null, strings and objects are all understood."""
    simulator.script(Fault.variant(variant))

    found = await tavily.search(make_call(SEARCH))

    assert found.answer.images == images


@pytest.mark.parametrize("variant", ["string_response_time", "unknown_fields", "no_usage", "missing_fields"])
async def test_a_deviating_answer_is_an_answer(tavily, simulator, variant):
    """What is additional, odd or missing without need does not cost the caller the results."""
    simulator.script(Fault.variant(variant))

    found = await tavily.search(make_call(SEARCH))

    assert len(found.answer.results) == 5
    assert found.cost == Cost(amount=1, unit="credits", usd_micros=8_000)


async def test_nothing_found_is_a_success(tavily, simulator):
    """An empty list is an answer, and was billed."""
    simulator.script(Fault.empty())

    found = await tavily.search(make_call(SEARCH))

    assert found.answer.results == ()
    assert found.cost.amount == 1


STATUSES = [
    (400, ProviderRejected, "bad_request"),
    (401, ProviderRejected, "key_refused"),
    (403, ProviderRejected, "forbidden"),
    (404, ProviderProtocolError, "http_404"),
    (422, ProviderRejected, "bad_request"),
    (429, ProviderThrottled, "throttled"),
    (432, ProviderQuotaExceeded, "quota"),
    (433, ProviderQuotaExceeded, "quota"),
    (500, ProviderUnavailable, "http_500"),
    (502, ProviderUnavailable, "http_502"),
    (503, ProviderUnavailable, "http_503"),
    (504, ProviderUnavailable, "http_504"),
    (302, ProviderProtocolError, "http_302"),
    (201, ProviderProtocolError, "http_201"),
]


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES)
@pytest.mark.parametrize("shape", ["normal", "flat", "string", "list", "absent", "html", "empty"])
async def test_the_status_decides(tavily, simulator, status, kind, reason, shape):
    """Whatever the body of an error looks like, its status alone gives the error."""
    simulator.script(Fault.status(status, shape=shape, text="upstream's own words"))

    error = await failure_of(tavily.search(make_call(SEARCH)))

    assert (type(error), error.reason, error.provider) == (kind, reason, "tavily")
    assert "own words" not in error.message
    assert SEARCH.query not in error.message


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(None, None, None), (7, 7, 7), ("date", 55, 60), (86_400, 300, 300), ("soon", None, None)],
)
async def test_retry_after_is_understood(tavily, simulator, retry_after, least, most):
    """Seconds and HTTP-dates are taken, bounded; nonsense counts as absent."""
    simulator.script(Fault.status(429, retry_after=retry_after))

    error = await failure_of(tavily.search(make_call(SEARCH)))

    if least is None:
        assert error.retry_after_s is None
    else:
        assert least <= error.retry_after_s <= most


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("this is not JSON", "bad_json"),
        ("", "bad_json"),
        ('{"results": [', "bad_json"),
        ("<html>down</html>", "bad_json"),
        ("{}", "bad_shape"),
        ("[]", "bad_shape"),
        ("null", "bad_shape"),
        ('{"results": null}', "bad_shape"),
        ('{"results": {}}', "bad_shape"),
        ('{"results": [7]}', "bad_shape"),
        ('{"results": [{"url": 7}]}', "bad_shape"),
        ('{"results": [], "answer": {}}', "bad_shape"),
    ],
)
async def test_a_wrong_body_breaks_the_contract(tavily, simulator, text, reason):
    """A 200 that is not what the contract promises is an error of the provider."""
    simulator.always(Fault.body(text))

    assert (await failure_of(tavily.search(make_call(SEARCH)))).reason == reason
    if "answer" not in text:
        error = await failure_of(tavily.extract(make_call(EXTRACT)))
        assert (type(error), error.reason) == (ProviderProtocolError, reason)


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (Fault.reset(), ProviderUnavailable, "reset"),
        (Fault.close(), ProviderUnavailable, "reset"),
        (Fault.cut(), ProviderUnavailable, None),
        (Fault.truncate(), ProviderUnavailable, "truncated"),
        (Fault.garbage(), ProviderProtocolError, "bad_http"),
    ],
)
async def test_a_broken_connection_is_our_error(tavily, simulator, fault, kind, reason):
    """However a connection breaks, the caller sees an error of ours, with the cause kept."""
    simulator.script(fault)

    error = await failure_of(tavily.search(make_call(SEARCH)))

    assert type(error) is kind
    assert error.reason in ({reason} if reason else {"reset", "truncated"})
    assert error.__cause__ is not None


async def test_a_broken_connection_is_replaced(tavily, simulator):
    """After a reset the next call opens a new connection, and a paid call is never repeated silently."""
    await tavily.search(make_call(SEARCH))
    simulator.script(Fault.reset())

    await failure_of(tavily.search(make_call(SEARCH)))
    found = await tavily.search(make_call(SEARCH))

    assert found.answer.results
    assert simulator.count == 3


async def test_calls_share_connections(tavily, simulator):
    """Calls after each other need one connection; a crowd needs its places, and then none anew."""
    for _ in range(3):
        await tavily.search(make_call(SEARCH))
    assert simulator.connections_accepted == 1

    for _ in range(2):
        await asyncio.gather(*(tavily.search(make_call(SEARCH)) for _ in range(20)))
    assert simulator.connections_accepted <= 20


async def test_a_refused_connection_is_our_error(simulator):
    """A port nobody listens at is an unreachable provider."""
    with DeadPort() as dead:
        provider = Tavily(Upstream("tavily", SystemClock()), dead.base_url, one_key(simulator.api_key))
        error = await failure_of(provider.search(make_call(SEARCH)))
        await provider.aclose()

    assert (type(error), error.reason) == (ProviderUnavailable, "connect")


async def test_an_unknown_host_is_our_error():
    """A host name that does not exist is an unreachable provider."""
    provider = Tavily(Upstream("tavily", SystemClock()), "http://tavily.invalid", one_key("tvly-simulated"))
    error = await failure_of(provider.search(make_call(SEARCH)))
    await provider.aclose()

    assert (type(error), error.reason) == (ProviderUnavailable, "dns")


async def test_plain_http_behind_https_is_our_error(simulator):
    """A TLS handshake that fails is an unreachable provider."""
    url = simulator.base_url.replace("http://", "https://")
    provider = Tavily(Upstream("tavily", SystemClock()), url, one_key(simulator.api_key))
    error = await failure_of(provider.search(make_call(SEARCH)))
    await provider.aclose()

    assert (type(error), error.reason) == (ProviderUnavailable, "tls")


@pytest.mark.parametrize("url", ["ftp://tavily.example", "tavily.example", "http://"])
async def test_an_unusable_url_is_our_error(url):
    """A base URL that is none makes the provider unavailable, not the gateway fail."""
    provider = Tavily(Upstream("tavily", SystemClock()), url, one_key("tvly-simulated"))
    error = await failure_of(provider.search(make_call(SEARCH)))
    await provider.aclose()

    assert (type(error), error.reason) == (ProviderUnavailable, "bad_url")


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.drip(interval_s=0.05), Fault.delay(5)])
async def test_cancelling_releases_the_connection(tavily, simulator, fault):
    """An attempt that takes too long can be cancelled at any point, and the next call is not affected."""
    simulator.script(fault)
    begun = time.monotonic()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await tavily.search(make_call(SEARCH))

    assert time.monotonic() - begun < 1
    assert (await tavily.search(make_call(SEARCH))).answer.results


async def test_a_slow_drip_still_arrives(tavily, simulator):
    """An answer in small pieces is put together."""
    simulator.script(Fault.drip(interval_s=0.0001))

    assert len((await tavily.search(make_call(SEARCH))).answer.results) == 5


async def test_no_call_lasts_for_ever(tavily, simulator, monkeypatch):
    """Without a limit around it, a call ends by the upstream's own bound."""
    monkeypatch.setattr(upstream_module, "UPSTREAM_S_MAX", 0.05)
    simulator.script(Fault.hang())

    error = await failure_of(tavily.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderTimeout, "timeout")


async def test_an_endless_body_is_refused(tavily, simulator, monkeypatch):
    """A body beyond the bound is refused while it is being read."""
    monkeypatch.setattr(limits, "UPSTREAM_BODY_BYTES_MAX", 1_000)
    simulator.script(Fault.body("x" * 100_000))

    error = await failure_of(tavily.search(make_call(SEARCH)))

    assert (type(error), error.reason) == (ProviderProtocolError, "too_large")
    assert (await tavily.search(make_call(SearchRequest(query="ab", max_results=1)))).answer.results


async def test_a_cookie_is_not_kept(tavily, simulator):
    """What one answer sets is not sent with the next request."""
    fault = Fault.body(msgspec.json.encode({"results": []}).decode())
    simulator.script(msgspec.structs.replace(fault, set_cookie="session=1; Path=/"))
    await tavily.search(make_call(SEARCH))

    await tavily.search(make_call(SEARCH))

    assert "cookie" not in simulator.calls[1].headers


async def test_closing_twice_is_safe(simulator):
    """A provider may be closed before its first call, and again."""
    provider = Tavily(Upstream("tavily", SystemClock()), simulator.base_url, one_key(simulator.api_key))
    await provider.aclose()
    await provider.aclose()


@pytest.mark.parametrize("suffix", ["/", "/prefix/", ""])
async def test_the_base_url_may_have_a_path(simulator, suffix):
    """A slash at the end makes no double slash, a prefix is kept."""
    provider = Tavily(
        Upstream("tavily", SystemClock()), simulator.base_url + suffix, one_key(simulator.api_key)
    )
    simulator.always(Fault.body('{"results": []}'))
    await provider.search(make_call(SEARCH))
    await provider.aclose()

    assert simulator.calls[0].path == f"{suffix.rstrip('/')}/search"


def test_estimates_are_the_most_it_can_cost(tavily):
    """Before the call the dearest outcome is expected: every page read, the dearer depth chosen."""
    wide = SearchRequest(query="ab", auto_parameters=True)

    assert tavily.search_estimate(SEARCH) == Cost(amount=1, unit="credits", usd_micros=8_000)
    assert tavily.search_estimate(wide).amount == 2
    assert tavily.extract_estimate(EXTRACT) == Cost(amount=0.4, unit="credits", usd_micros=3_200)


async def test_the_quota_of_the_account_ends(simulator, tavily):
    """When the credits are used up, the provider says so, and its usage agrees with what we counted."""
    simulator.credits_limit = 2
    spent = [(await tavily.search(make_call(SEARCH))).cost.amount for _ in range(2)]

    error = await failure_of(tavily.search(make_call(SEARCH)))

    assert type(error) is ProviderQuotaExceeded
    assert sum(spent) == simulator.credits_used == 2
