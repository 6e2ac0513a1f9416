"""The id of a research says which task it is, under which key it was begun, and whose it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.providers.tavily_tasks import Task, TaskIds

TAVILYS = "0b6a2f5e-0c64-4f0d-9a70-5b6f2f7a9f11"
KEY = "Bearer tvly-one"


def test_an_id_is_read_as_it_was_made():
    """By whichever instance has the secret; Tavily's id is in it, the key is not."""
    made = TaskIds(b"secret").issue(TAVILYS, KEY, "ann")

    assert made is not None
    assert made.startswith(f"{TAVILYS}.")
    assert "tvly" not in made
    other_instance = TaskIds(b"secret")
    assert other_instance.read(made, "ann") == Task(TAVILYS, other_instance.key_of(KEY))


@pytest.mark.parametrize("task", ["", "a/b", ".", "..", "a..b", "a.", ".a", "ü", "x" * 129, "a b", "a\n"])
def test_what_is_no_id_gets_none(task):
    """Nothing that would change the path it stands in, or be read differently later."""
    assert TaskIds(b"secret").issue(task, KEY, "ann") is None


def test_an_id_within_an_id():
    """What answers as Tavily may be a gateway with ids like ours; what it began is paid for."""
    theirs = TaskIds(b"their secret").issue(TAVILYS, KEY, "we")
    assert theirs is not None
    ids = TaskIds(b"secret")
    made = ids.issue(theirs, KEY, "ann")

    assert made is not None
    assert ids.read(made, "ann") == Task(theirs, ids.key_of(KEY))


def test_an_id_is_its_clients_alone():
    """Another client, another secret and any change of a character read nothing."""
    ids = TaskIds(b"secret")
    made = ids.issue(TAVILYS, KEY, "ann")

    assert ids.read(made, "bob") is None
    assert TaskIds(b"other").read(made, "ann") is None
    for place in range(len(made)):
        changed = made[:place] + ("0" if made[place] != "0" else "1") + made[place + 1 :]
        assert ids.read(changed, "ann") is None


@given(st.text(max_size=300))
def test_any_text_is_read_or_not(text):
    """Whatever a caller sends as an id ends in no task, and in no exception."""
    assert TaskIds(b"secret").read(text, "ann") is None


def test_keys_are_told_apart():
    """By a digest that other secrets make another one."""
    ids = TaskIds(b"secret")

    assert ids.key_of(KEY) == ids.key_of(KEY) != ids.key_of("Bearer tvly-two")
    assert ids.key_of(KEY) != TaskIds(b"other").key_of(KEY)
