"""A simulated wiki on MediaWiki: `GET /w/rest.php/v1/search/page`, as its REST API reference describes it.

Every query has pages but those that hold no word; a query with `zq` in it has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from typing_extensions import override

from tests.support.faults import Fault
from tests.support.http_server import Answer, Request
from tests.support.simulator import Simulator, json_answer

LIMIT_MAX = 100
"""The reference: "Maximum number of search results to return, between 1 and 100. Default: 50"."""


class WikiSimulator(Simulator):
    """The wiki. Nobody shows it a key."""

    @override
    def respond(self, request: Request, body: Any) -> Answer:
        if request.path != "/w/rest.php/v1/search/page":
            return self._error(404, "rest-no-match")
        asked = {name: values[0] for name, values in parse_qs(request.query).items()}
        limit = int(asked.get("limit", "50"))
        if not asked.get("q", "").strip() or not 1 <= limit <= LIMIT_MAX:
            return self._error(400, "parameter-validation-failed")
        words = re.findall(r"\w+", asked["q"])
        found = 0 if not words or words[0].startswith("zq") else min(limit, 3)
        return json_answer({"pages": [_page(number, words[0]) for number in range(1, found + 1)]})

    @override
    def error(self, request: Request, fault: Fault) -> Answer:
        return self._error(fault.code, "internal-error")

    @override
    def vary(self, answer: Answer, name: str, body: Any) -> Answer:
        return json_answer({"pages": []})

    @override
    def texts(self, request: Request, body: Any) -> str:
        return " ".join(parse_qs(request.query).get("q", []))

    def _error(self, status: int, key: str) -> Answer:
        error: Mapping[str, Any] = {"errorKey": key, "messageTranslations": {"en": "No."}, "httpCode": status}
        return json_answer(error, status=status)


def _page(number: int, word: str) -> dict[str, Any]:
    return {
        "id": 38_930 + number,
        "key": f"{word}_({number})",
        "title": f"{word} ({number})",
        "excerpt": f'<span class="searchmatch">{word}</span> is the fifth planet from the Sun',
        "matched_title": None,
        "description": "planet",
        "thumbnail": None,
    }
