"""What an operator sets is what the pipeline is built with."""

from __future__ import annotations

from api.policies import policies_of
from api.settings import load
from orchestrator.cooldown import CircuitPolicy
from orchestrator.ports import ProviderTiming


def test_nothing_set_is_the_policy_as_it_is():
    """Without settings a policy keeps the defaults of its mechanism."""
    policies = policies_of(load({}))

    assert (policies.timing, policies.circuit) == (ProviderTiming(), CircuitPolicy())


def test_the_time_of_an_attempt_can_be_set():
    """Each kind of attempt has its own time."""
    timing = policies_of(
        load(
            {
                "AMOS_SEARCH_TIMEOUT_S": "2",
                "AMOS_SEARCH_ADVANCED_TIMEOUT_S": "3",
                "AMOS_EXTRACT_TIMEOUT_S": "4.5",
            }
        )
    ).timing

    assert (timing.search_s, timing.search_advanced_s, timing.extract_s) == (2.0, 3.0, 4.5)
