"""Numbers as people read them."""

from __future__ import annotations

import pytest

from api.quantities import amount, dollars, label, moment, number, ratio, seconds, shown, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.00314, "3.14 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.25, "1.25 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (93_600, "1 d 2 h"),
        (864_000, "10 d"),
    ],
)
def test_a_duration_has_its_own_order_of_magnitude(value, text):
    """From milliseconds to days, never more than two units, no gap where a unit ends."""
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (512, "512 B"), (4_200_000, "4.2 MB"), (1.1e12, "1.1 TB"), (9e15, "9e+03 TB")],
)
def test_sizes_are_decimal(value, text):
    """Bytes are shown in the units disks are sold in."""
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "$0"), (8_000, "$0.008"), (1_500_000, "$1.5"), (1, "$0.000001")]
)
def test_money_loses_no_micro_dollar(value, text):
    """Even a millionth of a dollar is shown."""
    assert dollars(value) == text


def test_the_end_of_a_name_says_the_unit():
    """A figure is formatted by the suffix of its name, and its heading drops that suffix."""
    assert shown("p95_s", 0.25) == "250 ms"
    assert shown("hit_ratio", 0.5) == ratio(0.5) == "50.0 %"
    assert shown("backlog_bytes", 1000) == "1 kB"
    assert shown("saved_usd_micros", 8000) == "$0.008"
    assert shown("since_at", 0.0) == shown("since", 0) == moment(0.0)
    assert shown("availability", 1.0) == "100.0 %"
    assert label("upstream_p95_s") == "upstream p95"
    assert label("saved_usd_micros") == "saved"
    assert label("hit_ratio") == "hit rate"


def test_what_has_no_unit_is_shown_plainly():
    """Absent values are a dash, flags a word, whole numbers grouped, mixtures by their parts."""
    assert shown("x", None) == shown("x", "") == "-"
    assert shown("x", value=True) == "yes"
    assert shown("calls", 1_234_567) == number(1_234_567.0) == "1,234,567"
    assert shown("score", 0.123456) == "0.1235"
    assert shown("cost", {"amount": 2, "usd_micros": 8000}) == "amount 2, usd $0.008"
    assert shown("tiers", ["l1", "l2"]) == "l1, l2"


def test_one_of_a_unit_is_singular():
    """A provider's unit is a plural; one of it is not."""
    assert amount(1, "credits") == "1 credit"
    assert amount(0.2, "credits") == "0.2 credits"
    assert amount(10_000, "tokens") == "10,000 tokens"
