"""Jina reader: what its answer says about a page."""

from __future__ import annotations

import json

import msgspec
import pytest

from orchestrator.model import ExtractRequest, Page, PageFailure
from orchestrator.providers import jina_reader as reader

URL = "https://almanac.example/how"


def read(meta=None, **data):
    """The verdict on an answer with this data."""
    return reader.read_page(json.dumps({"data": data, "meta": meta}).encode(), URL)


@pytest.mark.parametrize(
    ("fields", "remaining_s", "headers"),
    [
        ({}, 9, {"X-Timeout": "8"}),
        ({}, 0.1, {"X-Timeout": "1"}),
        ({"format": "markdown"}, 30, {"X-Timeout": "19"}),
        ({"format": "text"}, 9, {"X-Timeout": "8", "X-Return-Format": "text"}),
        ({"include_images": True}, 9, {"X-Timeout": "8", "X-With-Images-Summary": "true"}),
        ({"include_images": False}, 9, {"X-Timeout": "8"}),
    ],
)
def test_options_are_headers(fields, remaining_s, headers):
    """A boolean header is sent only to switch it on, because any value does."""
    request = ExtractRequest(urls=(URL,), **fields)

    assert reader.read_headers(request, remaining_s) == {"Accept": "application/json", **headers}


def test_what_is_ignored_is_named():
    """The options of Tavily's extract that the reader lacks are named."""
    request = ExtractRequest(urls=(URL,), query="tides", extract_depth="advanced", extra={"new": 1})

    assert reader.unsupported(request) == ("query", "extract_depth", "new")
    assert reader.unsupported(ExtractRequest(urls=(URL,), format="text")) == ()


def test_a_page_keeps_the_url_asked_for():
    """Also after a redirect the page is answered under the URL of the request."""
    page, tokens = read(title="T", url="https://elsewhere.example", content="text", usage={"tokens": 12})

    assert page == Page(url=URL, raw_content="text", title="T")
    assert tokens == 12


@pytest.mark.parametrize(
    ("meta", "usage", "tokens"),
    [({"usage": {"tokens": 7}}, {"tokens": 9}, 7), (None, {"tokens": 9}, 9), (None, None, 25)],
)
def test_the_bill_is_where_it_is(meta, usage, tokens):
    """The charge is taken from `meta`, else from the page, else reckoned from the length."""
    assert read(meta=meta, usage=usage, content="x" * 100)[1] == tokens


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"httpStatus": 404, "content": "Not Found"}, "The page answered with HTTP status 404."),
        ({"httpStatus": 500, "content": "x"}, "The page answered with HTTP status 500."),
        (
            {"warning": "Target URL returned error 403: Forbidden", "content": "x"},
            "The page answered with HTTP status 403.",
        ),
        (
            {"warning": "This page maybe requiring CAPTCHA, please", "content": "Just a moment"},
            reader.CAPTCHA,
        ),
        ({"content": " \n"}, reader.EMPTY),
        ({}, reader.EMPTY),
    ],
)
def test_a_dead_page_is_a_failure(data, error):
    """The target's status, a CAPTCHA and an empty page are failures, in words for the caller."""
    assert read(**data)[0] == PageFailure(url=URL, error=error)


@pytest.mark.parametrize(
    "data",
    [
        {"httpStatus": 200, "content": "text"},
        {"httpStatus": 304, "content": "text"},
        {"warning": "This is a cached snapshot of the original page", "content": "text"},
        {"warning": "This page maybe requiring CAPTCHA", "content": "long " * 500},
        {"text": "only text"},
    ],
)
def test_a_doubtful_page_is_a_page(data):
    """A warning beside enough text costs nobody the page."""
    assert isinstance(read(**data)[0], Page)


@pytest.mark.parametrize(
    ("images", "urls"),
    [
        (None, ()),
        ({"Image 1": "https://i.example/1.png", "Image 2": 7}, ("https://i.example/1.png",)),
        ([["Image 1", "https://i.example/1.png"], ["broken"]], ("https://i.example/1.png",)),
        ("none", ()),
    ],
)
def test_images_in_both_forms(images, urls):
    """An object of labels and a list of pairs give the same URLs."""
    assert read(content="text", images=images)[0].images == urls


@pytest.mark.parametrize("body", [b"{}", b'{"data": null}', b'{"data": []}', b'{"data": {"content": 7}}'])
def test_what_is_no_page_breaks_the_contract(body):
    """An answer without an object in `data` is not the reader's."""
    with pytest.raises(msgspec.ValidationError):
        reader.read_page(body, URL)
