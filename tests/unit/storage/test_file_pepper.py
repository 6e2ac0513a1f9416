"""The pepper of one machine: made once, for its owner, whoever begins."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.file_pepper import NAME, NoPepper, read_pepper


def test_the_pepper_is_made_once(tmp_path):
    """The first reader makes it, closed to others whatever the umask; everybody after reads the same."""
    before = os.umask(0)
    try:
        pepper = read_pepper(tmp_path / "var")
    finally:
        os.umask(before)

    assert len(pepper) == 64
    assert read_pepper(tmp_path / "var") == pepper
    assert stat.S_IMODE((tmp_path / "var" / NAME).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == [NAME]


def test_of_several_at_once_one_wins(tmp_path):
    """Processes that start together agree."""
    with ThreadPoolExecutor(8) as pool:
        peppers = set(pool.map(lambda _: read_pepper(tmp_path), range(16)))

    assert len(peppers) == 1
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_two_machines_have_two(tmp_path):
    """It is random."""
    assert read_pepper(tmp_path / "a") != read_pepper(tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"short\n"])
def test_a_damaged_pepper_is_not_replaced(tmp_path, content):
    """Another pepper would silently make every key unknown: that is for a person to decide."""
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(NoPepper, match="damaged"):
        read_pepper(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content
