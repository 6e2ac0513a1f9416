"""The files of deploy/prometheus and deploy/alertmanager as tests start them: other addresses, shorter times.

    async with Receiver(token) as receiver, Alertmanager(routing(receiver, folder, token)) as alertmanager:
        async with Prometheus(scraping(amos, folder, key, alertmanager), hurried(rules())) as prometheus:
            await receiver.until(lambda alert: alert["status"] == "firing")

What is measured, how it is judged and who hears of it stay as they are deployed.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import promql_parser
import yaml

from tests.support.http_server import Answer, HttpServer, Request, Wire
from tests.support.processes import ROOT
from tests.support.prometheus import Alertmanager

PROMETHEUS = ROOT / "deploy/prometheus"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"

FACTOR = 60
"""chosen: an hour of the rules takes a minute, and their shortest window, five seconds, holds ten scrapes."""

SCRAPE = "500ms"
"""chosen: not by the factor, because a page takes its time on a machine that does other things."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_RANGE = re.compile(r"\[(\d+(?:ms|s|m|h|d))\]")


def rules() -> dict[str, dict[str, Any]]:
    """Every file of rules, by its name."""
    return {path.name: _read(path) for path in sorted((PROMETHEUS / "rules").glob("*.yml"))}


def every_rule() -> Iterator[dict[str, Any]]:
    """All rules of all files."""
    for file in rules().values():
        for group in file["groups"]:
            yield from group["rules"]


def alerts() -> Iterator[dict[str, Any]]:
    """Those that are alerts."""
    return (rule for rule in every_rule() if "alert" in rule)


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """The metrics that an expression reads, with what it demands of their labels."""
    found: list[promql_parser.VectorSelector] = []
    todo: list[Any] = [promql_parser.parse(expression)]
    while todo:
        node = todo.pop()
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
            continue
        parts = ("expr", "lhs", "rhs", "vector_selector", "args", "param")
        for part in (getattr(node, name, None) for name in parts):
            todo += part if isinstance(part, list) else [] if part is None else [part]
    return found


def hurried(files: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same rules with every window and every wait shorter by `FACTOR`."""
    return {
        name: {
            "groups": [
                {**group, "rules": [_hurried(rule) for rule in group["rules"]]} for group in file["groups"]
            ]
        }
        for name, file in files.items()
    }


def scraping(
    address: str, folder: Path, key: str, alertmanager: Alertmanager | None = None, *, every: str = SCRAPE
) -> dict[str, Any]:
    """prometheus.yml for one gateway at `address` (host and port), whose key is put into the folder."""
    found = _read(PROMETHEUS / "prometheus.yml")
    found["global"] |= {
        "scrape_interval": every, "scrape_timeout": every,
        "evaluation_interval": SCRAPE,
    }  # fmt: skip
    (folder / "prometheus_key").write_text(key, encoding="utf-8")
    jobs = []
    for job in found["scrape_configs"]:
        if job.pop("file_sd_configs", None):
            job["static_configs"] = [{"targets": [address]}]
            job["authorization"]["credentials_file"] = str(folder / "prometheus_key")
            jobs.append(job)
    found["scrape_configs"] = jobs
    for one in found["alerting"]["alertmanagers"]:
        one["static_configs"] = [{"targets": [f"127.0.0.1:{alertmanager.port}"] if alertmanager else []}]
    return found


def routing(receiver: Receiver, folder: Path) -> dict[str, Any]:
    """alertmanager.yml with our receiver in place of the example, and every wait shorter by `FACTOR`."""
    found = _read(ALERTMANAGER)
    (folder / "alert_token").write_text(receiver.token, encoding="utf-8")
    for one in found["receivers"]:
        for webhook in one.get("webhook_configs", []):
            webhook["url"] = receiver.url
            webhook["http_config"]["authorization"]["credentials_file"] = str(folder / "alert_token")
    for route in (found["route"], *found["route"]["routes"]):
        for name in ("group_wait", "group_interval", "repeat_interval"):
            if name in route:
                route[name] = _shorter(route[name])
    return found


class Receiver:
    """Where Alertmanager sends what it has to say; an async context manager.

    `heard` are the alerts of all messages, in order; whoever does not show the token is not listened to.
    """

    def __init__(self, token: str = "t" * 32) -> None:
        self.token = token
        self.heard: list[dict[str, Any]] = []
        self._server = HttpServer(self._serve)
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.stop()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.port}/alerts"

    async def until(self, wanted: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
        """The first alert that is wanted. Raises AssertionError with all that was heard."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._news.clear()
                    for alert in self.heard:
                        if wanted(alert):
                            return alert
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"heard only {json.dumps(self.heard, indent=1)}") from None

    async def _serve(self, request: Request, wire: Wire) -> None:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            wire.send(Answer(status=401))
            return
        self.heard += json.loads(request.body)["alerts"]
        self._news.set()
        wire.send(Answer())


def seconds(duration: str) -> float:
    """A duration of Prometheus, such as `1h` or `1m30s`."""
    return sum(int(n) * _UNITS_S[unit] for n, unit in _DURATION.findall(duration))


def _shorter(duration: str) -> str:
    return f"{max(round(seconds(duration) * 1_000 / FACTOR), 1)}ms"


def _hurried(rule: Mapping[str, Any]) -> dict[str, Any]:
    found = {**rule, "expr": _RANGE.sub(lambda range_: f"[{_shorter(range_[1])}]", rule["expr"])}
    return found | ({"for": _shorter(rule["for"])} if "for" in rule else {})


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
