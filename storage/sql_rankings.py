"""The largest sums over a window, exact, without adding up every key of it.

A month has hundreds of thousands of rows of queries, and a ranking shows twenty. Whoever is among the first
twenty with a total of T or more must stand out somewhere: in some day or hour with at least its part of T.
So, with an index of each day's rows by the measure (after the three-phase algorithm TPUT, Cao and Wang, PODC
2004, with each stretch of time weighted by its length):

1. The leaders of single days are added up. The twentieth total is a floor: whoever has less does not win.
2. Only rows with their part of the floor are read. Each row not read has less than that part, so most keys
   cannot reach the floor.
3. Those that can are added up.

A measure that is almost always zero has few rows, and they are simply added up. In the worst case, all totals
alike, every row is read once.
"""

# ruff: noqa: S608 - what is put into the SQL is a name of ours or a number

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.projections.fold import DAY_S, HOUR_S, Counts, Rollup
from orchestrator.reports.windows import Piece

LEADING_DAYS = 31
"""chosen: of a longer window the last ones lead; the floor is then a little lower."""

LEADERS_MORE = 200
"""chosen: so many keys of a day lead beside the `limit`, because those at its top may all be alike."""

FEW = 3
"""chosen: where so much in a day is enough nearly every row is a candidate, and adding all up is cheaper."""

KEYS_AT_ONCE = 10_000
"""chosen: well below the 32,766 variables of a statement of SQLite (limits.html), each key being two."""

Ranked: TypeAlias = list[tuple[str, Counts]]
"""Keys and the sums of all measures, the largest first."""


class Ranking:
    """Ranks the keys of a rollup that has one dimension, and is kept by the hour and the day."""

    def __init__(self, rollup: Rollup, measure: str, limit: int, generation: int) -> None:
        (self._key,) = rollup.dimensions
        self._table = f"rollup_{rollup.name}"
        self._measures = rollup.measures
        self._measure, self._limit, self._generation = measure, limit, generation

    async def totals(self, connection: AsyncConnection, pieces: Sequence[Piece]) -> Ranked:
        """The first `limit` keys that have more than zero; of equals the one that sorts first."""
        starts = {span_s: await self._starts(connection, pieces, span_s) for span_s in (DAY_S, HOUR_S)}
        leaders = await self._rows_of(connection, self._leaders(starts[DAY_S])) if starts[DAY_S] else []
        known = await self._add_up(connection, starts, [row[0] for row in leaders])
        candidates = await self._rows_of(connection, self._candidates(starts, self._floor(known)))
        # Those that may have most come first, so the floor rises and the rest need not be added up.
        begin, size = 0, 2 * self._limit
        while begin < len(candidates) and candidates[begin][1] >= self._floor(known):
            some = [row[0] for row in candidates[begin : begin + size] if row[0] not in known]
            known |= await self._add_up(connection, starts, some)
            begin, size = begin + size, min(2 * size, KEYS_AT_ONCE)
        return self._ranked(known)

    async def _starts(self, connection: AsyncConnection, pieces: Sequence[Piece], span_s: int) -> list[int]:
        """The beginnings of the stretches of one length, as far as there are any rows."""
        of_span = f"(start) FROM {self._rows(span_s)}"
        query = f"SELECT (SELECT min{of_span}), (SELECT max{of_span})"
        found: Any = (await connection.execute(text(query))).one()
        first, last = found
        if first is None:
            return []
        return [
            start
            for piece in pieces
            if piece.span_s == span_s
            for start in range(max(piece.low, first), min(piece.high, last + 1), span_s)
        ]

    async def _rows_of(self, connection: AsyncConnection, query: str) -> Sequence[Any]:
        return (await connection.execute(text(query))).all()

    async def _add_up(
        self, connection: AsyncConnection, starts: Mapping[int, Sequence[int]], keys: Sequence[str]
    ) -> dict[str, Counts]:
        """The totals of these keys over all the stretches."""
        if not keys:
            return {}
        rows = await connection.execute(self._totals(starts), {"keys": keys})
        return {row[0]: tuple(row[1:]) for row in rows}

    def _ranked(self, totals: Mapping[str, Counts]) -> Ranked:
        """The first `limit` of some totals, without zeros."""
        place = self._measures.index(self._measure)
        ranked = sorted(totals.items(), key=lambda total: (-total[1][place], total[0]))
        return [total for total in ranked[: self._limit] if total[1][place] > 0]

    def _floor(self, totals: Mapping[str, Counts]) -> int:
        """What a key must have to be ranked, as far as these totals tell."""
        ranked = self._ranked(totals)
        return ranked[-1][1][self._measures.index(self._measure)] if len(ranked) == self._limit else 1

    def _leaders(self, days: Sequence[int]) -> str:
        """The first keys of the days, by what they have in the days in which they lead."""
        of_days = " UNION ALL ".join(
            f"SELECT * FROM (SELECT {self._key}, {self._measure} AS part FROM {self._rows(DAY_S, [day])}"
            f" AND {self._measure} > 0 ORDER BY {self._measure} DESC"
            f" LIMIT {self._limit + LEADERS_MORE}) AS day_{day}"
            for day in days[-LEADING_DAYS:]
        )
        return (
            f"SELECT {self._key} FROM ({of_days}) AS days GROUP BY {self._key}"
            f" ORDER BY sum(part) DESC LIMIT {2 * self._limit}"
        )

    def _candidates(self, starts: Mapping[int, Sequence[int]], floor: int) -> str:
        """The keys that may have the floor or more, and how much at most; those with most come first."""
        length_s = sum(span_s * len(found) for span_s, found in starts.items())
        least = {span_s: -(-floor * span_s // max(length_s, 1)) for span_s in starts}
        if max(least.values()) <= FEW:
            least = dict.fromkeys(starts, 1)
        parts = " UNION ALL ".join(
            f"SELECT {self._key}, {self._measure} - {least[span_s] - 1} AS part FROM"
            f" {self._rows(span_s, found)} AND {self._measure} >= {least[span_s]} AND {self._measure} > 0"
            for span_s, found in starts.items()
        )
        unseen = sum((least[span_s] - 1) * len(found) for span_s, found in starts.items())
        most = f"CAST(sum(part) + {unseen} AS BIGINT)"
        return (
            f"SELECT {self._key}, {most} FROM ({parts}) AS parts GROUP BY {self._key}"
            f" HAVING sum(part) >= {floor - unseen} ORDER BY sum(part) DESC, {self._key}"
            # Without anything unseen these are the totals, and no more of them can be among the first.
            + ("" if unseen else f" LIMIT {self._limit}")
        )

    def _totals(self, starts: Mapping[int, Sequence[int]]) -> TextClause:
        """The sums of all measures for some keys."""
        rows = " UNION ALL ".join(
            f"SELECT {self._key}, {', '.join(self._measures)} FROM {self._rows(span_s, found)}"
            f" AND {self._key} IN :keys"
            for span_s, found in starts.items()
        )
        sums = ", ".join(f"CAST(sum({measure}) AS BIGINT)" for measure in self._measures)
        query = f"SELECT {self._key}, {sums} FROM ({rows}) AS parts GROUP BY {self._key}"
        return text(query).bindparams(bindparam("keys", expanding=True))

    def _rows(self, span_s: int, starts: Sequence[int] | None = None) -> str:
        """The table with the condition for the rows of one span, of all stretches or of these."""
        condition = f"{self._table} WHERE generation = {self._generation} AND span_s = {span_s}"
        if starts is None:
            return condition
        # NULL is in no list, so nothing is found where there are no stretches.
        return f"{condition} AND start IN ({', '.join(map(str, starts)) or 'NULL'})"
