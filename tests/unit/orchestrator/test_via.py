"""Which installations a call has come through, as a header tells it."""

from __future__ import annotations

import pytest

from orchestrator.errors import LoopDetected
from orchestrator.model import SearchRequest
from orchestrator.via import HOPS_MAX, check_via, read_via, via_headers
from tests.support.calls import make_call

ONE, TWO, THREE = (digit * 16 for digit in "123")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (None, ()),
        (b"", ()),
        (ONE.encode(), (ONE,)),
        (f"{ONE}, {TWO},{THREE}".encode(), (ONE, TWO, THREE)),
        (b"1.1 proxy.example", ()),
        (b"F" * 16, ()),
        (b"1" * 17, ()),
        (b", ".join([b"1" * 16] * 33), ()),
        (b"\xff" * 16, ()),
    ],
)
def test_a_header_is_read_or_passed_over(header, names):
    """What is none of ours says nothing."""
    assert read_via(header) == names


def test_each_installation_adds_its_name():
    """The next one sees the whole way; without a name of ours nothing is said."""
    call = make_call(SearchRequest(query="tides"), via=(ONE, TWO))

    assert via_headers(call, THREE) == {"Amos-Via": f"{ONE}, {TWO}, {THREE}"}
    assert read_via(via_headers(call, THREE)["Amos-Via"].encode()) == (ONE, TWO, THREE)
    assert via_headers(call, "") == {}


@pytest.mark.parametrize("via", [(ONE,), (TWO, ONE, THREE), tuple(f"{n:016x}" for n in range(HOPS_MAX))])
def test_a_way_that_leads_back_or_nowhere_is_refused(via):
    """Through us before, or through too many."""
    with pytest.raises(LoopDetected):
        check_via(via, ONE)


def test_a_way_through_others_is_none_of_our_business():
    """A gateway may stand behind others."""
    check_via((TWO, THREE), ONE)
    check_via(tuple(f"{n:016x}" for n in range(HOPS_MAX - 1)), ONE)
