"""Jina's search and reader, simulated on one port: `/s/` is s.jina.ai, `/r/` is r.jina.ai.

Negotiation is as strict as the real one's: whoever forgets `Accept: application/json` gets text. Nothing
found is the 422 it is there, and a dead page is a 200.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from typing_extensions import override

from tests.support.faults import Fault
from tests.support.generated import hosts_for, page_text, seed_of, sentence, title_for
from tests.support.http_server import Answer, Request
from tests.support.jina_errors import ERRORS, USUAL, envelope
from tests.support.rate_window import RateWindow
from tests.support.simulator import Simulator, html_answer, json_answer, run

BALANCE = 10_000_000
"""Tokens that come with a new key."""

WHOLE_DAYS = 10_000_000_000
"""Tokens for a million searches: a process serves one test after the other."""

ANONYMOUS_PER_MINUTE = 20
"""Reads a minute without a key."""

PAGE_TOKENS = 1_834
"""What each generated page is charged."""


class JinaSimulator(Simulator):
    """Jina on a port of its own: search at `search_url`, reader at `reader_url`.

    `balance` falls with each charge; below the price of a call the answer is 402. `calls_per_minute` bounds
    the calls with a key (`None`: no bound). At the reader, what a URL contains decides: `gone` is a page that
    answers 404, `captcha` one that asks for a CAPTCHA, `blank` one without text, `private` a refused address.
    """

    api_key = "jina_simulated"
    VARIANTS = frozenset(
        {
            *("empty", "status_200", "no_meta", "no_usage", "sparse", "duplicates", "relative_dates"),
            *("data_object", "unrelated", "old_reader", "iso_dates"),
        }
    )

    def __init__(
        self,
        *,
        delay_s: float = 0.0,
        port: int = 0,
        balance: int = BALANCE,
        calls_per_minute: int | None = None,
    ) -> None:
        super().__init__(delay_s=delay_s, port=port)
        self.balance = self._had = balance
        self._rate = RateWindow(calls_per_minute)
        self._anonymous_rate = RateWindow(ANONYMOUS_PER_MINUTE)

    @property
    def search_url(self) -> str:
        """Where searches are sent."""
        return f"{self.base_url}/s/"

    @property
    def reader_url(self) -> str:
        """Where pages are read."""
        return f"{self.base_url}/r/"

    @property
    @override
    def billed(self) -> float:
        return float(self._had - self.balance)

    @override
    def texts(self, request: Request, body: Any) -> str:
        options = _options(request, body)
        return f"{options.get('q', '')} {options.get('url', '')}"

    @override
    def respond(self, request: Request, body: Any) -> Answer:
        options = _options(request, body)
        has_key = "authorization" in request.headers
        if has_key and request.headers["authorization"].removeprefix("Bearer ") not in self.keys:
            return self._refuse(request, 40102)
        is_search = request.path.startswith("/s")
        if is_search and not options.get("q"):
            return self._index(request) if has_key else self._refuse(request, 40103)
        if not is_search and not options.get("url"):
            if request.method == "GET":
                return self._index(request)
            return self._refuse(request, 40001, {"path": "url"}, "No URL provided")
        if is_search and not has_key:
            return self._refuse(request, 40103)
        wait_s = (self._rate if has_key else self._anonymous_rate).hit()
        if wait_s:
            refusal = self._refuse(request, 42903, {"retryAfter": wait_s})
            return msgspec.structs.replace(refusal, headers={**refusal.headers, "Retry-After": str(wait_s)})
        return self._search(request, options) if is_search else self._read(request, options)

    @override
    def error(self, request: Request, fault: Fault) -> Answer:
        if fault.shape == "empty":
            return Answer(status=fault.code)
        if fault.shape == "html" or fault.code in (502, 504, 524):
            return html_answer(fault.code)
        if fault.shape == "raw":
            message = "Req(791 ??? POST https://svip.jina.ai/): TypeError: fetch failed"
            raw = {"code": 500, "name": "Error", "message": message, "serial": 791, "cause": {}, "config": {}}
            return json_answer(raw, fault.code)
        number = fault.number or USUAL.get(fault.code, 50000)
        seconds = fault.retry_after or ""
        extra = {"retryAfter": int(seconds)} if seconds.isdecimal() else {}
        answer = self._refuse(request, number, extra, fault.text)
        return msgspec.structs.replace(answer, status=fault.code)

    @override
    def vary(self, answer: Answer, name: str, body: Any) -> Answer:
        content = msgspec.json.decode(answer.body)
        if name == "empty":
            status, kind, message = ERRORS[42206]
            self.balance += int(answer.headers["X-Usage-Tokens"])  # a refusal is free
            return json_answer(envelope(status, kind, 42206, message, {}), status)
        headers = {key: value for key, value in answer.headers.items() if key != "X-Usage-Tokens"}
        _vary(content, name)
        return json_answer(content, headers=headers if name == "no_usage" else answer.headers)

    def _refuse(
        self, request: Request, number: int, extra: Mapping[str, Any] | None = None, message: str = ""
    ) -> Answer:
        """The envelope of every error class, or its one line of text for a client that does not take JSON."""
        status, name, text = ERRORS[number]
        content = envelope(status, name, number, message or text, extra or {})
        if "json" in request.headers.get("accept", "*/*") or "*/*" in request.headers.get("accept", "*/*"):
            return json_answer(content, status)
        return Answer(
            status=status, headers={"Content-Type": "text/plain"}, body=content["readableMessage"].encode()
        )

    def _index(self, request: Request) -> Answer:
        data = {
            "usage1": "https://r.jina.ai/YOUR_URL",
            "usage2": "https://s.jina.ai/YOUR_SEARCH_QUERY",
            "homepage": "https://jina.ai/reader",
            "note": "simulated",
        }
        if "authorization" in request.headers:
            data |= {"authenticatedAs": "simulated", "balanceLeft": str(self.balance)}
            return _success(request, data | {"balanceLeft": self.balance}, 0)
        return _success(request, data, 0)

    def _search(self, request: Request, options: Mapping[str, Any]) -> Answer:
        wanted = str(options.get("num", options.get("count", 10)))
        count = int(wanted) if wanted.isdecimal() else -1
        if not 0 <= count <= 20:
            return self._refuse(request, 40001, {"path": "num"}, "ParamValidationError(num): out of range")
        gl = str(options.get("gl") or "us")
        if len(gl) != 2 or not gl.isalpha():
            return self._refuse(request, 40001, {"path": "gl"}, "ParamValidationError(gl): unknown country")
        has_pages = request.headers.get("x-respond-with") != "no-content"
        items = _items(
            options, count, is_text=request.headers.get("x-return-format") == "text", has_pages=has_pages
        )
        fixed = math.ceil(len(items) / 10) * 10_000 * _scaler(options)
        tokens = max(fixed, PAGE_TOKENS * len(items)) if has_pages else fixed
        if tokens > self.balance:
            return self._refuse(request, 40203)
        self.balance -= tokens
        for item in items:
            item["usage"] = {"tokens": math.ceil(tokens / len(items))}
        return _success(request, items, tokens)

    def _read(self, request: Request, options: Mapping[str, Any]) -> Answer:
        url = str(options["url"])
        if not url.startswith(("http://", "https://")):
            return self._refuse(request, 40001, {"path": "url"}, "Invalid protocol")
        if "private" in url:
            return self._refuse(request, 45102)
        if self.balance < PAGE_TOKENS:
            return self._refuse(request, 40203)
        self.balance -= PAGE_TOKENS
        return _success(request, _page(url, request), PAGE_TOKENS)


# --- answers ------------------------------------------------------------------------------------------------


def _options(request: Request, body: Any) -> dict[str, Any]:
    """Query string, body and path merged: the path wins, then the body."""
    options: dict[str, Any] = {name: values[-1] for name, values in parse_qs(request.query).items()}
    if isinstance(body, Mapping):
        options |= body
    elif request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        options |= {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
    rest = request.target[2:].removeprefix("/")
    if request.path.startswith("/r") and rest:
        options["url"] = rest
    elif request.path.startswith("/s"):
        words = unquote(rest.partition("?")[0])
        if words and words != "search":
            options["q"] = words
    return options


def _scaler(options: Mapping[str, Any]) -> int:
    if options.get("type") in ("images", "news"):
        return 5
    return 3 if options.get("engine") == "bing" else 1


def _success(request: Request, data: Any, tokens: int) -> Answer:
    """Text unless the client takes JSON and does not take text; a stream of events if it takes only that."""
    accept = request.headers.get("accept", "*/*")
    headers = {"X-Usage-Tokens": str(tokens)}
    content = {"code": 200, "status": 20000, "data": data, "meta": {"usage": {"tokens": tokens}}}
    takes_text = any(kind in accept for kind in ("text/plain", "text/*", "*/*"))
    if not takes_text and ("application/json" in accept or "text/json" in accept):
        return json_answer(content, headers={"Content-Type": "application/json", **headers})
    if accept == "text/event-stream":
        body = b"event: data\ndata: " + msgspec.json.encode(data) + b"\n\n"
        return Answer(headers={"Content-Type": accept, **headers}, body=body)
    return Answer(
        headers={"Content-Type": "text/plain; charset=utf-8", **headers}, body=_as_text(data).encode()
    )


def _as_text(data: Any) -> str:
    if isinstance(data, list):
        return "\n\n".join(
            f"[{number}] Title: {item['title']}\n[{number}] URL Source: {item['url']}\n"
            f"[{number}] Description: {item['description']}\n{item['content']}"
            for number, item in enumerate(data, start=1)
        )
    if "content" in data:
        return f"Title: {data['title']}\n\nURL Source: {data['url']}\n\nMarkdown Content:\n{data['content']}"
    return "\n".join(f"[{name}] {value}" for name, value in data.items())


def _items(options: Mapping[str, Any], count: int, *, is_text: bool, has_pages: bool) -> list[dict[str, Any]]:
    query = str(options["q"])
    words = " ".join(word for word in query.split() if not word.startswith(("-site:", "after:", "before:")))
    excluded = {word.removeprefix("-site:") for word in query.split() if word.startswith("-site:")}
    sites = options.get("site") or []
    sites = [sites] if isinstance(sites, str) else sites
    hosts = sites * count if sites else hosts_for(words, count + len(excluded) * count)
    hosts = [host for host in hosts if host not in excluded][:count]
    items = []
    for number, host in enumerate(hosts):
        page = page_text(words, host) if has_pages else ""
        item: dict[str, Any] = {
            "title": title_for(words, host),
            "url": f"https://{host}/{number}/{seed_of(words):08x}",
            "description": sentence(words, number),
            "date": "Nov 10, 2026",
            "content": "" if is_text else page,
        }
        if is_text and has_pages:
            item["text"] = page.replace("# ", "")
        items.append(item)
    return items


def _page(url: str, request: Request) -> dict[str, Any]:
    text = page_text("page", url)
    page: dict[str, Any] = {
        "title": title_for("Page", url),
        "description": "An invented page.",
        "url": url,
        "publishedTime": "Tue, 10 Nov 2026 17:00:00 GMT",
        "metadata": {"lang": "en"},
        "external": {},
        "httpStatus": 200,
        "httpStatusText": "OK",
        "usage": {"tokens": PAGE_TOKENS},
    }
    if request.headers.get("x-return-format") == "text":
        page["text"] = text.replace("# ", "")
    else:
        page["content"] = text
    if "x-with-images-summary" in request.headers:
        page["images"] = {"Image 1: harbour": "https://images.example/1.png"}
    if "gone" in url:
        page |= {
            "httpStatus": 404,
            "warning": "Target URL returned error 404: Not Found",
            "content": "Not Found",
        }
    if "captcha" in url:
        page |= {
            "warning": "This page maybe requiring CAPTCHA, please make sure.",
            "content": "Just a moment",
        }
    if "blank" in url:
        page |= {"content": "", "text": ""}
    return page


def _vary(content: dict[str, Any], name: str) -> None:
    """Change a good answer into one of its known other forms."""
    data = content["data"]
    if name == "status_200":
        content["status"] = 200
    elif name in ("no_meta", "no_usage"):
        content.pop("meta")
        if isinstance(data, dict) and name == "no_usage":
            data.pop("usage", None)
    elif name == "data_object":
        content["data"] = {"usage1": "https://r.jina.ai/YOUR_URL", "note": "simulated"}
    elif name == "old_reader":
        data.pop("httpStatus")
        data.pop("httpStatusText")
    else:
        content["data"] = [_vary_item(item, name) for item in data]
        if name == "duplicates":
            content["data"] *= 2


def _vary_item(item: dict[str, Any], name: str) -> dict[str, Any]:
    if name == "sparse":
        return {"url": item["url"]}
    if name == "relative_dates":
        return item | {"date": "2 days ago"}
    if name == "iso_dates":
        return item | {"date": "2026-11-10T17:00:00Z"}
    if name == "unrelated":
        return item | {"title": "Something else", "description": "Nothing you asked for."}
    return item


if __name__ == "__main__":
    run(JinaSimulator, balance=WHOLE_DAYS)
