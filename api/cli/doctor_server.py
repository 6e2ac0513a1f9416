"""The part of `amos doctor --url` that asks a running server: its components, its process, its last hour."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from api.cli.connection import credential
from api.cli.doctor_checks import JOURNAL_FULL_RATIO
from api.cli.doctor_finding import FAILURE, OK, UNCONFIGURED, WARNING, Finding
from api.cli.doctor_lately import WINDOW, check_budget, check_lately
from api.cli.failure import CommandError
from api.cli.over_http import HttpConnection, open_client
from api.quantities import size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

STATUSES = {"ok": OK, "degraded": WARNING, "down": FAILURE, "unconfigured": UNCONFIGURED}
"""The words of /health in those of the doctor."""

_FIGURE = re.compile(rb"^amos_journal_(backlog|max)_bytes(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


async def check_server(url: str, key_file: Path | None) -> list[Finding]:
    """What a server says of itself, and what its record says of the last hour. One out of reach is a finding.

    Raises CommandError for an address or a key file that cannot be used.
    """
    async with open_client(url, credential(key_file)) as server:
        found: list[Finding] = []
        try:
            async for finding in _ask(server):
                found.append(finding)  # noqa: PERF401 - what was told before a failure is kept
        except CommandError as error:
            # Of a server that told nothing of itself, nothing else is to be had either.
            name = "server" if not found else "record"
            step = error.failure.next_step
            found.append(Finding(name=name, status=FAILURE, detail=error.failure.sentence, next_step=step))
    return found


async def _ask(server: HttpConnection) -> AsyncIterator[Finding]:
    health = await server.health()
    is_down = health["status"] == "down"
    detail = "It answers no searches." if is_down else "it serves"
    yield Finding(
        name="server", status=FAILURE if is_down else OK, detail=detail, effect=_DOWN if is_down else ""
    )
    for component in health["components"]:
        if not component["name"].startswith("budget:"):  # the budgets below say more
            yield _component(component)
    for finding in _journal(await server.instance_metrics()):
        yield finding
    for finding in check_lately(json.loads(await server.report("health", {"since": WINDOW}))):
        yield finding
    for finding in check_budget(json.loads(await server.budget(reconcile=False))):
        yield finding


_DOWN = "Every search gets a 503."


def _component(seen: Mapping[str, Any]) -> Finding:
    status = STATUSES.get(seen["status"], WARNING)
    is_bad = status in {WARNING, FAILURE}
    return Finding(
        name=seen["name"],
        status=status,
        since=seen["since"] if is_bad else 0.0,
        detail=seen["detail"],
        next_step=seen["advice"],
    )


def _journal(figures: bytes) -> list[Finding]:
    """A journal that fills up, before it is full."""
    found = {name: float(value) for name, value in _FIGURE.findall(figures)}
    backlog, most = found.get(b"backlog", 0.0), found.get(b"max", 0.0)
    if not most or backlog < most * JOURNAL_FULL_RATIO:
        return []
    return [
        Finding(
            name="journal size",
            status=WARNING,
            detail=f"{size(backlog)} of {size(most)} are in use",
            next_step="Nothing brings it into the database: see `recorder` and `database`.",
        )
    ]
