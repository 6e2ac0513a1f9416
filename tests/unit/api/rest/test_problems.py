"""Failures as HTTP: every class has a status, every path its dialect, and nothing inner gets out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from api.rest.envelopes import envelope_at
from api.rest.problems import STATUSES, Problem, problem_of, render, status_in, status_of
from orchestrator import errors
from orchestrator.errors import GatewayError
from orchestrator.model import Attempt


def hierarchy(root: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """The class and everything below it."""
    yield root
    for child in root.__subclasses__():
        yield from hierarchy(child)


def test_every_error_has_a_status():
    """An error class without a row would be an unexplained 500."""
    ours = {cls for cls in hierarchy(GatewayError) if cls.__module__ == errors.__name__}

    assert set(STATUSES) == ours


def test_a_code_of_the_record_has_the_status_of_its_error():
    """Which a caller got; one who left is none of our errors, and what nobody knows is."""
    assert all(status_of(error.code) == status for error, status in STATUSES.items())
    assert (status_of("cancelled"), status_of("internal_error"), status_of("of a later version")) == (
        *(499, 500, 500),
    )
    routes = ("/search", "/v1/search/{tool}", "/searxng", "web_search")
    assert [status_of("quota_exhausted", route) for route in routes] == [432, 429, 429, 432]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (errors.InvalidRequest("x"), 400, None),
        (errors.Unauthenticated("x", reason="proxied"), 401, None),
        (errors.PermissionDenied("x"), 403, None),
        (errors.RateLimited("x", retry_after_s=1.2), 429, b"2"),
        (errors.RateLimited("x"), 429, b"1"),
        (errors.RefusedTooOften("x", reason="bad_key", retry_after_s=59.1), 429, b"60"),
        (errors.Overloaded("x"), 503, b"1"),
        (errors.QuotaExhausted("x", attempts=()), 432, None),
        (errors.QuotaExhausted("x", attempts=(), retry_after_s=60), 432, b"60"),
        (errors.AllProvidersFailed("x", attempts=()), 503, b"1"),
        (errors.AllProvidersFailed("x", attempts=(), retry_after_s=0.0), 503, b"1"),
        (errors.DeadlineExceeded("x"), 504, None),
        (errors.NotInCache("x"), 504, None),
        (errors.NotFound("x", retry_after_s=1), 404, b"1"),
        (errors.EventLogUnavailable("x"), 503, b"1"),
    ],
)
def test_the_statuses_are_those_clients_map(error: GatewayError, status: int, retry_after: bytes | None):
    """Callers learn by the status what kind of failure it was, and when to come back."""
    problem = problem_of(error)

    assert problem.status == status
    assert dict(problem.headers).get(b"retry-after") == retry_after
    assert (b"www-authenticate" in dict(problem.headers)) == (status == 401)


@pytest.mark.parametrize(
    ("error", "kind", "violated"),
    [
        (errors.RateLimited("x", windows=["burst", "minute"]), "quota-exceeded", ["burst", "minute"]),
        (errors.RefusedTooOften("x", reason="bad_key"), "abnormal-usage-detected", None),
        (errors.Overloaded("x"), "temporary-reduced-capacity", None),
        (errors.NotFound("x"), "", None),
    ],
)
def test_limits_have_problem_types_of_their_own(error: GatewayError, kind: str, violated: list[str] | None):
    """Off Tavily's paths a program can tell by the type which limit it met, and which of its policies."""
    _, body = render(problem_of(error), "/reports/health")

    details = json.loads(body)
    expected = f"https://iana.org/assignments/http-problem-types#{kind}" if kind else "about:blank"
    assert details["type"] == expected
    assert details.get("violated-policies") == violated


def test_an_unexpected_exception_says_nothing():
    """The outside learns that something failed, and not what."""
    problem = problem_of(ZeroDivisionError("secret"))

    assert (problem.status, problem.code) == (500, "internal_error")
    assert "secret" not in problem.message


def test_the_router_s_refusals_are_problems():
    """A wrong method says which ones there are."""
    problem = problem_of(HTTPException(405, headers={"Allow": "GET, HEAD"}))

    assert (problem.status, problem.headers) == (405, ((b"allow", b"GET, HEAD"),))
    assert problem_of(HTTPException(404)).code == "not_found"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *((path, {"detail": {"error": "No."}}) for path in ("/search", "/extract", "/map", "/research/123")),
        *(
            (path, {"error": {"message": "No.", "type": "gone"}})
            for path in ("/v1/search", "/v1/search/web", "/perplexity/x")
        ),
        *((path, {"error": "No.", "amos": {"code": "gone"}}) for path in ("/searxng", "/searxng/search")),
        ("/openwebui/load", {"detail": "No."}),
    ],
)
def test_a_client_finds_its_envelope_wherever_it_may_call(path: str, body: dict[str, Any]):
    """By the first part of the path, also on paths we do not offer."""
    headers, rendered = render(Problem(410, "gone", "No."), path)

    found = json.loads(rendered)
    assert dict(headers)[b"content-type"] == b"application/json"
    for name, value in body.items():
        assert found[name] == value or found[name] == {**value, "code": 410}


@pytest.mark.parametrize("path", ["/searches", "/reports/search", "/v2/search", "/v1search", "/", ""])
def test_other_paths_are_nobody_s(path: str):
    """A path that only looks like one of a dialect is none of its."""
    assert envelope_at(path) is None


def test_a_used_up_quota_has_tavily_s_status_only_for_its_clients():
    """Other clients know 429; those of Perplexity would repeat it, and are told that this is of no use."""
    problem = problem_of(errors.QuotaExhausted("Used up.", attempts=()))

    assert [status_in(problem, path) for path in ("/search", "/v1/search", "/searxng", "/keys")] == [
        *(432, 429, 429, 432)
    ]
    headers, body = render(problem, "/perplexity/search")
    assert dict(headers)[b"x-should-retry"] == b"false"
    assert json.loads(body)["error"]["code"] == 429
    assert b"x-should-retry" not in dict(render(problem_of(errors.RateLimited("x")), "/perplexity/search")[0])


def test_tavily_s_paths_answer_in_its_envelope():
    """There the sentence is in detail.error."""
    headers, body = render(Problem(413, "body_too_large", "Too large."), "/search")

    assert json.loads(body) == {"detail": {"error": "Too large."}, "amos": {"code": "body_too_large"}}
    assert dict(headers)[b"content-type"] == b"application/json"


def test_other_paths_answer_in_problem_details():
    """There RFC 9457 applies, also to a status that no standard names."""
    headers, body = render(Problem(432, "quota_exhausted", "Used up."), "/reports/cost")

    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Quota Exhausted",
        "status": 432,
        "detail": "Used up.",
        "code": "quota_exhausted",
    }
    assert dict(headers)[b"content-type"] == b"application/problem+json"


def test_attempts_are_told():
    """All providers failing says what each of them did."""
    attempt = Attempt(provider="tavily", outcome="final", reason="http_401", duration_s=0.1)
    problem = problem_of(errors.AllProvidersFailed("x", attempts=[attempt]))

    assert problem.attempts == (attempt,)
