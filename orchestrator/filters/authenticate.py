"""From what the caller shows to who they are, and whether they may do this.

Four ways to be known. A program on the data folder itself owns everything in it. While no API key exists,
the person at this machine, as the door has found out, needs none; a key shown by them (client libraries
insist on sending one) is not looked at. Everybody else, and as soon as there is one key everybody, shows a
key, or comes with a session that began with one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.errors import PermissionDenied, Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.key_ring import KeyRing
from orchestrator.model import DEFAULT_CACHE_CONTROL, CacheControl, Call, Caller, RequestT, Response
from orchestrator.principals import Principal
from orchestrator.service import Service
from orchestrator.strangers import Strangers

LOCAL_OPERATOR = Principal(
    client="local",
    scopes=frozenset({"search", "extract", "refresh", "reports", "admin"}),
    is_unlimited=True,
)
"""The person at this machine: may do everything, is not limited."""

AGE_UNHEEDED = "Cache-Control max-age was not heeded: it needs the scope refresh, because it may spend money."

_AT_THE_MACHINE = CallerAuthenticated(client=LOCAL_OPERATOR.client, method="local_operator")
_IN_PROCESS = CallerAuthenticated(client=LOCAL_OPERATOR.client, method="in_process")


class Doorkeeper:
    """Tells who a caller is. Without a ring there are no keys; then only the local operator is known.

    `trusts_local_operator` is false where others can reach the address we listen on. `strangers` says what
    becomes of those who are not known; `None` refuses each alike.
    """

    def __init__(
        self,
        ring: KeyRing | None = None,
        *,
        trusts_local_operator: bool = True,
        strangers: Strangers | None = None,
    ) -> None:
        self._ring = ring
        self._trusts_local_operator = trusts_local_operator
        self._strangers = strangers

    def identify(self, caller: Caller) -> tuple[Principal, CallerAuthenticated]:
        """The principal behind a caller, and the fact to record.

        Raises Unauthenticated, whose message says what to do, and KeysUnavailable.
        """
        try:
            return self._known(caller)
        except Unauthenticated as refusal:
            if self._strangers is None:
                raise
            return self._strangers.admit(caller, refusal)

    def _known(self, caller: Caller) -> tuple[Principal, CallerAuthenticated]:
        ring = self._ring
        if caller.is_in_process:
            return LOCAL_OPERATOR, _IN_PROCESS
        if ring is None or not len(ring):  # raises while the keys are not known: that is not "no keys"
            if caller.is_local_operator and self._trusts_local_operator:
                return LOCAL_OPERATOR, _AT_THE_MACHINE
            raise Unauthenticated(_no_keys(caller), reason=caller.refusal or "no_credential")
        if caller.credential is None:
            if caller.key_id:
                holder = ring.holder_of(caller.key_id)
                return holder.principal, holder.fact
            raise Unauthenticated(
                "An API key is needed: send it as Authorization: Bearer amos_live_...",
                reason="no_credential",
            )
        holder = ring.identify(caller.credential)
        return holder.principal, holder.fact


class AuthenticateFilter:
    """Puts the principal into the call, or refuses those who are unknown or lack the scope.

    `serves_anonymous`: whether callers without a key, where the operator serves any, may do this too.
    """

    def __init__(self, doorkeeper: Doorkeeper, scope: str, *, serves_anonymous: bool = True) -> None:
        self._identify = doorkeeper.identify
        self._scope = scope
        self._serves_anonymous = serves_anonymous

    async def __call__(self, call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
        """Answer a known caller. Raises Unauthenticated, PermissionDenied, KeysUnavailable."""
        principal, fact = self._identify(call.caller)
        if principal.address and not self._serves_anonymous:
            raise Unauthenticated("For this an API key is needed.", reason="no_credential")
        call.trail.record(fact)
        wants = call.caller.cache_control
        if wants is not DEFAULT_CACHE_CONTROL and _passes_the_cache(wants):
            require(principal, self._scope, "refresh")
        elif self._scope not in principal.scopes:
            require(principal, self._scope)
        known = msgspec.structs.replace(call, principal=principal)
        if wants.max_age_s is not None and "refresh" not in principal.scopes:
            return await _at_any_age(known, service)
        return await service(known)


async def _at_any_age(call: Call[RequestT], service: Service[RequestT, Response]) -> Response:
    """The answer for a caller who may not have a fresh one fetched just because of its age, and is told so.

    A refusal would depend on what happens to be in the cache; request directives are advice (RFC 9111,
    5.2.1).
    """
    wants = msgspec.structs.replace(call.caller.cache_control, max_age_s=None)
    caller = msgspec.structs.replace(call.caller, cache_control=wants)
    response = await service(msgspec.structs.replace(call, caller=caller))
    return msgspec.structs.replace(response, notes=(*response.notes, AGE_UNHEEDED))


def require(principal: Principal, *scopes: str) -> None:
    """See that the principal has all the scopes. Raises PermissionDenied, which names those missing."""
    missing = [scope for scope in scopes if scope not in principal.scopes]
    if not missing:
        return
    if principal.address:
        raise Unauthenticated(
            f"For this an API key with the scope {_listed(missing)} is needed.", reason="no_credential"
        )
    why = ""
    if missing == ["refresh"]:
        why = (
            " Cache-Control no-cache, no-store and max-age=0 fetch anew, which spends money; leave them out."
        )
    raise PermissionDenied(f"This API key lacks the scope {_listed(missing)}.{why}", scopes=scopes)


def _passes_the_cache(wants: CacheControl) -> bool:
    """Whether the wishes make the gateway fetch what it may have: that spends money, and needs a scope."""
    return wants.no_cache or wants.no_store or wants.max_age_s == 0


def _no_keys(caller: Caller) -> str:
    if caller.refusal:
        return (
            "AMOS answers only its local operator here, because it has no API keys yet: call it on a "
            "loopback address, directly and not through a proxy, or make a key with `amos keys create`."
        )
    return (
        "AMOS has no API keys yet and answers only its local operator, on a loopback address. "
        "Make a key with `amos keys create`."
    )


def _listed(scopes: Sequence[str]) -> str:
    return " and ".join(scopes)
