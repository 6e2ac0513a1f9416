"""The pages lead where they say, and their pictures can be seen."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PICTURES = sorted((ROOT / "docs").rglob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
LINK = re.compile(r"\]\(([^)\s]+)\)")
SOURCES = ("api", "benchmarks", "deploy", "examples", "grafana", "orchestrator", "storage")
SOURCE_SUFFIXES = {".cfg", ".conf", ".html", ".js", ".json", ".py", ".service", ".sql", ".template", ".yml"}
NAMED = re.compile(r"\bdocs/(?:[\w-]+/)*[\w-]+(?:\.md)?")
CODE = re.compile(r"```.*?```", re.DOTALL)


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return CODE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = (
        re.sub(r"`|\*|\[|\]\([^)]*\)", "", found)
        for found in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    )
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """Links to files and headings that are not there; other sites are not asked."""
    lost = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every file and heading that a page points to exists."""
    assert broken(page, prose(page)) == []


def test_what_the_code_points_to_is_there():
    """Every page of docs/ that a file of ours names exists; a decision may be named by its number."""
    named = {
        (str(file.relative_to(ROOT)), page)
        for folder in SOURCES
        for file in (ROOT / folder).rglob("*")
        if file.suffix in SOURCE_SUFFIXES
        for page in NAMED.findall(file.read_text(encoding="utf-8"))
    }

    assert len(named) > 40
    assert [each for each in sorted(named) if not list(ROOT.glob(f"{each[1]}*"))] == []


def test_a_broken_link_is_found():
    """The check can fail: on a file, and on a heading, that is not there."""
    page = ROOT / "docs" / "cli.md"

    assert broken(page, "[a](gone.md) [b](reports.md#nowhere) [c](reports.md#hit-rate)") == [
        "gone.md",
        "reports.md#nowhere",
    ]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_shown_and_says_what_it_shows(picture):
    """It is well formed, has words for who cannot see it and colours for the dark, and a page shows it."""
    drawing = ET.parse(picture).getroot()

    assert (drawing.findtext(f"{SVG}title"), drawing.findtext(f"{SVG}desc")) != (None, None)
    assert "prefers-color-scheme: dark" in (drawing.findtext(f"{SVG}style") or "")
    assert any(
        f"]({picture.name})" in page.read_text(encoding="utf-8") for page in picture.parent.glob("*.md")
    )
