"""What both clients are told when they are made: address, key, time; checked before anything is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import httpx

BASE_URL = "http://127.0.0.1:8000"
"""Where `amos serve` listens when it is told nothing else."""

TIMEOUT_S = 40.0
"""Seconds: an extract may take its server 30; the rest is the way there and back, and a second attempt."""


@dataclass(frozen=True)
class Environment:
    """What the environment says of a server: `AMOS_URL`, and `AMOS_KEY`, `None` without one."""

    base_url: str
    api_key: str | None


def environment() -> Environment:
    """What `AMOS_URL` and `AMOS_KEY` say; an empty one says nothing."""
    return Environment(os.environ.get("AMOS_URL") or BASE_URL, os.environ.get("AMOS_KEY") or None)


def configuration(base_url: str, api_key: str | None) -> dict[str, Any]:
    """What both clients give to httpx. Raises ValueError for an address or a key that cannot be one."""
    try:
        address = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url is not an address: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError("base_url must be an http or https address")
    headers = {"User-Agent": "amos-sdk"}
    if api_key is not None:
        if not (api_key.isascii() and api_key.isprintable()) or " " in api_key or not api_key:
            raise ValueError("api_key holds characters that no key has; was more than the key copied?")
        headers["Authorization"] = f"Bearer {api_key}"
    return {"base_url": address, "headers": headers}


def checked_timeout_s(timeout_s: float) -> float:
    """The same seconds. Raises ValueError for what is no time to wait."""
    if not 0 < timeout_s < float("inf"):
        raise ValueError("timeout_s must be a number of seconds above 0")
    return timeout_s
