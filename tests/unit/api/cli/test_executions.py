"""`amos executions`: it turns pages until there is enough, and fits the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from api.cli.executions import filled_page
from api.cli.executions_view import executions_view
from orchestrator.executions import FoundExecution, FoundExecutions
from tests.support.rendering import rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = "01a22de9-6149-75cb-982b-b0265142be53"


def execution(position: int, **changes: object) -> FoundExecution:
    """A search that Tavily answered."""
    plain = FoundExecution(
        position=position,
        execution_id=ID,
        recorded_at=1_795_000_000.0,
        operation="search",
        door="http",
        client="website",
        topic="general",
        provider="tavily",
        cache="miss",
        outcome="answered",
        error="",
        duration_s=0.5,
        text="tide tables",
    )
    return msgspec.structs.replace(plain, **changes)


class Pages:
    """A gateway with these pages; `asked` are the parameters it was asked with."""

    def __init__(self, pages: Sequence[FoundExecutions]) -> None:
        self.asked: list[dict[str, str]] = []
        self._pages = iter(pages)

    async def executions(self, parameters: dict[str, str]) -> bytes:
        """The next page."""
        self.asked.append(parameters)
        return msgspec.json.encode(next(self._pages))


def pages_of(*positions: Sequence[int]) -> Pages:
    """Pages with executions at these positions, each of which says where to go on, but for the last."""
    cursors = [*range(100 - len(positions) + 1, 100), None]
    return Pages(
        [
            FoundExecutions(
                executions=tuple(map(execution, page)), next=cursor, searched_since=float(cursor or 0)
            )
            for page, cursor in zip(positions, cursors, strict=True)
        ]
    )


async def test_pages_are_turned_until_there_is_enough():
    """A page that is not full is filled from the next ones, with what is missing and no more."""
    gateway = pages_of([9], [], [8, 7], [6])

    found = await filled_page(gateway, {"text": "tide", "limit": "3"}, time.monotonic() + 60)  # type: ignore[arg-type]

    assert [one.position for one in found.executions] == [9, 8, 7]
    assert [(asked.get("before"), asked["limit"]) for asked in gateway.asked] == [
        (None, "3"),
        ("97", "2"),
        ("98", "2"),
    ]
    assert (found.next, found.searched_since) == (99, 99.0)


async def test_pages_are_turned_to_the_last():
    """Where there are fewer than wanted the answer says that there are no more."""
    found = await filled_page(pages_of([9], [8]), {}, time.monotonic() + 60)  # type: ignore[arg-type]

    assert ([one.position for one in found.executions], found.next) == ([9, 8], None)


async def test_nobody_waits_for_ever():
    """When the time is up the answer says where to go on."""
    found = await filled_page(pages_of([], [8]), {}, time.monotonic())  # type: ignore[arg-type]

    assert (found.executions, found.next) == ((), 99)


def test_a_table_shows_who_answered_or_why_nobody_did():
    """A line for each on a wide terminal; what strangers wrote commands nothing there."""
    failed = execution(2, outcome="failed", error="rate_limited", provider="", cache="", text=None)
    found = [execution(3, cache="l1", text="tide\x1b[2J"), failed, execution(1, client="")]

    text = rendered(executions_view(FoundExecutions(executions=tuple(found), searched_since=0.0)), width=160)

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "recorded client operation answer took execution asked"
    assert lines[2].endswith(f"website search tavily · l1 500 ms {ID} tide\ufffd[2J")
    assert lines[3].endswith(f"website search rate_limited 500 ms {ID} -")
    assert lines[4].endswith(f"- search tavily 500 ms {ID} tide tables")


def test_a_narrow_terminal_has_two_lines_for_each():
    """No id is cut, because it is what the next command wants."""
    found = FoundExecutions(executions=(execution(1, text="tide " * 100),), searched_since=0.0)

    lines = rendered(executions_view(found), width=80).splitlines()

    assert lines[0].endswith("  website  search  tavily  500 ms")
    assert lines[1].startswith(f"  {ID}  tide tide")


def test_nothing_found_is_a_sentence():
    """An empty page is no empty frame."""
    assert rendered(executions_view(FoundExecutions(searched_since=0.0))).strip() == "No execution fits."
