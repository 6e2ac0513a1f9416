"""From what the caller shows to who they are."""

from __future__ import annotations

import pytest

from orchestrator.errors import Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.filters.authenticate import LOCAL_OPERATOR, AuthenticateFilter, Doorkeeper
from orchestrator.model import SearchRequest
from tests.support.calls import make_call, recorded

REQUEST = SearchRequest(query="tides")


async def principal_of(call):
    """Inner stages that tell who asks."""
    return call.principal


async def test_the_local_operator_needs_no_key():
    """The person at this machine is known, may do everything and is not limited."""
    call = make_call(REQUEST, is_local_operator=True)

    principal = await AuthenticateFilter(Doorkeeper(), "search")(call, principal_of)

    assert principal is LOCAL_OPERATOR
    assert principal.is_unlimited
    assert recorded(call) == [CallerAuthenticated(client="local", method="local_operator")]


async def test_a_key_of_the_local_operator_is_not_looked_at():
    """Client libraries insist on sending a key; here it neither helps nor harms, and is not recorded."""
    call = make_call(REQUEST, is_local_operator=True, credential="tvly-secret")

    assert await AuthenticateFilter(Doorkeeper(), "search")(call, principal_of) is LOCAL_OPERATOR
    assert "secret" not in repr(recorded(call))


@pytest.mark.parametrize(("refusal", "reason"), [("proxy", "proxy"), ("", "no_credential")])
async def test_anybody_else_is_refused(refusal, reason):
    """A stranger is told what to do; the reason is a code for the count of refusals."""
    call = make_call(REQUEST, refusal=refusal, credential="tvly-secret")

    with pytest.raises(Unauthenticated, match="loopback") as stranger:
        await AuthenticateFilter(Doorkeeper(), "search")(call, principal_of)

    assert stranger.value.reason == reason
    assert recorded(call) == []
