"""From what the caller shows to who they are.

The door has found out whether only the person at this machine can have sent the call. That local operator
needs no key, and a key shown by them (client libraries insist on sending one) is not looked at.
"""

from __future__ import annotations

import msgspec

from orchestrator.errors import Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.model import Call, Caller, Principal, RequestT, Response
from orchestrator.service import Service

LOCAL_OPERATOR = Principal(
    client="local",
    scopes=frozenset({"search", "extract", "refresh", "reports", "admin"}),
    is_unlimited=True,
)
"""The person at this machine: may do everything, is not limited."""

_KNOWN = CallerAuthenticated(client=LOCAL_OPERATOR.client, method="local_operator")


def identify(caller: Caller) -> Principal:
    """The principal behind a caller. Raises Unauthenticated, whose message says what to do."""
    if caller.is_local_operator:
        return LOCAL_OPERATOR
    raise Unauthenticated(
        "AMOS answers only its local operator here: call it on a loopback address, "
        "directly and not through a proxy.",
        reason=caller.refusal or "no_credential",
    )


class AuthenticateFilter:
    """Puts the principal into the call, or refuses."""

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer a known caller. Raises Unauthenticated."""
        principal = identify(call.caller)
        call.trail.record(_KNOWN)
        return await service(msgspec.structs.replace(call, principal=principal))
