"""Jina reader: one page a call, and what its answer says about that page. Pure; jina.py does the talking.

A dead page is still a 200 here: the status of the target stands inside the answer, its error page in
`content`.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from orchestrator.model import ExtractRequest, Page, PageFailure
from orchestrator.providers.jina_search import billed_tokens

READER_URL = "https://r.jina.ai"
"""Jina's API description: a host of its own, called at its root."""

PAGE_TOKENS_MAX_TYPICAL = 20_000
"""chosen: tokens of a long article, the most a read can be expected to cost; the limit is 2,000,000."""

CHARS_PER_TOKEN = 4
"""chosen: the usual ratio for English text, for answers that do not say what they cost."""

CAPTCHA_CONTENT_CHARS = 800
"""chosen: about the 200 tokens below which Jina itself doubts that a page was loaded."""

READER_TIMEOUT_S = (1, 19)
"""Jina's source: from 20 s on the reader also waits for the network to fall idle, which few pages do."""

READER_RESERVE_S = 1.0
"""chosen: between the end of the reader's wait and our deadline, for the way back."""

UNREADABLE = "The page could not be read."
EMPTY = "The page has no readable text."
CAPTCHA = "The page asks for a CAPTCHA."


class _Data(msgspec.Struct, rename="camel"):
    title: str | None = None
    content: str | None = None
    text: str | None = None
    images: Any = None
    warning: str | None = None
    http_status: int | None = None
    usage: Any = None


class _Read(msgspec.Struct):
    data: _Data
    meta: Any = None


_READ = msgspec.json.Decoder(_Read, strict=False)
_TARGET_ERROR = re.compile(r"Target URL returned error ([45]\d\d)")


def read_headers(request: ExtractRequest, remaining_s: float) -> dict[str, str]:
    """The headers of each read: Markdown unless text is asked for, within the `remaining_s` of the call."""
    shortest, longest = READER_TIMEOUT_S
    wait_s = min(max(math.floor(remaining_s - READER_RESERVE_S), shortest), longest)
    headers = {"Accept": "application/json", "X-Timeout": str(wait_s)}
    if request.format == "text":
        headers["X-Return-Format"] = "text"
    if request.include_images:
        headers["X-With-Images-Summary"] = "true"
    return headers


def unsupported(request: ExtractRequest) -> tuple[str, ...]:
    """The fields that were given and make no difference here."""
    names = [name for name in ("query", "chunks_per_source", "include_favicon") if getattr(request, name)]
    if request.depth == "advanced":
        names.append("extract_depth")
    return (*names, *(name for name in request.extra if name != "include_usage"))


def read_page(body: bytes, url: str) -> tuple[Page | PageFailure, int]:
    """The page, or why there is none, and the tokens billed. Raises msgspec.DecodeError.

    `url` is how the page was asked for, and by that name it is answered.
    """
    answer = _READ.decode(body)
    data = answer.data
    raw_content = data.content or data.text or ""
    tokens = billed_tokens(answer.meta)
    if tokens is None:
        tokens = billed_tokens({"usage": data.usage})
    if tokens is None:
        tokens = math.ceil(len(raw_content) / CHARS_PER_TOKEN)
    failure = _failure(data, raw_content)
    if failure:
        return PageFailure(url=url, error=failure), tokens
    page = Page(url=url, raw_content=raw_content, title=data.title, images=_images(data.images))
    return page, tokens


def _failure(data: _Data, raw_content: str) -> str:
    """Why this answer holds no page, in words for the caller; `""` if it does."""
    warning = data.warning or ""
    status = data.http_status
    if status is None and (match := _TARGET_ERROR.search(warning)):
        status = int(match[1])
    if status is not None and status >= 400:
        return f"The page answered with HTTP status {status}."
    if "CAPTCHA" in warning and len(raw_content) < CAPTCHA_CONTENT_CHARS:
        return CAPTCHA
    return "" if raw_content.strip() else EMPTY


def _images(images: Any) -> tuple[str, ...]:
    """The URLs of `images`: an object of label to URL, or a list of such pairs."""
    if isinstance(images, dict):
        urls = list(images.values())
    elif isinstance(images, list):
        urls = [pair[1] for pair in images if isinstance(pair, list) and len(pair) == 2]
    else:
        urls = []
    return tuple(url for url in urls if isinstance(url, str))
