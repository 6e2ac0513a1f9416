"""Schemathesis calls everything that the OpenAPI document promises, rightly and wrongly, and finds nothing.

Every check it has is on. What it may not hold against the gateway stands in tests/support/fuzz_hooks.py and
schemathesis_run.py, each with its reason. `--seed` makes a run repeatable; a failure prints how to repeat it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator import strangers
from tests.support.schemathesis_run import UNLIMITED, Found, fuzzed_gateway, schemathesis

if TYPE_CHECKING:
    from pathlib import Path

CASES_MIN = 5_000


@pytest.fixture(autouse=True)
def _patient_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer without a key is refused many times a minute, and wants to hear why each time."""
    monkeypatch.setattr(strangers, "REFUSALS_PER_MINUTE", UNLIMITED)


def _is_clean(found: Found) -> bool:
    """Whether nothing was found, no answer was a fault of ours, and the program agrees."""
    assert found.failures == [], found.text
    assert [status for status in found.statuses if status >= "500"] == [], found.statuses
    return found.exit_code == 0


async def test_some_hundred_calls_find_nothing(tmp_path: Path):
    """Examples, a few right and wrong inputs of each operation, and short chains of calls."""
    async with fuzzed_gateway(tmp_path) as (amos, key):
        found = await schemathesis(
            amos,
            key,
            tmp_path,
            *("--seed", "20261130", "--max-examples", "4", "--phases", "examples,fuzzing,stateful"),
        )

    assert _is_clean(found)
    assert found.cases >= 200
    assert {"200", "201", "400", "404"} <= found.statuses.keys()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_five_thousand_calls_find_nothing(tmp_path: Path):
    """The same with every phase: boundary values of each field, other methods, missing and wrong keys."""
    async with fuzzed_gateway(tmp_path) as (amos, key):
        found = await schemathesis(
            amos, key, tmp_path, *("--seed", "6", "--max-examples", "45", "--continue-on-failure")
        )

    assert _is_clean(found)
    assert found.cases >= CASES_MIN


async def test_a_promise_that_is_not_kept_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The check can fail: an answer that is not the one in the document is found."""
    monkeypatch.setattr("api.rest.health.Live", lambda: {"status": "alive"})
    async with fuzzed_gateway(tmp_path) as (amos, key):
        found = await schemathesis(
            amos,
            key,
            tmp_path,
            *("--seed", "1", "--max-examples", "4", "--phases", "fuzzing", "--include-path", "/livez"),
        )

    assert found.exit_code == 1
    assert "ST108 Response violates schema" in found.text
