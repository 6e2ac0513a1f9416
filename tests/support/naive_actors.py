"""The reports on who asks what and who answers, counted as those in naive_reports.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.support.naive_fold import (
    CALLERS_OWN,
    OUTCOMES,
    TIMES,
    Fact,
    Question,
    bill_lines,
    durations,
    micros,
    of,
    share,
    streams,
)
from tests.support.naive_reports import (
    CIRCUIT,
    ENDS,
    STAYS,
    Figures,
    by_provider,
    calls,
    circuit,
    marked,
    mean_s,
    money,
    quantile,
    tally,
    ways,
)

SLOW_S = 2.0

LIMIT = 20
"""How long a list is if nobody says so."""

# --- queries ------------------------------------------------------------------------------------------------

RANKINGS = {"top": "calls", "failing": "failed", "slow": "slow", "empty": "empty", "repeated": "fetched"}


def queries(facts: Sequence[Fact], asked: Question, texts: Mapping[str, str]) -> Figures:
    """The queries report."""
    of_key: dict[str, list[Fact]] = {}
    for end in of(asked.within(facts), *ENDS):
        if end.get("key"):
            of_key.setdefault(end["key"], []).append(end)
    lines = [{"text": texts.get(key), "key": key, **_search(ends)} for key, ends in of_key.items()]
    figures: Figures = {"by": ""}
    for name, measure in RANKINGS.items():
        ranked = sorted(lines, key=lambda line: (-line[measure], line["key"]))
        least = 2 if name == "repeated" else 1
        figures[name] = [dict(line) for line in ranked[:LIMIT] if line[measure] >= least]
    for line in figures["repeated"]:
        line["avoidable_usd_micros"] = line["cost_usd_micros"] * (line["fetched"] - 1) // line["fetched"]
    return figures


def _search(ends: Sequence[Fact]) -> Figures:
    caches = Counter(end.get("cache", "") for end in ends)
    return {
        "calls": len(ends),
        "hits": caches["l1"] + caches["l2"],
        "fetched": caches["miss"],
        "empty": sum(end.get("results") == 0 for end in ends),
        "failed": sum("error" in end and end["error"] not in CALLERS_OWN for end in ends),
        "slow": sum(end["duration_s"] > SLOW_S for end in ends),
        "mean_s": mean_s([{"s": end["duration_s"]} for end in ends]),
        "cost_usd_micros": sum(micros(end, "cost") for end in ends),
    }


# --- clients ------------------------------------------------------------------------------------------------


def clients(facts: Sequence[Fact], asked: Question) -> Figures:
    """The clients report; it is by client if nobody says otherwise."""
    asked = asked._replace(by=asked.by or "client")
    told = [
        *of(asked.within(facts), *ENDS),
        *(line for line in asked.within(bill_lines(facts)) if _is_money(line)),
    ]
    groups = asked.groups(told)
    figures = {"by": asked.by, **_client(told)}
    rows = [{asked.by: value, **_client(found)} for value, found in groups.items()]
    if asked.by == "client":
        figures["clients"] = len(rows)
        rows = sorted(rows, key=lambda row: -row["requests"])[:LIMIT]
    return {**figures, "rows": rows}


def _is_money(line: Fact) -> bool:
    return micros(line, "bill") != 0


def _client(told: Sequence[Fact]) -> Figures:
    ends = [fact for fact in told if "what" not in fact]
    answered, failed = of(ends, "request.completed"), of(ends, "request.failed")
    stays = [one for one in durations(ends) if one["stage"] in STAYS]
    cached = ways([fact for fact in answered if fact["cache"] != "relayed"])
    return {
        "requests": len(ends),
        "answered": len(answered),
        "failed": len(failed),
        "errors": tally(failed, "error"),
        **{name: cached[name] for name in ("hits", "hit_ratio", "collapsed", "collapsed_ratio")},
        "degraded": marked(answered, "degraded"),
        "stale": marked(answered, "stale"),
        "results": sum(fact["results"] for fact in answered),
        "mean_s": mean_s(stays),
        "p50_s": quantile(stays, 0.5),
        "p95_s": quantile(stays, 0.95),
        **money(line for line in told if "what" in line),
        "doors": tally(ends, "door"),
    }


# --- providers ----------------------------------------------------------------------------------------------


def providers(facts: Sequence[Fact], asked: Question) -> Figures:
    """The providers report; it is by provider if nobody says otherwise, and by time one row for each of both.

    `tried` and what follows from it are of searches: the pages of an extract may be of several providers.
    """
    firsts = [{**fact, "kind": "tried"} for own in streams(facts).values() for fact in _firsts(own)]
    lines = [
        {**line, "kind": "bill"} for line in bill_lines(facts) if line["what"] != "saved" and _is_money(line)
    ]
    told = asked.within([*(fact for fact in facts if _is_of_provider(fact)), *firsts, *lines])
    times = asked.groups(told) if asked.by in TIMES else {"": told}
    newest_first = of(asked.within(facts), *CIRCUIT)[::-1]
    newest_first.sort(key=lambda fact: -float(fact["at"]))
    return {
        "by": asked.by or "provider",
        "rows": [
            {
                **({asked.by: time} if asked.by in TIMES else {}),
                "provider": name,
                **_provider(own),
                **({} if asked.by in TIMES else {"p95_s": _p95_s(own)}),
            }
            for time, found in times.items()
            for name, own in by_provider(found).items()
        ],
        "circuits": [
            {
                "changed_at": fact["at"],
                "provider": fact["provider"],
                "change": fact["kind"].partition(".")[2],
                "reason": fact.get("reason", ""),
                "cooldown_s": fact.get("cooldown_s"),
                "openings": fact.get("openings", 1) if fact["kind"] == "circuit.opened" else None,
                "instance": fact["instance"],
            }
            for fact in newest_first[:LIMIT]
        ],
    }


def _is_of_provider(fact: Fact) -> bool:
    about = (*OUTCOMES, "provider.skipped", "retry.scheduled", "result.rejected", *CIRCUIT)
    about += ("attempt.hedged", "provider.key_rested")
    return fact["kind"] in about or _is_won(fact)


def _is_won(fact: Fact) -> bool:
    return fact["kind"] == "request.completed" and (fact["operation"], fact["cache"]) == ("search", "miss")


def _firsts(own: Sequence[Fact]) -> list[Fact]:
    """Of a search the first outcome at each provider."""
    found: dict[str, Fact] = {}
    for fact in of(own, *OUTCOMES):
        if fact["operation"] == "search":
            found.setdefault(fact["provider"], fact)
    return list(found.values())


def _provider(own: Sequence[Fact]) -> Figures:
    attempts = [one for one in durations(own) if one["stage"] == "attempt"]
    won = [fact for fact in own if _is_won(fact)]
    tried = len(of(own, "tried"))
    return {
        **calls(own),
        "failures": tally(of(own, "attempt.failed"), "reason"),
        "retries": len(of(own, "retry.scheduled")),
        "hedged": len(of(own, "attempt.hedged")),
        "keys_rested": tally(of(own, "provider.key_rested"), "reason"),
        "rejected": sum(fact["dropped"] for fact in of(own, "result.rejected")),
        "tried": tried,
        "won": len(won),
        "win_ratio": share(len(won), tried),
        "fallbacks": marked(won, "fallback"),
        "fallback_ratio": share(marked(won, "fallback"), len(won)),
        "mean_s": mean_s(attempts),
        **money(of(own, "bill"), "spent", "assumed"),
        "circuit": circuit(own),
    }


def _p95_s(own: Sequence[Fact]) -> float | None:
    return quantile([one for one in durations(own) if one["stage"] == "attempt"], 0.95)
