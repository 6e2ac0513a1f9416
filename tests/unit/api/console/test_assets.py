"""What the console loads: few bytes, all of them ours, each under the hash of its content."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from api.console import environment
from api.console.assets import FOR_EVER, PREFIX, address, assets
from api.console.visits import NAVIGATION

if TYPE_CHECKING:
    import httpx

BYTES_MAX = 150_000
"""The promise for all files of all pages together, as they are sent: nothing is compressed."""

TEMPLATES = sorted(environment.FOLDER.rglob("*.html"))

INLINE = re.compile(
    r"""<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|<script(?![^>]*\ssrc=)|hx-on|\bjs:""",
    re.IGNORECASE,
)
"""What the content security policy forbids, or htmx would have to evaluate."""

NAVIGATION_ICONS = {icon for _, _, icon, _ in NAVIGATION}

ELSEWHERE = re.compile(r"""(src|href|action|hx-(get|post))\s*=\s*["']?(https?:)?//""", re.IGNORECASE)


def test_all_files_together_are_small():
    """A first visit costs less than a photograph."""
    assert sum(len(one.body) for one in assets().values()) <= BYTES_MAX


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_nothing_from_elsewhere(template):
    """No script, no style and no handler stands in a page, and none comes from another host."""
    text = re.sub(r"\{%.*?%\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert INLINE.findall(text) == []
    assert ELSEWHERE.findall(text) == []
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


@pytest.mark.parametrize(
    "bad", ['<p style="x">', "<script>", "<a onclick=x>", '<b hx-on:click="x">', '<b hx-vals="js:x">']
)
def test_what_is_inline_is_found(bad: str):
    """The check above can fail."""
    assert INLINE.search(bad)


def test_nothing_is_styled_drawn_or_shaped_that_no_page_has():
    """Every class, icon and macro is used by a page or a script; what is not, every visitor would load."""
    pages_text = "".join(template.read_text(encoding="utf-8") for template in TEMPLATES)
    scripts = "".join(one.body.decode() for name, one in assets().items() if name.endswith(".js"))
    words = set(re.findall(r"[\w-]+", pages_text + scripts))
    made = set(re.findall(r"""([a-z]+-)(?:\{\{|" ~)""", pages_text))  # badge-{{ state }}
    styles = re.sub(r"/\*.*?\*/", "", assets()["console.css"].body.decode(), flags=re.DOTALL)
    classes = set(re.findall(r"\.([a-z][\w-]*)", styles))
    icons = set(re.findall(r'^  "([a-z]+)": "M', pages_text, re.MULTILINE))
    macros = re.findall(r"{% macro (\w+)\(", pages_text)

    assert {name for name in classes - words if name.rpartition("-")[0] + "-" not in made} == set()
    assert {name for name in icons if len(re.findall(rf'"{name}"', pages_text)) < 2} <= NAVIGATION_ICONS
    assert {name for name in macros if len(re.findall(rf"\b{name}\(", pages_text)) < 2} == set()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_form_without_our_script_puts_nothing_but_a_question_into_an_address(template):
    """What stands in a form without a method becomes part of an address, and history and logs keep it."""
    for form in re.findall(r"<form\b[^>]*>", template.read_text(encoding="utf-8")):
        assert 'method="post"' in form or ('method="get"' in form and "hx-get" in form), form


async def test_a_file_is_kept_for_ever_under_its_hash(client: httpx.AsyncClient):
    """The address changes with the content, so nobody has to ask again."""
    for name, one in assets().items():
        got = await client.get(address(name))

        assert address(name) == f"{PREFIX}/{sha256(got.content).hexdigest()[:16]}/{name}"
        assert (got.status_code, got.content) == (200, one.body)
        assert got.headers["cache-control"] == FOR_EVER
        assert got.headers["x-content-type-options"] == "nosniff"
        again = await client.get(address(name), headers={"If-None-Match": got.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_an_address_of_another_version_is_answered_and_not_kept(client: httpx.AsyncClient):
    """While instances of two versions run side by side no page is without its files."""
    got = await client.get(f"{PREFIX}/0000000000000000/console.js")

    assert (got.status_code, got.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "name", ["gone.js", "vendor/README.md", "../pages.py", "%2e%2e/pages.py", "vendor/htmx.LICENSE.txt"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str):
    """Only scripts, styles and pictures of the folder have an address."""
    assert (await client.get(f"{PREFIX}/0000000000000000/{name}")).status_code == 404
