"""Whatever becomes of the first provider, the caller has the second one's answer in time, and knows why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.gateway_server import GatewayServer, serving
from tests.support.http_server import DeadPort
from tests.support.jina_simulator import JinaSimulator
from tests.support.simulator import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 2.0

FAULTS = {
    "429 with seconds": (Fault.status(429, retry_after=30), "throttled"),
    "429 with a date": (Fault.status(429, retry_after="date"), "throttled"),
    "429 without a time": (Fault.status(429), "throttled"),
    "432": (Fault.status(432), "quota"),
    "433": (Fault.status(433), "quota"),
    "401": (Fault.status(401), "key_refused"),
    "500": (Fault.status(500), "http_500"),
    "502 in HTML": (Fault.status(502, shape="html"), "http_502"),
    "503 without a body": (Fault.status(503, shape="empty"), "http_503"),
    "not JSON": (Fault.body("<h1>Welcome</h1>", content_type="text/html"), "bad_json"),
    "cut JSON": (Fault.body('{"results": [{"url": "https://a.exam'), "bad_json"),
    "an empty object": (Fault.body("{}"), "bad_shape"),
    "no list": (Fault.variant("null_results"), "bad_shape"),
    "not HTTP": (Fault.garbage(), "bad_http"),
    "hang": (Fault.hang(), "timeout"),
    "drip": (Fault.drip(interval_s=0.1), "timeout"),
    "reset": (Fault.reset(), "reset"),
    "closed without an answer": (Fault.close(), "reset"),
    "reset in the body": (Fault.cut(), "truncated"),
    "closed in the body": (Fault.truncate(), "truncated"),
}
"""How Tavily fails, and the reason that is given for it."""


@pytest.fixture
async def amos(tmp_path: Path, tavily: TavilySimulator, jina: JinaSimulator):
    """A gateway with both providers and two seconds for a search."""
    async with serving(tmp_path, tavily=tavily, jina=jina, deadline_s=DEADLINE_S) as running:
        yield running


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    """A folder with one document, for the local provider."""
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "tides.md").write_text("# Tide tables\n\nHigh water at the harbour museum is at 06:40.\n")
    return folder


async def test_tavily_answers_first(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """While Tavily works it answers alone, and Jina is not asked."""
    answer = (await amos.search("tide tables")).json()

    assert answer["amos"]["provider"] == "tavily"
    assert [attempt["outcome"] for attempt in answer["amos"]["attempts"]] == ["success"]
    assert len(answer["results"]) == 5
    assert (tavily.count, jina.count) == (1, 0)


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
async def test_jina_answers_for_a_failing_tavily(
    amos: GatewayServer, tavily: TavilySimulator, fault: Fault, reason: str
):
    """However Tavily fails, Jina answers inside the deadline, and both attempts are in all three places."""
    tavily.always(fault)

    begun = time.monotonic()
    response = await amos.search("tide tables")
    elapsed_s = time.monotonic() - begun

    answer = response.json()
    execution_id = answer["amos"]["execution_id"]
    await amos.drain()
    explained = (await amos.client.get(f"/executions/{execution_id}")).json()["explanation"]
    assert response.status_code == 200
    assert answer["amos"]["provider"] == "jina"
    assert len(answer["results"]) == 5
    assert elapsed_s < DEADLINE_S
    attempts = answer["amos"]["attempts"]
    shown = [(attempt["provider"], attempt["reason"]) for attempt in attempts]
    assert shown == [("tavily", reason)] * tavily.count + [("jina", "")]
    assert attempts[-1]["outcome"] == "success"
    assert [(a["provider"], a["reason"]) for a in explained["attempts"]] == shown
    assert amos.attempts(execution_id) == shown
    assert explained["is_fallback"] is True


async def test_jina_answers_for_an_unreachable_tavily(tmp_path: Path, jina: JinaSimulator):
    """A refused connection is a failed attempt like any other."""
    with DeadPort() as dead:
        async with serving(tmp_path, tavily=dead, jina=jina, deadline_s=DEADLINE_S) as amos:
            answer = (await amos.search("tide tables")).json()
            await amos.drain()

            attempts = amos.attempts(answer["amos"]["execution_id"])
    assert answer["amos"]["provider"] == "jina"
    assert set(attempts) == {("tavily", "connect"), ("jina", "")}


async def test_every_paid_call_has_its_intent(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """As many attempts are begun in SQL as the simulators were called, each with its price."""
    tavily.script(Fault.status(500), times=2)
    await amos.search("tide tables")
    await amos.search("harbour opening hours")
    await amos.drain()

    started = [
        envelope["event"]
        for frame in amos.frames()
        for envelope in frame["events"]
        if envelope["event"]["type"] == "amos.attempt.started.v1"
    ]
    assert len(started) == tavily.count + jina.count == 4
    assert all(event["estimate"]["usd_micros"] > 0 for event in started)


# --- nothing found ------------------------------------------------------------------------------------------


async def test_an_empty_answer_is_tried_once_more(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """When Tavily finds nothing Jina is asked once, and its results are the answer."""
    tavily.always(Fault.empty())

    answer = (await amos.search("tide tables")).json()

    attempts = [(attempt["provider"], attempt["outcome"]) for attempt in answer["amos"]["attempts"]]
    assert attempts == [("tavily", "empty"), ("jina", "success")]
    assert answer["amos"]["provider"] == "jina"
    assert answer["results"]
    assert (tavily.count, jina.count) == (1, 1)


async def test_nothing_found_anywhere_is_an_answer(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """When nobody finds anything the answer is an empty list with status 200, and it is cached."""
    tavily.always(Fault.empty())
    jina.always(Fault.empty())

    first = await amos.search("tide tables")
    second = await amos.search("tide tables")

    assert (first.status_code, first.json()["results"]) == (200, [])
    assert second.json()["amos"]["cache"] == "l1"
    assert (tavily.count, jina.count) == (1, 1)


async def test_a_failure_after_an_empty_answer_is_an_empty_answer(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """Tavily's valid "nothing" stands when Jina then fails."""
    tavily.always(Fault.empty())
    jina.always(Fault.status(500))

    response = await amos.search("tide tables")

    assert (response.status_code, response.json()["results"]) == (200, [])
    assert response.json()["amos"]["provider"] == "tavily"


# --- nobody left --------------------------------------------------------------------------------------------


async def test_all_failures_are_named(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """With both providers down the answer is 503 in Tavily's envelope, with every reason, in time."""
    tavily.always(Fault.hang())
    jina.always(Fault.status(503))

    begun = time.monotonic()
    response = await amos.search("tide tables")
    elapsed_s = time.monotonic() - begun

    body = response.json()
    assert response.status_code == 503
    assert "tavily: timeout" in body["detail"]["error"]
    assert "jina: http_503" in body["detail"]["error"]
    assert {a["provider"]: a["reason"] for a in body["amos"]["attempts"]} == {
        "tavily": "timeout",
        "jina": "http_503",
    }
    assert int(response.headers["retry-after"]) >= 1
    assert elapsed_s < DEADLINE_S
    await amos.drain()
    explained = (await amos.client.get(f"/executions/{body['amos']['execution_id']}")).json()["explanation"]
    assert (explained["status"], explained["error"]) == ("failed", "all_providers_failed")


async def test_two_silent_providers_are_a_failure_in_time(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """Even when nobody ever answers, the caller hears so by the deadline."""
    tavily.always(Fault.hang())
    jina.always(Fault.hang())

    begun = time.monotonic()
    response = await amos.search("tide tables")
    elapsed_s = time.monotonic() - begun

    assert response.status_code == 503
    assert elapsed_s < DEADLINE_S + 0.5
    assert "tavily: timeout; jina: timeout" in response.json()["detail"]["error"]


@pytest.mark.parametrize("is_silent", [False, True])
async def test_local_documents_stand_in(
    tmp_path: Path, handbook: Path, tavily: TavilySimulator, jina: JinaSimulator, *, is_silent: bool
):
    """With folders to search the local provider answers for the dead web, marked degraded and not cached."""
    fault = Fault.hang() if is_silent else Fault.status(500)
    tavily.always(fault)
    jina.always(fault)
    async with serving(
        tmp_path / "var", tavily=tavily, jina=jina, local_paths=(handbook,), deadline_s=DEADLINE_S
    ) as amos:
        begun = time.monotonic()
        answer = (await amos.search("tide tables")).json()
        elapsed_s = time.monotonic() - begun
        tavily.recover()
        jina.recover()
        later = (await amos.search("tide tables")).json()

    assert answer["amos"]["provider"] == "local"
    assert answer["amos"]["degraded"] is True
    assert "06:40" in answer["results"][0]["content"]
    assert elapsed_s < DEADLINE_S
    assert later["amos"]["provider"] == "tavily"
    assert (later["amos"]["cache"], later["amos"]["degraded"]) == ("miss", False)


async def test_local_documents_do_not_replace_an_empty_web(
    tmp_path: Path, handbook: Path, tavily: TavilySimulator, jina: JinaSimulator
):
    """When the web has nothing, that is the answer: local documents only stand in for a dead web."""
    tavily.always(Fault.empty())
    jina.always(Fault.empty())
    async with serving(tmp_path / "var", tavily=tavily, jina=jina, local_paths=(handbook,)) as amos:
        answer = (await amos.search("tide tables")).json()

    assert answer["results"] == []
    assert answer["amos"]["degraded"] is False


async def test_all_quotas_gone_is_432(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """Only when every provider's quota is used up does the caller see 432; also for the next search."""
    tavily.always(Fault.status(432))
    jina.always(Fault.status(402))

    first = await amos.search("tide tables")
    second = await amos.search("harbour opening hours")

    assert first.status_code == 432
    assert "tavily: quota; jina: quota" in first.json()["detail"]["error"]
    assert second.status_code == 432
    assert (tavily.count, jina.count) == (1, 1)


async def test_one_quota_gone_is_not_432(amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator):
    """A used-up quota beside another failure is 503: the caller's next try may succeed."""
    tavily.always(Fault.status(432))
    jina.always(Fault.status(500))

    assert (await amos.search("tide tables")).status_code == 503


async def test_a_refused_request_is_the_callers(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """What Tavily refuses as invalid nobody else is asked, and the caller sees 400 without Tavily's words."""
    tavily.always(Fault.status(400, text="secret words of the upstream"))

    response = await amos.search("tide tables")

    assert response.status_code == 400
    assert "refused" in response.json()["detail"]["error"]
    assert "secret words" not in response.text
    assert (tavily.count, jina.count) == (1, 0)


async def test_no_answer_shows_what_an_upstream_said(
    amos: GatewayServer, tavily: TavilySimulator, jina: JinaSimulator
):
    """Neither keys nor upstream bodies appear in an error or an explanation."""
    tavily.always(Fault.status(401, text=f"the key {tavily.api_key} is wrong"))
    jina.always(Fault.status(500, text="psql: connection refused"))

    response = await amos.search("tide tables")
    await amos.drain()
    execution = await amos.client.get(f"/executions/{response.json()['amos']['execution_id']}")

    assert response.status_code == 503
    for text in (response.text, execution.text):
        assert tavily.api_key not in text
        assert jina.api_key not in text
        assert "psql" not in text
