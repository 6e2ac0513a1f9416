"""The page of `/docs`: all of the document, nothing that runs, nothing from elsewhere."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from typing_extensions import override

from api.openapi.document import document_bytes
from api.openapi.page import page_bytes

DOCUMENT = json.loads(document_bytes())
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """What is in a page: elements, ids, links, texts; `open` is what was not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.style = ""
        self.text = ""
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        self.text += data


@pytest.fixture(scope="module")
def page() -> Page:
    """The page, read as a browser does."""
    return Page(page_bytes()[0].decode())


def test_it_is_well_formed_and_every_link_leads_somewhere(page: Page):
    """Elements are closed in order, ids are unique, and links go to them or to the document."""
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}

    assert page.open == []
    assert sorted(set(ids)) == sorted(ids)
    assert links - {f"#{name}" for name in ids} == {"openapi.json"}


def test_nothing_runs_and_nothing_comes_from_elsewhere(page: Page):
    """There is no script, no handler, no picture, and no address of another host."""
    tags = {tag for tag, _ in page.elements}

    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "form", "base"})
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("src", "style") for name in attributes)
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_the_policy_allows_the_style_and_nothing_else(page: Page):
    """The hash in the content security policy is that of the style in the page."""
    digest = b64encode(sha256(page.style.encode()).digest()).decode()

    assert page_bytes()[1] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    )


def test_everything_is_shown(page: Page):
    """Every operation with its parameters, every schema with its fields, every code."""
    for path, methods in DOCUMENT["paths"].items():
        assert path in page.text
        for operation in methods.values():
            assert operation["summary"] in page.text
            assert all(one["name"] in page.text for one in operation.get("parameters", ()))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert name in page.text
        assert all(field in page.text for field in schema.get("properties", ()))
    assert all(code in page.text for code in DOCUMENT["x-amos-errors"])


async def test_both_are_open_to_everybody_the_guard_lets_in(client: httpx.AsyncClient):
    """No key is asked for; whoever has the page already is told so; another site still gets nothing."""
    for path in ("/docs", "/openapi.json"):
        stranger = {"X-Forwarded-For": "203.0.113.9"}
        first = await client.get(path, headers=stranger)
        again = await client.get(path, headers={"If-None-Match": first.headers["etag"], **stranger})
        foreign = await client.get(path, headers={"Sec-Fetch-Site": "cross-site"})

        assert (first.status_code, again.status_code, foreign.status_code) == (200, 304, 403)
        assert first.headers["x-content-type-options"] == "nosniff"
        assert first.headers["content-security-policy"].startswith("default-src 'none'")
        assert again.content == b""
