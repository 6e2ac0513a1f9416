"""Cost: what providers billed, what they may have billed, and what the cache has saved. A view of the ledger.

- *spent* is what providers billed for attempts, whether they gave an answer or not and whatever became of the
  call they were made for.
- *assumed* is the estimate of attempts that may have been billed and whose bill never came: their outcome is
  unknown, or their process died, or they are still under way.
- *saved* is what cached answers had cost when they were fetched.

Money is in millionths of a US dollar. `units` has the providers' own: credits, tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.events import MILLION
from orchestrator.projections.ledger import LedgerRollup
from orchestrator.reports.report import TIMES, Need, Row, Sums, grouped, grouped_by, rows_of, total


class CostReport:
    """The totals, and one row for each value of `by`."""

    name = "cost"
    by = ("provider", "client", "operation", *TIMES)

    def needs(self, by: str) -> tuple[Need, ...]:
        """The ledger, with the providers' units."""
        dimensions = ("provider", "unit") if by in {"", "provider"} else (by, "provider", "unit")
        return (Need(LedgerRollup(), dimensions),)

    def render(self, sums: Sequence[Sums], by: str, limit: int) -> dict[str, Any]:
        """What the counts say."""
        del limit
        rows = rows_of(self.needs(by)[0], sums[0])
        return {
            "by": by,
            **_bill(rows),
            "rows": [
                {by: value, **_bill(found)}
                for value, found in grouped(rows, by).items()
                if _is_something(found)
            ]
            if by
            else [],
        }


def money(rows: Sequence[Row]) -> dict[str, int]:
    """What rows of the ledger add up to, in millionths of a US dollar."""
    return {
        "spent_usd_micros": total(rows, "spent_usd_micros"),
        "assumed_usd_micros": total(rows, "assumed_usd_micros"),
        "saved_usd_micros": total(rows, "saved_usd_micros"),
    }


def _bill(rows: Sequence[Row]) -> dict[str, Any]:
    return {**money(rows), "calls": total(rows, "calls"), "units": _units(rows)}


def _units(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The amounts of each provider in its own unit; where all are nothing, the line is left out."""
    found = []
    for (provider, unit), of_unit in grouped_by(rows, "provider", "unit").items():
        amounts = {name: total(of_unit, name) / MILLION for name in ("spent", "assumed", "saved")}
        if any(amounts.values()):
            found.append({"provider": provider, "unit": unit, **amounts})
    return found


def _is_something(rows: Sequence[Row]) -> bool:
    """Whether any sum is not zero: an intent that is settled leaves a row of zeros in its minute."""
    return any(total(rows, name) for name in LedgerRollup.measures)
