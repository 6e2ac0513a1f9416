"""From what the caller shows to who they are, and whether they may do this."""

from __future__ import annotations

import pytest

from orchestrator.api_keys import SCOPES
from orchestrator.errors import KeysUnavailable, PermissionDenied, Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.filters.authenticate import (
    AGE_UNHEEDED,
    LOCAL_OPERATOR,
    AuthenticateFilter,
    Doorkeeper,
    require,
)
from orchestrator.model import CacheControl, Response, SearchRequest
from orchestrator.principals import Principal
from tests.support.calls import make_call, recorded
from tests.support.keys import Keys

REQUEST = SearchRequest(query="tides")


async def principal_of(call):
    """Inner stages that tell who asks."""
    return call.principal


async def wishes_of(call):
    """Inner stages that tell what is asked of the cache."""
    return call.caller.cache_control


def door(keys: Keys | None = None, scope: str = "search", **options) -> AuthenticateFilter:
    """The filter, with keys or without any."""
    return AuthenticateFilter(Doorkeeper(keys.ring if keys else None, **options), scope)


async def fresh() -> Keys:
    """Keys of which there are none yet."""
    keys = Keys()
    await keys.ring.refresh()
    return keys


async def test_the_local_operator_needs_no_key():
    """While no key exists, the person at this machine is known, may do everything and is not limited."""
    call = make_call(REQUEST, is_local_operator=True)

    principal = await door(await fresh())(call, principal_of)

    assert principal is LOCAL_OPERATOR
    assert principal.is_unlimited
    assert principal.scopes == set(SCOPES)
    assert recorded(call) == [CallerAuthenticated(client="local", method="local_operator")]


async def test_a_key_of_the_local_operator_is_not_looked_at():
    """Client libraries insist on sending a key; here it neither helps nor harms, and is not recorded."""
    call = make_call(REQUEST, is_local_operator=True, credential="tvly-secret")

    assert await door()(call, principal_of) is LOCAL_OPERATOR
    assert "secret" not in repr(recorded(call))


@pytest.mark.parametrize(("refusal", "reason"), [("proxy", "proxy"), ("", "no_credential")])
async def test_anybody_else_is_refused(refusal, reason):
    """Without keys a stranger is told what to do; the reason is a code for the count of refusals."""
    call = make_call(REQUEST, refusal=refusal, credential="tvly-secret")

    with pytest.raises(Unauthenticated, match="loopback") as stranger:
        await door()(call, principal_of)

    assert stranger.value.reason == reason
    assert recorded(call) == []


async def test_with_the_first_key_the_local_operator_needs_one():
    """As soon as a key exists, also a dead one, being at the machine is not enough any more."""
    keys = Keys()
    new = await keys.make()
    await keys.admin.revoke(new.key.id, by="test")

    with pytest.raises(Unauthenticated, match="Bearer") as refused:
        await door(keys)(make_call(REQUEST, is_local_operator=True), principal_of)

    assert refused.value.reason == "no_credential"


async def test_an_address_that_others_reach_has_no_local_operator():
    """Where the server listens for other machines, looking local proves nothing."""
    with pytest.raises(Unauthenticated):
        await door(await fresh(), trusts_local_operator=False)(
            make_call(REQUEST, is_local_operator=True), principal_of
        )


async def test_a_program_on_the_data_folder_owns_it():
    """The command line in its own process can read every table: asking it for a key would be theatre."""
    keys = Keys()
    await keys.make()
    call = make_call(REQUEST, is_in_process=True)

    assert await door(keys)(call, principal_of) is LOCAL_OPERATOR
    assert recorded(call) == [CallerAuthenticated(client="local", method="in_process")]


async def test_a_key_is_its_client():
    """The call goes on with the key's principal, and the fact names client and key, not the key itself."""
    keys = Keys()
    new = await keys.make("acme")
    call = make_call(REQUEST, credential=new.raw, refusal="proxied")

    principal = await door(keys)(call, principal_of)

    assert (principal.client, principal.key_id, principal.is_unlimited) == ("acme", new.key.id, False)
    assert recorded(call) == [CallerAuthenticated(client="acme", method="key", key_id=new.key.id)]
    assert new.raw not in repr(recorded(call))
    assert new.raw[23:] not in repr(principal)


async def test_a_session_is_its_keys_client_unless_a_key_is_shown():
    """A door may know the caller by a session; a key that is shown wins over it."""
    keys = Keys()
    session, shown = await keys.make("acme"), await keys.make("other")

    known = await door(keys)(make_call(REQUEST, key_id=session.key.id), principal_of)
    both = await door(keys)(make_call(REQUEST, key_id=session.key.id, credential=shown.raw), principal_of)

    assert (known.client, known.key_id) == ("acme", session.key.id)
    assert both.client == "other"


async def test_keys_that_were_never_seen_open_for_nobody():
    """Without the database since the start the local operator is not taken at their word either."""
    keys = Keys()

    for caller in ({"is_local_operator": True}, {"credential": "amos_live_x"}):
        with pytest.raises(KeysUnavailable, match="could not be read"):
            await door(keys)(make_call(REQUEST, **caller), principal_of)


@pytest.mark.parametrize(("scope", "other"), [("search", "extract"), ("extract", "search")])
async def test_an_operation_needs_its_scope(scope, other):
    """A key for one operation does not open the other; the client is on record with the refusal."""
    keys = Keys()
    new = await keys.make(scopes=(other,))
    call = make_call(REQUEST, credential=new.raw)

    with pytest.raises(PermissionDenied, match=f"lacks the scope {scope}") as refused:
        await door(keys, scope)(call, principal_of)

    assert refused.value.scopes == (scope,)
    assert [event.client for event in recorded(call)] == ["acme"]


@pytest.mark.parametrize(
    "wants", [CacheControl(no_cache=True), CacheControl(no_store=True), CacheControl(max_age_s=0.0)]
)
async def test_passing_the_cache_by_needs_a_scope(wants):
    """Whatever makes the gateway fetch what it has spends money; all scopes needed are named at once."""
    keys = Keys()
    plain, fresh_ = await keys.make(), await keys.make(scopes=("search", "refresh"))

    with pytest.raises(PermissionDenied, match=r"refresh.*spends money") as refused:
        await door(keys)(make_call(REQUEST, credential=plain.raw, cache_control=wants), principal_of)

    assert refused.value.scopes == ("search", "refresh")
    call = make_call(REQUEST, credential=fresh_.raw, cache_control=wants)
    assert await door(keys)(call, principal_of)


async def test_other_wishes_need_none():
    """What spends nothing that an ordinary search would not is everybody's."""
    keys = Keys()
    new = await keys.make()
    wants = CacheControl(only_if_cached=True, stale_if_error_s=5.0)

    assert await door(keys)(make_call(REQUEST, credential=new.raw, cache_control=wants), wishes_of) == wants


async def test_an_age_is_heeded_only_of_those_who_may_refresh():
    """`max-age=1` would fetch anew every second: without the scope it is left unheard, and that is said."""
    keys = Keys()
    plain, refresher = await keys.make(), await keys.make(scopes=("search", "refresh"))
    wants = CacheControl(max_age_s=1.0, only_if_cached=True)
    heard: list[CacheControl] = []

    async def answering(call):
        heard.append(call.caller.cache_control)
        return Response(fragment=b"", result_count=0, provider="tavily", notes=("Reduced.",))

    unheeded, heeded = [
        await door(keys)(make_call(REQUEST, credential=key.raw, cache_control=wants), answering)
        for key in (plain, refresher)
    ]

    assert heard == [CacheControl(only_if_cached=True), wants]
    assert unheeded.notes == ("Reduced.", AGE_UNHEEDED)
    assert heeded.notes == ("Reduced.",)


def test_only_missing_scopes_are_named():
    """The sentence says what is lacking, the error what is needed."""
    require(LOCAL_OPERATOR, *SCOPES)
    with pytest.raises(PermissionDenied, match="lacks the scope reports and admin") as refused:
        require(Principal(client="acme", scopes=frozenset({"search"})), "search", "reports", "admin")
    assert refused.value.scopes == ("search", "reports", "admin")
