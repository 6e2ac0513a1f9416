"""Tavily, simulated as its contract describes it, with every documented error.

Checks come in the order the real service is believed to use: key (401), shape of the JSON (422), values
(400), quota (432 or 433), rate (429). Generated results follow from the query alone, so that the same query
always gives the same answer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from typing_extensions import override

from tests.support.faults import Fault
from tests.support.generated import hosts_for, page_text, seed_of, sentence, title_for
from tests.support.http_server import Answer, Request
from tests.support.rate_window import RateWindow
from tests.support.simulator import Simulator, html_answer, json_answer, key_of, run
from tests.support.tavily_refusals import shape_error, type_error, value_error
from tests.support.tavily_relays import REQUIRED, Relays

MESSAGES = {
    400: "Invalid request.",
    401: "Unauthorized: missing or invalid API key.",
    403: "[403] URL is not supported",
    404: "Research task not found",
    429: "Your request has been blocked due to excessive requests. Please reduce rate of requests.",
    432: (
        "This request exceeds your plan's set usage limit. "
        "Please upgrade your plan or contact support@tavily.com"
    ),
    433: (
        "This request exceeds the pay-as-you-go limit. You can increase your limit on the Tavily dashboard."
    ),
    500: "Internal Server Error",
}
"""The documented texts; clients show them."""

STRICT_MODES = frozenset({"filter", "restrict"})


class TavilySimulator(Simulator):
    """Tavily's API on a port of its own.

    `credits_limit` is the quota, after which calls get `quota_status` (432 or 433); `calls_per_minute` the
    rate, after which they get 429 with `Retry-After`; both `None` for none. `is_rate_first` swaps these two
    checks. A URL whose path contains `gone` cannot be extracted.
    """

    api_key = "tvly-simulated"
    VARIANTS = frozenset(
        {
            *("empty", "string_response_time", "images_null", "images_strings", "images_objects"),
            *("unknown_fields", "missing_fields", "no_usage", "null_results", "off_list_hosts", "too_many"),
            "unusable_urls",
        }
    )

    def __init__(
        self,
        *,
        delay_s: float = 0.0,
        port: int = 0,
        credits_limit: int | None = None,
        quota_status: int = 432,
        calls_per_minute: int | None = None,
        is_rate_first: bool = False,
    ) -> None:
        super().__init__(delay_s=delay_s, port=port)
        self.credits_limit = credits_limit
        self.quota_status = quota_status
        self.is_rate_first = is_rate_first
        self.key_limits: dict[str, int] = {}
        """Quotas of single keys; others have none of their own."""
        self.key_credits: Counter[str] = Counter()
        """Credits spent with each key."""
        self.search_credits = 0
        """Credits spent on searches."""
        self.pages_extracted = {"basic": 0, "advanced": 0}
        """Pages read; every fifth of a depth costs 1 or 2 credits."""
        self.relays = Relays()
        """Maps, crawls, researches, feedback."""
        self._rate = RateWindow(calls_per_minute)

    @property
    def extract_credits(self) -> int:
        """Credits spent on extracts."""
        return self.pages_extracted["basic"] // 5 + 2 * (self.pages_extracted["advanced"] // 5)

    @property
    def credits_used(self) -> int:
        """All credits spent."""
        return self.search_credits + self.extract_credits + self.relays.spent

    @property
    @override
    def billed(self) -> float:
        """A page is a fifth of a credit, or two, before five of them are charged together."""
        pages = self.pages_extracted
        whole = self.search_credits + self.relays.spent
        return round(whole + 0.2 * pages["basic"] + 0.4 * pages["advanced"], 6)

    @override
    def texts(self, request: Request, body: Any) -> str:
        """What `when` looks at: the query or the input, the URLs."""
        given = body if isinstance(body, Mapping) else {}
        return str(given.get("input") or given.get("url") or "") or super().texts(request, body)

    @override
    def respond(self, request: Request, body: Any) -> Answer:
        path = re.sub("/+", "/", request.path)
        is_relay = self.relays.takes(path)
        if path not in ("/search", "/extract", "/usage") and not is_relay:
            return json_answer({"detail": "Not Found"}, 404)
        if request.method != (
            self.relays.method(path) if is_relay else "GET" if path == "/usage" else "POST"
        ):
            return json_answer({"detail": "Method Not Allowed"}, 405)
        if not self._is_known(request, body):
            return self.error(request, Fault.status(401))
        if path == "/usage":
            return json_answer(self._usage(key_of(request)))
        if is_relay:
            return self._relay(request, path, body)
        refusal = shape_error(path, body) or value_error(path, body) or self._limits(request)
        if refusal is not None:
            return refusal
        before = self.credits_used
        answer = self._search(body) if path == "/search" else self._extract(body)
        self.key_credits[key_of(request)] += self.credits_used - before
        return answer

    @override
    def error(self, request: Request, fault: Fault) -> Answer:
        if fault.shape == "empty":
            return Answer(status=fault.code)
        if fault.shape == "html" or (fault.shape == "normal" and fault.code in (502, 503, 504)):
            return html_answer(fault.code)
        if fault.code == 422 and fault.shape == "normal":
            return type_error("query", "Input should be a valid string", 7)
        text = fault.text or MESSAGES.get(fault.code, "Internal Server Error")
        shapes: dict[str, Any] = {
            "normal": {"detail": {"error": text}},
            "flat": {"error": text},
            "string": {"detail": text},
            "list": {"detail": [text]},
            "absent": {},
        }
        return json_answer(shapes[fault.shape], fault.code)

    @override
    def vary(self, answer: Answer, name: str, body: Any) -> Answer:
        content = msgspec.json.decode(answer.body)
        _vary(content, name)
        return json_answer(content)

    def _is_known(self, request: Request, body: Any) -> bool:
        """The header decides; the historic `api_key` of the body counts only without one."""
        header = request.headers.get("authorization")
        if header is not None:
            return header.removeprefix("Bearer ") in self.keys
        return isinstance(body, Mapping) and body.get("api_key") in self.keys

    def _relay(self, request: Request, path: str, body: Any) -> Answer:
        if request.method == "POST":
            if not isinstance(body, Mapping):
                return type_error("", "Input should be a valid dictionary", body)
            name = REQUIRED.get(path)
            if name is not None and not isinstance(body.get(name), str):
                return type_error(name, "Input should be a valid string", body.get(name))
            if text := self.relays.refusal(path, body):
                return json_answer({"detail": {"error": text}}, 400)
        refusal = self._limits(request)
        if refusal is not None:
            return refusal
        before = self.relays.spent
        answer = self.relays.respond(path, key_of(request), body, request.query)
        self.key_credits[key_of(request)] += self.relays.spent - before
        return answer

    def _limits(self, request: Request) -> Answer | None:
        checks = [self._quota, self._rate_limit]
        for check in reversed(checks) if self.is_rate_first else checks:
            refusal = check(request)
            if refusal is not None:
                return refusal
        return None

    def _quota(self, request: Request) -> Answer | None:
        key = key_of(request)
        is_within = self.credits_limit is None or self.credits_used < self.credits_limit
        if is_within and self.key_credits[key] < self.key_limits.get(key, math.inf):
            return None
        return self.error(request, Fault.status(self.quota_status))

    def _rate_limit(self, request: Request) -> Answer | None:
        wait_s = self._rate.hit()
        if not wait_s:
            return None
        refusal = self.error(request, Fault.status(429))
        return msgspec.structs.replace(refusal, headers={**refusal.headers, "Retry-After": str(wait_s)})

    def _search(self, body: Mapping[str, Any]) -> Answer:
        credit_count = 2 if body.get("search_depth") == "advanced" else 1
        self.search_credits += credit_count
        content: dict[str, Any] = {
            "query": body["query"],
            "follow_up_questions": None,
            "answer": sentence(body["query"]) if body.get("include_answer") else None,
            "images": _images(body),
            "results": list(_results(body)),
            "response_time": 0.42,
            "request_id": _request_id(seed_of(body["query"])),
        }
        if body.get("auto_parameters"):
            content["auto_parameters"] = {"topic": "general"}
        if body.get("include_usage"):
            content["usage"] = {"credits": credit_count}
        return json_answer(content)

    def _extract(self, body: Mapping[str, Any]) -> Answer:
        urls = [body["urls"]] if isinstance(body["urls"], str) else body["urls"]
        before = self.extract_credits
        results, failed = [], []
        for url in urls:
            if "gone" in url:
                failed.append({"url": url, "error": "Failed to fetch url"})
                continue
            self.pages_extracted[body.get("extract_depth") or "basic"] += 1
            results.append(_page(url, body))
        content: dict[str, Any] = {
            "results": results,
            "failed_results": failed,
            "response_time": 0.84,
            "request_id": _request_id(seed_of(" ".join(urls))),
        }
        if body.get("include_usage"):
            content["usage"] = {"credits": self.extract_credits - before}
        return json_answer(content)

    def _usage(self, key: str) -> dict[str, Any]:
        spent = {
            "search_usage": self.search_credits,
            "extract_usage": self.extract_credits,
            **{f"{operation}_usage": spent for operation, spent in self.relays.credits.items()},
        }
        account = {
            "current_plan": "Bootstrap",
            "plan_usage": self.credits_used,
            "plan_limit": self.credits_limit,
            "paygo_usage": 0,
            "paygo_limit": None,
        }
        return {
            "key": {"usage": self.key_credits[key], "limit": self.key_limits.get(key), **spent},
            "account": account | spent,
        }


# --- answers ------------------------------------------------------------------------------------------------


def _results(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    query, seed = body["query"], seed_of(body["query"])
    is_dated = body.get("topic") == "news" or body.get("include_published_date")
    count = min(5 if body.get("max_results") is None else body["max_results"], 20)
    for number, host in enumerate(_hosts(body, count)):
        result: dict[str, Any] = {
            "id": f"{seed % 0xFFFFFF:06x}-{number:02d}",
            "title": title_for(query, host),
            "url": f"https://{host}/{number}/{seed:08x}",
            "content": f"{sentence(query, number)} [...] {sentence(query, number + 1)}",
            "score": round(0.92 - 0.03 * number, 4),
            "raw_content": None,
        }
        # One page could not be read, as happens.
        if body.get("include_raw_content") and number != 1:
            result["raw_content"] = page_text(query, host)
        if is_dated:
            result["published_date"] = "2026-11-10" if number == 1 else "Tue, 10 Nov 2026 17:00:00 GMT"
        if body.get("include_favicon"):
            result["favicon"] = f"https://{host}/favicon.ico"
        if body.get("include_images"):
            result["images"] = _images(body)
        yield result


def _hosts(body: Mapping[str, Any], count: int) -> list[str]:
    """The listed hosts, and one that is not on the list unless a strict mode is asked for."""
    listed = [domain.removeprefix("*.").partition("/")[0] for domain in body.get("include_domains") or ()]
    excluded = set(body.get("exclude_domains") or ())
    hosts = hosts_for(body["query"], count + len(excluded))
    if listed:
        strays = [] if body.get("include_domains_mode") in STRICT_MODES else hosts[:1]
        hosts = [*(listed * count)[: count - len(strays)], *strays]
    return [host for host in hosts if host not in excluded][:count]


def _images(body: Mapping[str, Any]) -> list[Any]:
    if not body.get("include_images"):
        return []
    urls = [f"https://{host}/image.png" for host in hosts_for(body["query"], 2)]
    if body.get("include_image_descriptions"):
        return [{"url": url, "description": sentence(body["query"])} for url in urls]
    return urls


def _page(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    text = page_text(body.get("query") or "page", url)
    page: dict[str, Any] = {
        "url": url,
        "title": title_for("Page", url),
        "raw_content": text.replace("# ", "") if body.get("format") == "text" else text,
    }
    page["images"] = [f"{url}/image.png"] if body.get("include_images") else []
    if body.get("include_favicon"):
        page["favicon"] = f"{url}/favicon.ico"
    return page


def _request_id(seed: int) -> str:
    return f"{seed:08x}-0000-4000-8000-{seed:012x}"


def _vary(content: dict[str, Any], name: str) -> None:
    """Change a good answer into one of its known other forms."""
    image = "https://images.example/1.png"
    changes: dict[str, dict[str, Any]] = {
        "empty": {"results": []},
        "null_results": {"results": None},
        "string_response_time": {"response_time": "1.67"},
        "images_null": {"images": None},
        "images_strings": {"images": [image]},
        "images_objects": {"images": [{"url": image, "description": "A harbour."}]},
        "unknown_fields": {
            "brand_new": {"deep": [1]},
            "results": [r | {"new": 1} for r in content["results"]],
        },
        "missing_fields": {
            "results": [{"url": r["url"]} for r in content["results"]] + [{"title": "No URL"}]
        },
        "off_list_hosts": {"results": [r | {"url": "https://stray.example/x"} for r in content["results"]]},
        "unusable_urls": {"results": [r | {"url": "javascript:alert(1)"} for r in content["results"]]},
        "too_many": {"results": content["results"] * 5},
    }
    content.update(changes.get(name, {}))
    if name == "no_usage":
        content.pop("usage", None)


if __name__ == "__main__":
    run(TavilySimulator)
