"""The fields of the Elastic Common Schema that log lines use, and what is wrong with a line by it.

Names and types are those of the field reference of ECS 9.4; below `amos` are our own, which a schema of
fields leaves room for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

VERSION = "9.4.0"

FIELDS = {
    "@timestamp": "date",
    "message": "match_only_text",
    "ecs.version": "keyword",
    "log.level": "keyword",
    "log.logger": "keyword",
    "service.name": "keyword",
    "service.version": "keyword",
    "service.node.name": "keyword",
    "process.pid": "long",
    "event.kind": "keyword",
    "event.category": "keyword[]",
    "event.type": "keyword[]",
    "event.action": "keyword",
    "event.dataset": "keyword",
    "event.duration": "long",
    "event.id": "keyword",
    "event.outcome": "keyword",
    "event.reason": "keyword",
    "error.code": "keyword",
    "error.message": "match_only_text",
    "error.stack_trace": "wildcard",
    "error.type": "keyword",
    "http.request.method": "keyword",
    "http.response.status_code": "long",
    "trace.id": "keyword",
    "span.id": "keyword",
    "user.name": "keyword",
}

OURS = {
    "amos.account": "keyword",
    "amos.assumed.amount": "double",
    "amos.assumed.unit": "keyword",
    "amos.assumed.usd_micros": "long",
    "amos.attempts": "long",
    "amos.cache": "keyword",
    "amos.cause": "keyword",
    "amos.client": "keyword",
    "amos.cost.amount": "double",
    "amos.cost.unit": "keyword",
    "amos.cost.usd_micros": "long",
    "amos.degraded": "boolean",
    "amos.dialect": "keyword",
    "amos.door": "keyword",
    "amos.failures": "keyword[]",
    "amos.fallback": "boolean",
    "amos.key_id": "keyword",
    "amos.kind": "keyword",
    "amos.percent": "long",
    "amos.period": "keyword",
    "amos.provider": "keyword",
    "amos.results": "long",
    "amos.saved.amount": "double",
    "amos.saved.unit": "keyword",
    "amos.saved.usd_micros": "long",
    "amos.stale": "boolean",
    "amos.stale_cause": "keyword",
    "amos.store": "keyword",
    "amos.tier": "keyword",
    "amos.topic": "keyword",
}

ALLOWED = {
    "ecs.version": {VERSION},
    "event.kind": {"event"},
    "event.outcome": {"success", "failure", "unknown"},
    "event.category": {"authentication", "configuration", "iam", "process", "web"},
    "event.type": {"access", "change", "creation", "deletion", "end", "error", "start"},
    "log.level": {"debug", "info", "warning", "error", "critical"},
}
"""Values that the reference, or the standard `logging`, lists."""

REQUIRED = ("@timestamp", "message", "ecs.version", "log.level", "log.logger", "service.name")

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""RFC 3339, in UTC."""

_PYTHON = {"long": int, "double": (int, float), "boolean": bool, "keyword[]": list}


def flattened(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested fields."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from flattened(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, inner


def read(line: bytes) -> dict[str, Any]:
    """A line's fields by their dotted names."""
    return dict(flattened(json.loads(line)))


def faults(line: bytes) -> list[str]:
    """What is wrong with a line; nothing of a good one."""
    found = [] if line.endswith(b"\n") and line.count(b"\n") == 1 else ["it is not one line"]
    if any(byte < 0x20 or byte == 0x7F for byte in line[:-1]):
        found.append("it holds a control character")
    fields = read(line)
    found += [f"{name} is missing" for name in REQUIRED if name not in fields]
    for name, value in fields.items():
        kind = {**FIELDS, **OURS}.get(name)
        if kind is None:
            found.append(f"{name} is unknown")
        elif not isinstance(value, _PYTHON.get(kind, str)) or (kind == "long" and isinstance(value, bool)):
            found.append(f"{name} is no {kind}")
        values = value if isinstance(value, list) else [value]
        if name in ALLOWED and not ALLOWED[name] >= set(values):
            found.append(f"{name} may not be {value}")
        if name != "error.stack_trace" and any(isinstance(v, str) and not v.isprintable() for v in values):
            found.append(f"{name} is not printable")
    if not TIMESTAMP.fullmatch(str(fields.get("@timestamp"))):
        found.append("@timestamp is not in RFC 3339")
    return found
