"""One path for each resource, however carelessly a client has joined it."""

from __future__ import annotations

import pytest

from api.middleware.paths import plain

PREFIXES = ("/t", "/tavily/v1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/search", "/search"),
        ("//search", "/search"),
        ("/search/", "/search"),
        ("///search//", "/search"),
        ("/t/search", "/search"),
        ("/t//search", "/search"),
        ("//t/search", "/search"),
        ("/tavily/v1/search", "/search"),
        ("/t/t/search", "/t/search"),
        ("/tea/search", "/tea/search"),
        ("/tavily/search", "/tavily/search"),
        ("/t", "/"),
        ("/t/", "/"),
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/executions/a%2Fb", "/executions/a%2Fb"),
    ],
)
def test_a_path_is_made_plain(path: str, expected: str):
    """Slashes are joined, one prefix is taken away, whole parts only."""
    assert plain(path, PREFIXES) == expected
