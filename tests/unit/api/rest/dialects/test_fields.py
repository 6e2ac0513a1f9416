"""JSON bodies: a value, or a fault in words for the person who wrote the body; never anything else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rest.dialects.fields import build, check_depth, decode_object
from orchestrator import limits
from orchestrator.errors import InvalidRequest
from tests.support.fuzzing import outcome, patient


class Sample(msgspec.Struct):
    """One field of each kind there is."""

    number: int | None = None
    amount: float | None = None
    flag: bool | None = None
    choice: bool | str | None = None
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The body is empty."),
        (b"{", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"query":"\\ud800ab"}', "not valid Unicode"),
        (b'{"query":"\\ud800', "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid Unicode"),
        (b'{"a": "\xff"}', "not text in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "out of range"),
        (b"[1]", "not a list"),
        (b'"query"', "not a string"),
        (b"null", "not null"),
        (b"5", "not an integer"),
    ],
)
def test_a_body_that_is_no_object_is_told_so(body: bytes, words: str):
    """Whatever is wrong with the body as a whole is said in a sentence."""
    with pytest.raises(InvalidRequest, match=words):
        decode_object(body)


def test_the_last_of_duplicate_keys_counts():
    """Of a key given twice the last value counts, as in nearly every JSON reader."""
    assert decode_object(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"number": "5"}, "number: expected an integer, got a string."),
        ({"number": 1.5}, "number: expected an integer, got a decimal number."),
        ({"number": True}, "number: expected an integer, got a boolean."),
        ({"number": []}, "number: expected an integer, got a list."),
        ({"amount": {}}, "amount: expected a number, got an object."),
        ({"amount": 10**400}, "amount: out of range."),
        ({"flag": 1}, "flag: expected true or false, got an integer."),
        ({"choice": 1}, "choice: expected true, false or a string, got an integer."),
        ({"names": "a"}, "names: expected a list, got a string."),
        ({"names": ["a", 3]}, "names[1]: expected a string, got an integer."),
        ({"names": ["a", None]}, "names[1]: expected a string, got null."),
    ],
)
def test_a_wrong_type_names_the_field(fields: dict[str, object], sentence: str):
    """The sentence says which field, what was expected, and what came."""
    with pytest.raises(InvalidRequest) as refused:
        build(Sample, fields)

    assert refused.value.message == sentence
    assert refused.value.field in fields


def test_a_renamed_field_is_named_as_the_caller_wrote_it():
    """Nobody is told about a name they never used."""
    with pytest.raises(InvalidRequest) as refused:
        build(Sample, {"amount": "x"}, {"amount": "timeout"})

    assert (refused.value.field, refused.value.message[:8]) == ("timeout", "timeout:")


def test_a_whole_decimal_is_an_integer():
    """JSON has one kind of number: 1e9 and 5.0 are integers."""
    assert build(Sample, {"number": 1e9}).number == 1_000_000_000


def test_depth_is_bounded():
    """Unknown fields may nest to the limit and no further."""
    deepest: object = 1
    for _ in range(limits.EXTRA_DEPTH_MAX - 1):
        deepest = [deepest]

    check_depth({"a": deepest})
    with pytest.raises(InvalidRequest, match="nested deeper"):
        check_depth({"a": {"b": [deepest]}})


@patient
@given(st.binary(max_size=300))
def test_any_bytes_give_an_object_or_a_refusal(body: bytes):
    """No bytes make decoding fail in another way."""
    value, refusal = outcome(decode_object, body)

    assert isinstance(value, dict) or isinstance(refusal, InvalidRequest)


json_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.lists(st.none() | st.integers() | st.text(max_size=5), max_size=3)
    | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)
)


@patient
@given(st.dictionaries(st.sampled_from(Sample.__struct_fields__), json_values))
def test_any_fields_give_a_value_or_a_refusal_that_names_one(fields: dict[str, object]):
    """Whatever a field holds, it is taken or refused by name, in words that are ours."""
    value, refusal = outcome(build, Sample, fields)

    assert isinstance(value, Sample) or (
        isinstance(refusal, InvalidRequest) and refusal.field in fields and "`" not in refusal.message
    )
