"""Queries are expanded here as Grafana expands them, oddities and all, so that what runs here runs there."""

from __future__ import annotations

import pytest

from tests.support.grafana import UnknownMacro, UnknownVariable, Window, expanded, interpolated

WINDOW = Window(since=1_800_000_000, until=1_800_003_600, interval_s=300)


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("$__time(at)", 'at AS "time"'),
        ("$__timeEpoch(at)", 'extract(epoch from at) as "time"'),
        ("$__timeFilter(at)", "at BETWEEN '2027-01-15T08:00:00Z' AND '2027-01-15T09:00:00Z'"),
        ("$__timeFrom() $__timeTo()", "'2027-01-15T08:00:00Z' '2027-01-15T09:00:00Z'"),
        ("$__unixEpochFilter(at)", "at >= 1800000000 AND at <= 1800003600"),
        ("$__unixEpochFrom() - s, $__unixEpochTo()", "1800000000 - s, 1800003600"),
        ("$__timeGroup(at,'5m')", "floor(extract(epoch from at)/300)*300"),
        ("$__timeGroup(at, '5m'), x", 'floor(extract(epoch from at)/300)*300 AS "time", x'),
        ("$__timeGroupAlias(at,$__interval)", 'floor(extract(epoch from at)/300)*300 AS "time"'),
        ("$__unixEpochGroup(at,'1d')", "floor((at)/86400)*86400"),
        ("$__unixEpochGroupAlias(at,'$__interval')", 'floor((at)/300)*300 AS "time"'),
        ("$__unixEpochGroup(at,'30d')", "floor((at)/2.592e+06)*2.592e+06"),
        ("$__interval_ms / 1000.0", "300000 / 1000.0"),
        ("sum(x) $1 $word", "sum(x) $1 $word"),
    ],
)
def test_a_macro_is_expanded(query, result):
    """Each macro of PostgreSQL's data source becomes what Grafana makes of it; all else stays."""
    assert expanded(query, WINDOW) == result


@pytest.mark.parametrize("query", ["$__timefilter(at)", "$__unixEpochGroupSeconds(at, 60)", "$amount(x)"])
def test_an_unknown_macro_is_an_error(query):
    """As in Grafana, where the panel then shows nothing but that."""
    with pytest.raises(UnknownMacro):
        expanded(query, WINDOW)


@pytest.mark.parametrize("query", ["$__timeGroup(at)", "$__unixEpochGroup(at,'soon')"])
def test_a_macro_needs_its_arguments(query):
    """A group needs an interval."""
    with pytest.raises(ValueError, match="interval"):
        expanded(query, WINDOW)


def test_an_argument_ends_at_the_first_parenthesis():
    """So what has parentheses in it is torn, and PostgreSQL would complain; a test forbids such arguments."""
    assert expanded("$__timeFilter(to_timestamp(at))", WINDOW).endswith("AND '2027-01-15T09:00:00Z')")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("IN (${client:sqlstring})", "IN ('o''hara','b.c')"),
        ('{client=~"${client:regex}"}', '{client=~"(o\'hara|b\\.c)"}'),
        ("${console}/x", "http://localhost:8000/x"),
        ("${__value.raw} $__interval $__rate_interval", "${__value.raw} $__interval $__rate_interval"),
    ],
)
def test_a_variable_is_put_in(text, result):
    """Several values are quoted as the form says; Grafana's own variables wait."""
    values = {"client": ["o'hara", "b.c"], "console": "http://localhost:8000"}

    assert interpolated(text, values) == result


@pytest.mark.parametrize("text", ["${nobody}", "$nobody", "${client}", "${client:csv}"])
def test_a_variable_that_cannot_be_put_in_is_an_error(text):
    """One that is not there, or several values without a form, would reach the database as they are."""
    with pytest.raises(UnknownVariable):
        interpolated(text, {"client": ["a", "b"]})
