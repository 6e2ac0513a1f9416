"""Country names and codes."""

from __future__ import annotations

import pytest

from orchestrator.countries import COUNTRIES, country_name


def test_the_list_is_tavilys():
    """166 names, lower case, each with a code of its own."""
    assert len(COUNTRIES) == len(set(COUNTRIES.values())) == 166
    assert all(name == name.lower() and len(code) == 2 for name, code in COUNTRIES.items())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("germany", "germany"),
        ("United  States ", "united states"),
        ("us", "united states"),
        ("GB", "united kingdom"),
        ("uk", "united kingdom"),
        ("ci", None),
        ("atlantis", None),
        ("", None),
    ],
)
def test_a_name_or_a_code_is_found(text, name):
    """Names and codes in any case give the name; all else gives nothing."""
    assert country_name(text) == name
