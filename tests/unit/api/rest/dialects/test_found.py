"""What was written for an answer is remembered, within bounds, and never given for another."""

from __future__ import annotations

import msgspec
import pytest

from api.rest.dialects.found import REMEMBERED_BYTES_MAX, REMEMBERED_MAX, Remembered, day, moment


class Writer:
    """Writes the fragment and how, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, fragment: bytes, *how: object) -> msgspec.Raw:
        """What was asked for, visibly."""
        self.count += 1
        return msgspec.Raw(b"%b %b" % (fragment, repr(how).encode()))


def test_what_was_written_is_given_again():
    """Also for an equal fragment that is another object, as another tier of the cache gives it."""
    write = Writer()
    remembered = Remembered(write)

    first = remembered(b"tides", 1)
    again = remembered(bytes(bytearray(b"tides")), 1)

    assert bytes(first) == bytes(again) == b"tides (1,)"
    assert write.count == 1


def test_another_answer_or_another_way_is_written_anew():
    """Page, provider and topic are part of what is written."""
    remembered = Remembered(Writer())

    written = [bytes(remembered(*asked)) for asked in ((b"a", 1), (b"a", 2), (b"b", 1), (b"a", 1))]

    assert written == [b"a (1,)", b"a (2,)", b"b (1,)", b"a (1,)"]
    assert len(remembered) == 3


def test_no_more_is_remembered_than_may_be():
    """The answers asked last stay; a large one is never among them."""
    write = Writer()
    remembered = Remembered(write)

    for number in range(REMEMBERED_MAX + 10):
        remembered(b"%d" % number)
    for _ in range(2):
        remembered(b"x" * (REMEMBERED_BYTES_MAX + 1))

    assert len(remembered) == REMEMBERED_MAX
    assert write.count == REMEMBERED_MAX + 12


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-02", "2026-11-02T00:00:00"),
        ("2026-11-02T06:40:00Z", "2026-11-02T06:40:00"),
        ("2026-11-02 06:40:00.123", "2026-11-02T06:40:00"),
        ("Mon, 02 Nov 2026 23:30:00 GMT", "2026-11-02T23:30:00"),
        ("Mon, 02 Nov 2026 23:30:00 -0200", "2026-11-03T01:30:00"),
        ("2 hours ago", ""),
        ("Mon, 99 Foo 2026 99:99:99", ""),
        ("x" * 10_000, ""),
    ],
)
def test_dates_are_read_in_the_forms_providers_write(written: str, expected: str):
    """One that cannot be read is none, since a wrong one would be believed."""
    assert moment(written) == expected
    assert day(written) == (expected[:10] or None)
