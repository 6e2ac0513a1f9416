"""What the simulated Tavily does beside searches: maps, crawls, researches, feedback, as in its contract.

A research is `pending` when it is begun, `in_progress` when it is first asked for, and `completed` from then
on; one whose input contains `doomed` ends as `failed`. It is known to the key it was begun with and no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.support.generated import page_text, seed_of, sentence
from tests.support.http_server import Answer
from tests.support.simulator import json_answer

PATHS = ("/map", "/crawl", "/research", "/feedback")

REQUIRED = {"/map": "url", "/crawl": "url", "/research": "input"}

RESEARCH_CREDITS = {"mini": 7, "pro": 31, "auto": 12}

_STATUS_PATH = re.compile(r"/research/([^/]+)")


class Relays:
    """The state of all that; `created_status` is what a new research is answered with."""

    def __init__(self) -> None:
        self.created_status = 201
        self.credits = {"map": 0, "crawl": 0, "research": 0}
        """Credits spent."""
        self.feedback: list[dict[str, Any]] = []
        """What was said, newest last."""
        self._tasks: dict[str, dict[str, Any]] = {}

    @property
    def spent(self) -> int:
        """All credits together."""
        return sum(self.credits.values())

    def takes(self, path: str) -> bool:
        """Whether this is one of its paths."""
        return path in PATHS or _STATUS_PATH.fullmatch(path) is not None

    def method(self, path: str) -> str:
        """The method of a path."""
        return "POST" if path in PATHS else "GET"

    def refusal(self, path: str, body: Any) -> str:
        """Why the values are none, in Tavily's words; `""` if they are."""
        if path in ("/map", "/crawl"):
            if not body.get("url"):
                return "[400] No starting url provided"
            if not 1 <= body.get("max_depth", 1) <= 5 or not 10 <= body.get("timeout", 150) <= 150:
                return "[400] Invalid request."
        if path == "/research" and body.get("model", "auto") not in RESEARCH_CREDITS:
            return "Invalid model. Must be one of: mini, pro, auto"
        return ""

    def respond(self, path: str, key: str, body: Any, query: str) -> Answer:
        """The proper answer."""
        if (found := _STATUS_PATH.fullmatch(path)) is not None:
            return self._status(found[1], key, wants_usage="include_usage=true" in query)
        if path == "/feedback":
            self.feedback.append(dict(body))
            return json_answer({"success": True, "feedback_id": "fb-1", "response_time": 0.1})
        return self._research(body, key) if path == "/research" else self._pages(path[1:], body)

    def _pages(self, operation: str, body: Mapping[str, Any]) -> Answer:
        url = str(body["url"])
        base = url if "://" in url else f"https://{url}"
        if "forbidden" in base:
            return json_answer({"detail": {"error": "[403] URL is not supported"}}, 403)
        count = min(int(body.get("limit", 50)), 12)
        urls = [f"{base.rstrip('/')}/{number}" for number in range(count)]
        price = -(-count // 10) * (2 if body.get("instructions") else 1)
        results: list[Any] = list(urls)
        if operation == "crawl":
            price += -(-count // 5) * (2 if body.get("extract_depth") == "advanced" else 1)
            results = [_page(one, body) for one in urls]
        self.credits[operation] += price
        content = {
            "base_url": base,
            "results": results,
            "response_time": 0.9,
            "request_id": f"{seed_of(base):08x}-0000-4000-8000-{seed_of(operation):012x}",
        }
        return json_answer(content | ({"usage": {"credits": price}} if body.get("include_usage") else {}))

    def _research(self, body: Mapping[str, Any], key: str) -> Answer:
        model, number = body.get("model", "auto"), len(self._tasks)
        task = f"{number:08x}-0000-4000-8000-{seed_of(body['input']):012x}"
        self.credits["research"] += RESEARCH_CREDITS[model]
        if body.get("stream"):
            return _stream(task, body["input"])
        self._tasks[task] = {"key": key, "looks": 0, "model": model, "input": body["input"]}
        content = {
            "request_id": task,
            "created_at": "2026-11-10T17:00:00Z",
            "status": "pending",
            "input": body["input"],
            "model": model,
            "response_time": 0.3,
        }
        return json_answer(content, self.created_status)

    def _status(self, task: str, key: str, *, wants_usage: bool) -> Answer:
        known = self._tasks.get(task)
        if known is None or known["key"] != key:
            return json_answer({"detail": {"error": "Research task not found"}}, 404)
        known["looks"] += 1
        if known["looks"] == 1:
            return json_answer({"request_id": task, "status": "in_progress", "response_time": 0.1}, 202)
        content: dict[str, Any] = {"request_id": task, "status": "completed", "response_time": 0.1}
        if "doomed" in known["input"]:
            return json_answer(content | {"status": "failed"})
        content |= {
            "content": f"# Report\n\n{sentence(known['input'])}",
            "sources": [{"title": "Almanac", "url": "https://almanac.example/a", "favicon": ""}] * 2,
            "created_at": "2026-11-10T17:00:00Z",
        }
        usage = {"usage": {"credits": RESEARCH_CREDITS[known["model"]]}} if wants_usage else {}
        return json_answer(content | usage)


def _page(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    page = {"url": url, "raw_content": page_text(body.get("instructions") or "page", url)}
    return page | ({"favicon": f"{url}/favicon.ico"} if body.get("include_favicon") else {})


def _stream(task: str, text: str) -> Answer:
    """Four events of the making of a report, the last one its end."""
    pieces = [sentence(text, number) for number in range(3)]
    events = [{"id": task, "object": "chat.completion.chunk", "delta": {"content": one}} for one in pieces]
    lines = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
    return Answer(headers={"Content-Type": "text/event-stream"}, body=lines + b"event: done\n\n")
