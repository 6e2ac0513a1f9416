"""The metrics of a running gateway: what its log says, on both engines, over restarts, and without SQL."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from storage.file_status import read_status, write_status
from tests.support.gateway_server import GatewayServer, serving
from tests.support.postgres import PostgresServer, shared_postgres
from tests.support.prometheus import promtool
from tests.support.simulator import Fault
from tests.support.stillness import undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.jina_simulator import JinaSimulator
    from tests.support.tavily_simulator import TavilySimulator

    Values = dict[tuple[Any, ...], float]

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}

ENDED = ("amos.request.completed.v1", "amos.request.failed.v1")

HEALTH_S_MAX = 0.5
"""chosen: ten times what health may take, because the machine of the tests is busy; a database that hangs
would cost seconds."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings for a database of each kind."""
    if request.param == "sqlite":
        return {}
    return {"database_url": shared_postgres().new_database(), "key_pepper": "p" * 32}


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own, because things happen to it."""
    running = PostgresServer()
    running.start()
    yield running
    running.close()


async def scrape(amos: GatewayServer, path: str = "/metrics", **headers: str) -> Values:
    """The samples by name and labels."""
    answer = await amos.client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    is_open = "openmetrics" in answer.headers["content-type"]
    families = (read_openmetrics if is_open else read_plain)(answer.text)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def summed(values: Values, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by some of its labels."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (found, *given), value in values.items():
        if found == name:
            shown = dict(given)
            sums[tuple(shown[label] for label in labels)] += value  # type: ignore[assignment]
    return dict(sums)


def counters(values: Values) -> Values:
    """What may only grow."""
    ends = ("_total", "_bucket", "_count")
    return {key: value for key, value in values.items() if key[0].endswith(ends)}


async def live(amos: GatewayServer, tavily: TavilySimulator, round_: int) -> None:
    """Misses, hits, a fallback, a refused call, pages and a stranger."""
    for n in range(4):
        await amos.search(f"harbour {round_} {n % 3}")
    tavily.script(Fault.status(500), times=3)
    await amos.search(f"tavily fails {round_}")
    await amos.search("y" * 401)
    await amos.extract([f"https://almanac.example/{round_}"])
    await amos.search("a stranger", {"Via": "1.1 proxy.example"})
    await amos.drain()


async def test_metrics_say_what_was_recorded(
    tmp_path: Path, database: dict[str, str], tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """Counters equal the raw frames, in both formats, and the answers' own figures."""
    async with serving(tmp_path, tavily=tavily, jina=jina, **database) as amos:
        await live(amos, tavily, 1)
        plain, open_ = await scrape(amos), await scrape(amos, **OPENMETRICS)

        events = [envelope["event"] for frame in amos.frames() for envelope in frame["events"]]
    ended = Counter(
        (event["operation"], event.get("error", "")) for event in events if event["type"] in ENDED
    )
    assert summed(plain, "amos_requests_total", "operation", "error") == ended
    succeeded = [event for event in events if event["type"] == "amos.attempt.succeeded.v1"]
    failed = [event for event in events if event["type"] == "amos.attempt.failed.v1"]
    attempts = Counter((event["provider"],) for event in (*succeeded, *failed))
    assert summed(plain, "amos_provider_attempts_total", "provider") == attempts
    durations = summed(plain, "amos_provider_attempt_duration_seconds_count", "provider")
    assert durations == attempts
    micros = sum(event.get("cost", {}).get("usd_micros", 0) for event in (*succeeded, *failed))
    assert sum(summed(plain, "amos_spent_usd_total").values()) == pytest.approx(micros / 1e6)
    assert summed(plain, "amos_request_duration_seconds_count") == {(): float(sum(ended.values()))}
    steady = {key: value for key, value in plain.items() if key[0] != "amos_projection_lag_seconds"}
    assert {key: open_[key] for key in steady} == steady


async def test_counters_grow_over_restarts(
    tmp_path: Path, database: dict[str, str], tavily: TavilySimulator, jina: JinaSimulator
) -> None:
    """A new process goes on where the last one was, and nothing ever falls."""
    seen: list[Values] = []
    for round_ in (1, 2):
        async with serving(tmp_path, tavily=tavily, jina=jina, **database) as amos:
            seen.append(counters(await scrape(amos)) if round_ > 1 else {})
            await live(amos, tavily, round_)
            seen.append(counters(await scrape(amos)))

    _, first, restarted, second = seen
    # What ended with the first process is drained by the next.
    assert restarted == first
    assert set(first) <= set(second)
    assert all(second[key] >= value for key, value in first.items())
    requests = ("amos_requests_total", ("error", ""), ("operation", "search"), ("outcome", "answered"))
    assert second[requests] == 2 * first[requests]


async def test_two_instances_give_the_same_figures(tmp_path: Path, tavily: TavilySimulator) -> None:
    """Whichever of the instances of one database is asked, and whoever did the work."""
    shared = {"database_url": shared_postgres().new_database(), "key_pepper": "p" * 32}
    async with (
        serving(tmp_path / "one", tavily=tavily, **shared) as one,
        serving(tmp_path / "two", tavily=tavily, **shared) as two,
    ):
        await one.search("from one")
        await two.search("from two")
        await one.drain()
        await two.drain()

        found = await scrape(one)

        assert found == await scrape(two)
        assert summed(found, "amos_requests_total", "outcome") == {("answered",): 2.0}


async def test_a_recorder_that_stands_still_ends_the_figures(tmp_path: Path, tavily: TavilySimulator) -> None:
    """What waits in the journal is in no figure, so after half a minute there are none; health says why."""
    async with serving(tmp_path, tavily=tavily) as amos:
        await amos.drain()
        status = read_status(tmp_path)
        assert status is not None
        write_status(tmp_path, msgspec.structs.replace(status, drained_at=status.drained_at - 60.0))

        answer = await amos.client.get("/metrics")
        instance = await scrape(amos, "/metrics/instance")
        health = (await amos.client.get("/health")).json()

    assert answer.status_code == 503
    assert "is not counted yet" in answer.json()["detail"]
    (lag_s,) = summed(instance, "amos_recorder_lag_seconds").values()
    assert lag_s >= 60.0
    recorder = next(one for one in health["components"] if one["name"] == "recorder")
    assert (health["status"], recorder["status"]) == ("degraded", "degraded")
    assert recorder["advice"]


async def test_without_a_database_the_instance_still_tells(
    tmp_path: Path, server: PostgresServer, tavily: TavilySimulator
) -> None:
    """Stopped or hanging: health answers at once and says so, searches go on, only the figures are gone."""
    settings = {"database_url": server.new_database(), "key_pepper": "p" * 32}
    async with serving(tmp_path, tavily=tavily, **settings) as amos:
        await live(amos, tavily, 1)
        assert await _database(amos) == "ok"
        for fail, mend in ((server.pause, server.resume), (server.stop, server.start)):
            fail()
            await _until(amos, "degraded")
            assert (await amos.search("goes on")).status_code == 200
            assert summed(await scrape(amos, "/metrics/instance"), "amos_journal_writable") == {(): 1.0}
            if fail == server.stop:
                assert (await amos.client.get("/metrics")).status_code == 503
            mend()
            await _until(amos, "ok")


async def test_what_is_under_way_is_shown(tmp_path: Path, tavily: TavilySimulator) -> None:
    """Two callers of one search are two calls and one flight, and nothing is left when it is over."""
    tavily.delay_s = 1.0
    names = ("amos_calls_under_way", "amos_flights_under_way")
    async with serving(tmp_path, tavily=tavily) as amos:
        calls = [asyncio.create_task(amos.search("slow")) for _ in range(2)]
        await asyncio.wait(calls, timeout=0.5)
        during = await scrape(amos, "/metrics/instance")
        await asyncio.gather(*calls)
        after = await scrape(amos, "/metrics/instance")

    assert [summed(during, name) for name in names] == [{(): 2.0}, {(): 1.0}]
    assert [summed(after, name) for name in names] == [{(): 0.0}, {(): 0.0}]
    assert summed(during, "amos_connections_open")[()] >= 3.0


async def test_figures_pass_the_lint_of_prometheus(tmp_path: Path, tavily: TavilySimulator) -> None:
    """The lint finds nothing to say about either page."""
    async with serving(tmp_path, tavily=tavily) as amos:
        await live(amos, tavily, 1)
        for path in ("/metrics", "/metrics/instance"):
            page = (await amos.client.get(path)).content

            found = await asyncio.to_thread(promtool, "check", "metrics", page=page)

            assert (found.returncode, found.stdout + found.stderr) == (0, "")


async def _database(amos: GatewayServer) -> str:
    """The state of the database by a look at health, which takes no time whatever it is."""

    async def look(_number: int) -> httpx.Response:
        begun = time.monotonic()
        answer = await amos.client.get("/health")
        assert time.monotonic() - begun < HEALTH_S_MAX
        return answer

    answer = await undisturbed(look, still_s=HEALTH_S_MAX / 2)
    assert answer.status_code == 200
    component = next(one for one in answer.json()["components"] if one["name"] == "database")
    assert bool(component["advice"]) == (component["status"] != "ok")
    return str(component["status"])


async def _until(amos: GatewayServer, status: str) -> None:
    """Look until the database is in this state; a look counts for five seconds, connecting may take five."""
    give_up_at = time.monotonic() + 40.0
    while await _database(amos) != status:
        assert time.monotonic() < give_up_at, f"the database never was {status}"
        await asyncio.sleep(0.25)
