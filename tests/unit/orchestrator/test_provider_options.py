"""Options of providers stand in the record for good: they are small and hold no secret."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.limits import EXTRA_DEPTH_MAX, PROVIDER_OPTIONS_BYTES_MAX
from orchestrator.provider_options import check_options, shown_options


def is_secret(text):
    """Holds the secret of the settings."""
    return "hush-hush" in text


def nested(levels):
    """So many lists in each other."""
    value = 0
    for _ in range(levels):
        value = [value]
    return {"deep": value}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"url": "https://searx.internal:8080/search?q=a@b", "secret": "wiki"},
        {"headers": {"Authorization": "Bearer {secret:wiki}"}, "url": "https://host/?key={secret:wiki}"},
        {"mail": "boss@example.org", "engines": ["wikipedia", "task-force"], "map": {"title": "/name"}},
        {"huge": 2**63 - 1, "none": None, "text": "\u0000 \U0001f600"},
        nested(EXTRA_DEPTH_MAX - 1),
    ],
)
def test_ordinary_options_pass(options):
    """Addresses, names, mappings."""
    check_options(options, is_secret)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:word@host/",
        "see http://user@host:80/x",
        "HTTP://u:p@h",
        "hush-hush",
        "say hush-hush twice",
        "tvly-0123",
        "amos_live_k7Qm2xR9",
        "Bearer abc",
        "sk-abcdef",
        "jina_0123456789abcdef",
    ],
)
def test_a_secret_is_refused_wherever_it_stands(text):
    """As a value, inside lists and objects, and as a name; the message never repeats it."""
    for options in ({"a": text}, {"a": [{"b": text}]}, {"a": {text: 1}}, {text: 1}):
        with pytest.raises(InvalidRequest, match="holds a secret") as refused:
            check_options(options, is_secret)

        assert text not in refused.value.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": "x" * PROVIDER_OPTIONS_BYTES_MAX}, "bytes"),
        (nested(EXTRA_DEPTH_MAX + 1), "deeper"),
        (nested(900), "deeper"),
        ({"number": float("nan")}, "JSON"),
        ({"half": "\ud800"}, "JSON"),
    ],
)
def test_what_cannot_be_recorded_is_refused(options, words):
    """Too large, too deep, or nothing that JSON could hold."""
    with pytest.raises(InvalidRequest, match=words):
        check_options(options, is_secret)


def test_what_the_settings_hold_is_shown_without_its_secrets():
    """Options of the settings were never checked: a text with a secret in it is not shown, the rest is."""
    options = {"url": "http://u:p@host", "list": ["tvly-0123", {"a": "hush-hush"}], "n": 5, "plain": "x"}

    assert shown_options(options, is_secret) == {
        "url": "***",
        "list": ["***", {"a": "***"}],
        "n": 5,
        "plain": "x",
    }
