"""After mixed traffic through every door all that tells a figure tells the same one.

The reports over HTTP and at the command line, the view `events`, the metrics, the spans, what the providers
counted and billed and what the callers saw are compared with a fold of the raw rows that uses nothing of
ours (tests/support/naive_fold.py). Each test looks at one of them; nothing happens between them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from orchestrator.reports.catalogue import REPORTS
from tests.support import naive_check, naive_fold, naive_metrics, naive_spans, one_run
from tests.support.alerting import every_rule, scraping, selectors
from tests.support.bill_by_call import bill
from tests.support.database import query
from tests.support.mixed_traffic import Lived, mixed_traffic
from tests.support.naive_fold import OUTCOMES, Fact, Question, bill_lines, facts_of, micros, of, streams
from tests.support.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUSES = {
    "all_providers_failed": 503,
    "budget_exhausted": 432,
    "invalid_request": 400,
    "not_in_cache": 504,
    "permission_denied": 403,
    "rate_limited": 429,
    "url_refused": 403,
}
"""The statuses of the failures that happened, as docs of the HTTP interface have them."""

ZONE = "Asia/Kathmandu"
"""Whose hours begin at a quarter past those of UTC."""

SCRAPE = "2s"
"""So long may a page take on a busy machine; a scrape that fails ends all series until the next."""

STRANGERS = ("proxied", "no_credential", "malformed_key")
"""Why somebody was turned away with a 401 before there was a call."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def lived(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lived]:
    """A gateway that has lived through everything, all of it in SQL."""
    folder = tmp_path_factory.mktemp("lived")
    async with (
        mixed_traffic(folder, is_server=request.param == "postgresql") as all_of_it,
        all_of_it.amos.draining(),
    ):
        yield all_of_it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(lived: Lived, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes both pages of the gateway, configured as a deployment has it."""
    address = lived.amos.base_url.removeprefix("http://")
    key = lived.reader["Authorization"].removeprefix("Bearer ")
    folder = tmp_path_factory.mktemp("prometheus")
    async with Prometheus(scraping(address, folder, key, every=SCRAPE)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def prometheus(started: Prometheus) -> Prometheus:
    """It has just scraped both pages."""
    for job in ("amos", "amos-instance"):
        await started.until_scraped(job)
    return started


@pytest.fixture(scope="module")
def facts(lived: Lived) -> list[Fact]:
    """Everything that is recorded, from the rows of `frames`."""
    return facts_of(lived.amos.frames())


@pytest.fixture(scope="module")
def window(lived: Lived) -> dict[str, str]:
    """The parameters that name the hour up to the end of that life, the same for every question."""
    until = int(lived.amos.frames()[-1]["recorded_at"]) + 60
    return {"since": str(until - 3_600), "until": str(until), "tz": ZONE}


async def test_there_is_some_of_everything(facts: list[Fact]):
    """The traffic had what the other tests are about: each kind of fact, door, client and way to end."""
    ends = of(facts, "request.completed", "request.failed")

    assert {fact["kind"] for fact in facts} >= {
        *("attempt.failed", "attempt.started", "attempt.succeeded", "budget.stopped", "budget.warned"),
        *("cache.hit", "cache.missed", "cache.refresh_started", "cache.stored", "caller.refused"),
        *("circuit.closed", "warming.finished", "cache.stale"),
        *("circuit.half_opened", "circuit.opened", "flight.joined", "key.created", "provider.skipped"),
        *("request.throttled", "result.rejected", "retry.scheduled", "instance.started"),
    }
    assert {fact["door"] for fact in ends} == {"http", "mcp", "cli"}
    assert {fact["client"] for fact in ends} >= {"local", "acme", "auditor", "hasty", "lavish", "narrow"}
    assert {fact["cache"] for fact in of(ends, "request.completed")} == {
        *("l1", "collapsed", "mixed", "miss", "relayed"),
    }
    assert {fact["error"] for fact in of(ends, "request.failed")} == {*STATUSES, "cancelled"}
    assert any(micros(fact, "cost") for fact in of(facts, "attempt.failed"))
    causes = {fact["cause"] for fact in of(facts, "cache.stale")}
    assert causes >= {"revalidating", "error"}
    unended = [own for own in streams(facts).values() if not of(own, "request.completed", "request.failed")]
    assert [own[-1]["kind"] for own in unended] == ["attempt.started"]


async def test_the_view_shows_every_event_once(lived: Lived, facts: list[Fact]):
    """The view `events` is the frames, one row an event, with nothing lost, doubled or changed."""
    rows = query(lived.amos.database, "SELECT * FROM events ORDER BY position, seq")

    shown = [
        {
            **json.loads(row["event"]),
            "kind": naive_fold.kind_of(row["type"]),
            "at": row["occurred_at"],
            "stream": row["stream"],
            "instance": row["instance"],
        }
        for row in rows
    ]
    assert shown == facts
    for stream, own in streams(facts).items():
        assert [row["seq"] for row in rows if row["stream"] == stream] == list(range(1, len(own) + 1))


async def test_the_columns_repeat_the_last_word(lived: Lived):
    """The row that closes an execution can be searched by what its last word says; other rows are blank."""
    columns = ("operation", "door", "client", "topic", "provider", "cache", "error", "duration_s")
    for row in lived.amos.frames():
        ends = of(facts_of([row]), "request.completed", "request.failed")
        word = ends[0] if ends else {}

        assert {name: row[name] or "" for name in columns} == {name: word.get(name, "") for name in columns}
        assert row["outcome"] == (("failed" if "error" in word else "answered") if word else "")


@pytest.mark.parametrize("name", list(REPORTS))
async def test_a_report_over_http_is_the_fold(
    lived: Lived, facts: list[Fact], window: dict[str, str], name: str
):
    """Every report, by everything it can be grouped by, says what the frames say."""
    texts = {row["key_hash"]: row["text"] for row in query(lived.amos.database, "SELECT * FROM queries")}
    for by in ("", *REPORTS[name].by):
        found = await report(lived, name, {**window, "by": by})
        naive_check.check(name, found, facts, Question(by, zone=ZONE), texts)


@pytest.mark.parametrize("name", list(REPORTS))
async def test_an_empty_window_is_a_report_of_nothing(lived: Lived, facts: list[Fact], name: str):
    """Before the first call nothing happened, and every report says so without dividing by it."""
    found = await report(lived, name, {"since": "4h", "until": "3h"})

    naive_check.check(name, found, facts)
    assert found["until"] < facts[0]["at"]


@pytest.mark.parametrize(
    "lived", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("name", list(REPORTS))
async def test_a_report_at_the_command_line_is_that_over_http(
    lived: Lived, window: dict[str, str], name: str
):
    """The command reads the same database by itself, and prints the same report."""
    by = REPORTS[name].by[-1] if REPORTS[name].by else ""
    options = [part for key, value in {**window, "by": by}.items() if value for part in (f"--{key}", value)]

    done = await asyncio.to_thread(lived.command.run, "report", name, *options, "--json")

    assert done.exit_code == 0, done.stderr
    assert done.json == await report(lived, name, {**window, "by": by})


async def test_metrics_are_the_fold(lived: Lived, facts: list[Fact]):
    """Each sample of `/metrics` is what the frames say, down to the buckets; none is missing."""
    response = await lived.amos.client.get("/metrics", headers=lived.reader)

    assert response.status_code == 200, response.text
    assert naive_metrics.shown(response.text) == naive_metrics.counted(facts)


async def test_each_execution_is_explained_as_it_was(lived: Lived, facts: list[Fact]):
    """Every execution's account has its end, its attempts and its bill, and these add up to the report's."""
    for stream, own in streams(facts).items():
        found = (await lived.amos.client.get(f"/executions/{stream}", headers=lived.reader)).json()[
            "explanation"
        ]
        end = of(own, "request.completed", "request.failed")[0:1]
        assert [line["outcome"] for line in found["attempts"]] == _outcomes(own)
        assert (found["status"], found["error"]) == _status(end)
        assert found["duration_s"] == (end[0]["duration_s"] if end else None)
        lines = bill_lines(own)
        for what, name in (("spent", "cost"), ("assumed", "assumed")):
            assert found[name].get("usd_micros", 0) == _sum(lines, what)
        assert found["saved"].get("usd_micros", 0) == sum(
            micros(hit, "saved") for hit in of(own, "cache.hit", "cache.stale")
        )


def _outcomes(own: list[Fact]) -> list[str]:
    ended = {(fact["provider"], fact["number"]): fact for fact in of(own, *OUTCOMES)}
    outcomes = []
    for fact in of(own, "attempt.started", "provider.skipped"):
        end = ended.get((fact["provider"], fact.get("number", 0)), {"outcome": "unsettled"})
        if fact["kind"] == "provider.skipped":
            outcomes.append("skipped")
        else:
            outcomes.append(end.get("outcome") or ("success" if end["results"] else "empty"))
    return outcomes


def _status(end: list[Fact]) -> tuple[str, str]:
    error = str(end[0].get("error", "")) if end else ""
    return ("failed" if error else "answered") if end else "unsettled", error


def _sum(lines: list[Fact], what: str) -> int:
    return sum(micros(line, "bill") for line in lines if line["what"] == what)


async def test_spans_are_the_fold(lived: Lived, facts: list[Fact]):
    """One span for each call and each attempt has arrived, with their durations, ends, bills and clients."""
    statuses = {**STATUSES, "cancelled": 499}

    assert naive_spans.shown(lived.receiver.taken) == naive_spans.counted(facts, statuses)


async def test_four_places_tell_the_same_of_one_run(
    lived: Lived, prometheus: Prometheus, window: dict[str, str]
):
    """Reports, Prometheus, the views of dashboards and spans: calls, tiers, attempts, money are equal."""
    told = await one_run.of_reports(lambda name, by: report(lived, name, {**window, "by": by}))

    assert await one_run.of_prometheus(prometheus) == told
    assert one_run.of_dashboards(lived.amos.database) == told
    assert one_run.of_spans(lived.receiver.taken) == told
    assert set(told.requests) == {"", "cancelled", *STATUSES}
    assert set(told.tiers) == {"l1", "collapsed", "mixed", "miss"}
    assert {outcome for _, outcome, _ in told.attempts} == {
        "success",
        "empty",
        "retryable",
        "final",
        "invalid",
    }
    assert set(told.spent_usd_micros) == {"tavily", "jina"}


async def test_what_rules_read_is_there(prometheus: Prometheus):
    """Each metric that an alert reads was scraped, with every label that the rule names."""
    for rule in every_rule():
        for selector in selectors(rule["expr"]):
            if not selector.name.startswith("amos_") or selector.name == "amos_redis_up":  # there is no Redis
                continue
            wanted = {matcher.name for matcher in selector.matchers.matchers}
            found = await prometheus.query(selector.name)

            assert found, f"{rule.get('alert', rule.get('record'))} reads {selector.name}"
            # A label without a value is none to Prometheus, such as the `error` of an answered call.
            assert wanted <= {label for values in found for label, _ in values}, selector.name


async def test_the_providers_were_called_as_often_as_there_were_attempts(lived: Lived, facts: list[Fact]):
    """Each call that arrived at a provider is an attempt on record, and none is on record that did not."""
    begun = Counter((fact["provider"], fact["operation"]) for fact in of(facts, "attempt.started"))

    assert {key: begun[key] for key in begun if key[0] != "local"} == {
        ("tavily", "search"): lived.tavily.counts["/search"],
        ("tavily", "extract"): lived.tavily.counts["/extract"],
        **{("tavily", one): lived.tavily.counts[f"/{one}"] for one in ("map", "crawl")},
        ("jina", "search"): lived.jina.counts["/s"],
        ("jina", "extract"): lived.jina.counts["/r"],
    }


async def test_what_was_spent_is_what_was_billed(lived: Lived, facts: list[Fact], window: dict[str, str]):
    """The report's credits and tokens are those the providers have counted themselves, call by call.

    A bill that was lost with its answer is not known to be spent, and is covered by what is assumed: that of
    the answer that was cut, and on a busy machine of those that came too late. Of others nothing is assumed.
    """
    units = {line["provider"]: line for line in (await report(lived, "cost", window))["units"]}
    tavily, jina = (
        bill(name, facts, msgspec.to_builtins([*simulator.calls]))
        for name, simulator in (("tavily", lived.tavily), ("jina", lived.jina))
    )

    assert (*tavily.differences, *jina.differences) == ()
    assert not [fact for fact in of(facts, "attempt.succeeded") if micros(fact, "assumed")]
    assert units["tavily"]["spent"] + tavily.untold == pytest.approx(lived.tavily.credits_used, abs=1e-6)
    assert units["tavily"]["assumed"] >= tavily.untold >= lived.lost_credits > 0
    assert units["jina"]["spent"] + jina.untold == lived.tokens_used


async def test_what_a_client_is_told_of_itself_is_the_fold(lived: Lived, facts: list[Fact]):
    """`/usage` has the client's own money, spent and assumed, in credits by operation."""
    own = [line for line in bill_lines(facts) if line.get("client") == "auditor" and line["what"] != "saved"]
    told = (await lived.amos.client.get("/usage", headers=lived.reader)).json()

    assert told["amos"]["spent_usd"] == sum(micros(line, "bill") for line in own if "bill" in line) / 1e6
    for operation in ("search", "extract", "map", "crawl"):
        spent = sum(micros(line, "bill") for line in of_operation(own, operation) if "bill" in line)
        assert spent > 0
        assert told["key"][f"{operation}_usage"] == round(spent / 8_000)


def of_operation(lines: list[Fact], operation: str) -> list[Fact]:
    """The lines of one operation."""
    return [line for line in lines if line["operation"] == operation]


async def test_the_callers_saw_what_is_recorded(lived: Lived, facts: list[Fact]):
    """Every answer that a caller had is an execution on record or a stranger turned away, and no more are."""
    ends = of(facts, "request.completed", "request.failed")
    told = [fact for fact in ends if fact.get("error") != "cancelled"]
    recorded = Counter(f"http:{_seen(fact)}" for fact in told if fact["door"] == "http")
    recorded.update(
        "mcp:failed" if "error" in fact else "mcp:answered" for fact in told if fact["door"] == "mcp"
    )
    refused = [fact for fact in of(facts, "caller.refused") if fact["reason"] in STRANGERS]
    recorded["http:401"] = sum(fact["count"] for fact in refused)

    assert recorded == lived.saw


def _seen(end: Fact) -> str:
    return str(STATUSES[end["error"]]) if "error" in end else str(end["cache"])


async def test_counting_again_changes_nothing(lived: Lived, facts: list[Fact], window: dict[str, str]):
    """Verified the figures are equal and nothing is missing; replayed they are still the fold."""
    verified = await asyncio.to_thread(lived.command.run, "events", "verify")
    replayed = await asyncio.to_thread(lived.command.run, "events", "replay")

    assert verified.exit_code == 0, verified.stderr + verified.stdout
    assert replayed.exit_code == 0, replayed.stderr + replayed.stdout
    for name in naive_check.REPORTS:
        naive_check.check(name, await report(lived, name, window), facts, Question(zone=ZONE))
    metrics = await lived.amos.client.get("/metrics", headers=lived.reader)
    assert naive_metrics.shown(metrics.text) == naive_metrics.counted(facts)


async def report(lived: Lived, name: str, parameters: dict[str, str]) -> dict[str, Any]:
    """A report over HTTP."""
    given = {key: value for key, value in parameters.items() if value}
    response = await lived.amos.client.get(f"/reports/{name}", params=given, headers=lived.reader)
    assert response.status_code == 200, response.text
    return dict(response.json())
