"""A name that leads into a private network is asked for by nobody."""

from __future__ import annotations

import pytest

from orchestrator.filters.public_address import PublicAddressFilter
from orchestrator.model import ExtractAnswer, ExtractRequest, Found, Page
from tests.support.calls import make_call


class Names:
    """Knows what it is told, and what it was asked."""

    def __init__(self, known: dict[str, tuple[str, ...]]) -> None:
        self._known = known
        self.asked: list[str] = []

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses it was given."""
        self.asked.append(host)
        return self._known.get(host, ())


async def asked_for(names: Names, *urls: str) -> tuple[list[str], list[str]]:
    """The URLs that the chain is asked for, and those that fail without it."""
    asked: list[str] = []

    async def chain(call):
        asked.extend(call.request.urls)
        pages = tuple(Page(url=url, raw_content="text") for url in call.request.urls)
        return (Found(answer=ExtractAnswer(pages=pages), provider="tavily"),)

    found = await PublicAddressFilter(names)(make_call(ExtractRequest(urls=urls)), chain)
    failures = [failure for one in found for failure in one.answer.failures]
    assert all("not on the public internet" in failure.error for failure in failures)
    assert [page.url for one in found for page in one.answer.pages] == asked
    return asked, [failure.url for failure in failures]


A = "https://a.example/"
B = "https://b.example/x"


@pytest.mark.parametrize(
    "addresses", [(), ("93.184.215.14",), ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")]
)
async def test_a_public_or_unknown_name_is_passed_on(addresses):
    """What leads to the public internet, or nowhere we know of, is the provider's to fetch."""
    names = Names({"a.example": addresses})

    assert await asked_for(names, A, A + "2") == ([A, A + "2"], [])
    assert names.asked == ["a.example"]


@pytest.mark.parametrize(
    "addresses",
    [
        *(("127.0.0.1",), ("93.184.215.14", "10.0.0.7"), ("::1",), ("fe80::1%eth0",), ("::ffff:10.0.0.1",)),
        *(("64:ff9b::a00:1",), ("169.254.169.254",)),
    ],
)
async def test_one_private_address_is_enough_to_refuse(addresses):
    """Which of its addresses a name leads to is chosen later, so all of them must be public."""
    names = Names({"a.example": addresses, "b.example": ("93.184.215.14",)})

    assert await asked_for(names, A, B) == ([B], [A])
    assert await asked_for(names, A) == ([], [A])


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "http://[2606:4700::1111]:80/", "http://134744072/"])
async def test_an_address_is_not_looked_up(url):
    """It was judged by its spelling."""
    names = Names({})

    assert await asked_for(names, url) == ([url], [])
    assert names.asked == []
