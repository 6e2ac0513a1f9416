"""Callers nobody knows are served by address if the operator says so, and told to wait if they insist."""

from __future__ import annotations

import pytest

from orchestrator import strangers
from orchestrator.errors import RefusedTooOften, Unauthenticated
from orchestrator.filters.authenticate import Doorkeeper
from orchestrator.model import Caller
from orchestrator.principals import OwnLimits
from orchestrator.strangers import REFUSALS_PER_MINUTE, Strangers, network
from tests.support.clock import FakeClock


def caller(address: str = "203.0.113.7", credential: str | None = None) -> Caller:
    """Somebody from elsewhere."""
    return Caller(door="test", refusal="foreign_peer", address=address, credential=credential)


def doorkeeper(per_minute: int = 0, clock: FakeClock | None = None) -> Doorkeeper:
    """One that knows no keys."""
    return Doorkeeper(strangers=Strangers(clock or FakeClock(), per_minute))


def refusals(keeper: Doorkeeper, count: int, **fields: str) -> list[type[Exception]]:
    """How so many calls are refused."""
    kinds: list[type[Exception]] = []
    for _ in range(count):
        with pytest.raises(Unauthenticated) as refusal:
            keeper.identify(caller(**fields))
        kinds.append(refusal.type)
    return kinds


def test_nobody_without_a_key_is_served_by_default():
    """Whoever shows nothing is refused."""
    assert refusals(doorkeeper(), 1) == [Unauthenticated]


def test_an_anonymous_caller_is_its_address():
    """If the operator allows it, a caller without a key may search, with limits for its address."""
    principal, fact = doorkeeper(per_minute=7).identify(caller())

    assert (principal.client, principal.scopes) == ("anonymous", {"search", "extract"})
    assert principal.limits == OwnLimits(per_minute=7)
    assert not principal.is_unlimited
    other, _ = doorkeeper(per_minute=7).identify(caller(address="203.0.113.8"))
    assert principal.counted_as != other.counted_as
    assert "203.0.113.7" not in repr(fact)


def test_a_wrong_key_is_not_anonymous():
    """Whoever shows a key means to be somebody, and hears that the key is wrong."""
    assert refusals(doorkeeper(per_minute=7), 1, credential="amos_live_wrong") == [Unauthenticated]


def test_an_anonymous_caller_of_unknown_address_is_limited_too():
    """All whose address nobody knows share one set of limits."""
    principal, _ = doorkeeper(per_minute=7).identify(caller(address=""))

    assert principal.address == "unknown"


def test_whoever_is_refused_again_and_again_is_told_to_wait():
    """Beyond the bound the refusal says for how long; after that time it counts anew."""
    clock = FakeClock()
    keeper = doorkeeper(clock=clock)
    assert set(refusals(keeper, REFUSALS_PER_MINUTE)) == {Unauthenticated}
    clock.advance(20.5)

    with pytest.raises(RefusedTooOften) as refusal:
        keeper.identify(caller())

    assert refusal.value.retry_after_s == pytest.approx(39.5)
    assert refusals(keeper, 1, address="203.0.113.8") == [Unauthenticated]
    clock.advance(39.5)
    assert refusals(keeper, 1) == [Unauthenticated]


def test_callers_of_unknown_address_are_not_told_to_wait():
    """Without an address nobody can tell who insists."""
    assert set(refusals(doorkeeper(), REFUSALS_PER_MINUTE * 2, address="")) == {Unauthenticated}


def test_the_table_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """A flood from many addresses takes no more memory than the bound; the address refused last is known."""
    monkeypatch.setattr(strangers, "ADDRESSES_MAX", 5)
    keeper = doorkeeper()

    for number in range(100):
        refusals(keeper, 1, address=f"203.0.113.{number}")
        refusals(keeper, 1, address="198.51.100.1")

    assert refusals(keeper, 1, address="198.51.100.1") == [RefusedTooOften]
    assert len(keeper._strangers._counts) <= 5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
        ("unix:", "unix:"),
        ("x" * 1_000, "x" * 64),
    ],
)
def test_an_address_counts_by_what_its_owner_has(address: str, expected: str):
    """A machine has a whole /64 of IPv6 to itself, and one address of IPv4 however it is written."""
    assert network(address) == expected
