"""SearXNG, simulated: its JSON as searx/webutils.py writes it, and its ways to refuse (searx/webapp.py).

A query that SearXNG would send elsewhere (`!!bang`) is redirected, a parameter it does not know is a 400, a
format that is not switched on a 403. Results follow from the query alone.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from typing_extensions import override

from tests.support.faults import Fault
from tests.support.generated import hosts_for, seed_of, sentence, title_for
from tests.support.http_server import Answer, Request
from tests.support.simulator import Simulator, html_answer, json_answer, run

LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-zA-Z]{2})?|all|auto")
RANGES = ("day", "week", "month", "year")
ENGINES = ("brave", "duckduckgo", "wikipedia")
PAGE_RESULTS = 10
UNRESPONSIVE = [["brave", "Suspended: too many requests"], ["duckduckgo", "timeout"]]


class SearxngSimulator(Simulator):
    """SearXNG's search on a port of its own. `formats` are those its settings.yml switches on."""

    VARIANTS = frozenset(
        {
            *("empty", "blind", "partly_blind", "answers_of_old", "answers_of_new", "infobox", "no_scores"),
            *("odd_members", "with_images", "html"),
        }
    )

    def __init__(self, *, delay_s: float = 0.0, port: int = 0) -> None:
        super().__init__(delay_s=delay_s, port=port)
        self.formats = {"html", "json"}
        self.token = ""
        """What the header `X-Token` must say, as a proxy in front may demand; `""` demands nothing."""

    @override
    def respond(self, request: Request, body: Any) -> Answer:
        params = params_of(request)
        if request.path != "/search":
            return html_answer(404)
        if self.token and request.headers.get("x-token") != self.token:
            return html_answer(401)
        if params.get("format", "html") not in self.formats:
            return html_answer(403)
        if not params.get("q"):
            return self.error(request, Fault.status(400))
        if re.search(r"(?<!\S)!!\S", params["q"]):
            return Answer(status=302, headers={"Location": "https://elsewhere.example/"})
        is_known = LANGUAGE.fullmatch(params.get("language", "all")) is not None
        is_known &= params.get("time_range", "day") in RANGES and params.get("safesearch", "0") in "012"
        return json_answer(_answer(params)) if is_known else self.error(request, Fault.status(400))

    @override
    def error(self, request: Request, fault: Fault) -> Answer:
        if fault.code in (400, 500):
            return json_answer({"error": fault.text or "search error"}, fault.code)
        return html_answer(fault.code)

    @override
    def vary(self, answer: Answer, name: str, body: Any) -> Answer:
        if name == "html":
            return html_answer(200)
        content = msgspec.json.decode(answer.body)
        content.update(_changes(content)[name])
        return json_answer(content)

    @override
    def texts(self, request: Request, body: Any) -> str:
        return params_of(request).get("q", "")


def params_of(call: Any) -> dict[str, str]:
    """The parameters of a request or of a recorded call."""
    return dict(parse_qsl(call.query, keep_blank_values=True))


def _answer(params: dict[str, str]) -> dict[str, Any]:
    query = params["q"]
    return {
        "query": query,
        "number_of_results": 0,
        "results": [
            _result(query, number, host) for number, host in enumerate(hosts_for(query, PAGE_RESULTS))
        ],
        "answers": [],
        "corrections": [],
        "infoboxes": [],
        "suggestions": [f"{query} today"],
        "unresponsive_engines": [],
    }


def _result(query: str, number: int, host: str) -> dict[str, Any]:
    url = f"https://{host}/{number}/{seed_of(query):08x}"
    return {
        "url": url,
        "title": title_for(query, host),
        "content": sentence(query, number),
        "publishedDate": "2026-11-10T00:00:00" if number % 2 else None,
        "thumbnail": "",
        "engine": ENGINES[number % 3],
        "template": "default.html",
        "parsed_url": ["https", host, f"/{number}/{seed_of(query):08x}", "", "", ""],
        "img_src": "",
        "priority": "",
        "engines": list(ENGINES[: 1 + number % 3]),
        "positions": [number + 1],
        # Unbounded, and not quite in the order of the results, which are grouped by category.
        "score": round(9.0 / (number + 1) + (0.5 if number % 3 == 2 else 0.0), 3),
        "category": "general",
    }


def _changes(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A good answer's members in each of its known other forms."""
    results: list[dict[str, Any]] = content["results"]
    new = {"answer": "At noon.", "url": "https://almanac.example/", "engine": "wikipedia"}
    box = {"infobox": "Tide", "id": "https://wiki.example/tide", "content": "The rise and fall of the sea."}
    return {
        "empty": {"results": []},
        "blind": {"results": [], "unresponsive_engines": UNRESPONSIVE},
        "partly_blind": {"unresponsive_engines": UNRESPONSIVE},
        "answers_of_old": {"answers": ["At noon."]},
        "answers_of_new": {"answers": [new]},
        "infobox": {"infoboxes": [box]},
        "no_scores": {"results": [{k: v for k, v in one.items() if k != "score"} for one in results]},
        "odd_members": {
            "results": [
                {"url": results[0]["url"], "title": None, "content": None, "score": "high"},
                {"title": "Without a URL"},
                results[0],
                {**results[1], "publishedDate": 20261110, "img_src": None},
            ]
        },
        "with_images": {
            "results": [{**one, "img_src": "//images.example/1.png"} for one in results[:1]] + results[1:]
        },
    }


if __name__ == "__main__":
    run(SearxngSimulator)
