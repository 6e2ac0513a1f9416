"""docs/architecture.md tells of every box of the first drawing where it is, and which test proves it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"

BOXES = (
    *("MCP client", "CLI", "HTTP API", "Python SDK", "nginx/HAProxy", "rate limiter", "API keys", "server"),
    *("orchestrator", "memory manager", "request validator", "health monitor", "L1", "L2"),
    *("TTL/cleanup/statistics", "tool registry with dynamic registration", "execution engine"),
    *("fallback chain", "result validator", "metrics collector", "health checks", "alerts"),
    *("log aggregation", "`.env` with validation", "Sentinel", "Cluster", "Prometheus", "Grafana"),
    *("Alertmanager", "Filebeat/ELK", "connection pooling", "circuit breaker", "retry", "cache warming"),
    *("request signing", "HTTPS", "secure headers", "masked logs", "sanitised errors"),
)

MAY_BE_MISSING = {"request signing"}


def rows() -> dict[str, tuple[str, str]]:
    """Of each box its files and its tests, as the table has them."""
    table = PAGE.read_text(encoding="utf-8").partition("| box | where | proved by |\n|---|---|---|\n")[2]
    lines = [line.strip("|").split("|") for line in table.partition("\n\n")[0].splitlines()]
    return {box.strip(): (files, tests) for box, files, tests in lines}


def named(cell: str) -> list[str]:
    """What a cell names: files, or tests as pytest is told of them."""
    return re.findall(r"`([^`]+)`", cell)


def lost(name: str) -> str:
    """The file, or the test in it, that is not there; nothing if all is."""
    file, _, test = name.partition("::")
    path = ROOT / file
    if not path.is_file():
        return file
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if test else ()
    is_there = any(
        isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and one.name == test for one in found
    )
    return name if test and not is_there else ""


def test_every_box_has_its_row():
    """No box of the drawing is left out, and none is there twice."""
    assert tuple(rows()) == BOXES


@pytest.mark.parametrize("box", BOXES)
def test_a_box_is_where_it_is_said_to_be(box: str):
    """Each box names a file and a test, and both exist; only what is agreed to come later may say so."""
    files, tests = rows()[box]

    assert (files.strip() == "not yet") == (box in MAY_BE_MISSING)
    assert box in MAY_BE_MISSING or (named(files) and named(tests))
    assert all(name.startswith("tests/") for name in named(tests))
    assert [lost(name) for name in (*named(files), *named(tests)) if lost(name)] == []


@pytest.mark.parametrize("name", ["api/no.py", "tests/no.py::test_x", "tests/test_docs_boxes.py::test_no"])
def test_what_is_not_there_is_found(name: str):
    """A file that was moved and a test that was renamed are told."""
    assert lost(name)
