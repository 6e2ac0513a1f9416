"""From a JSON body to typed values, with faults told in words for the person who wrote the body.

Every dialect that reads JSON uses this. Whatever the bytes, the outcome is a value or InvalidRequest.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from orchestrator import limits
from orchestrator.errors import InvalidRequest

ValueT = TypeVar("ValueT")

PARAMETERS_MAX = 400
"""chosen: more than the 300 domains a search may name, each a parameter of its own, and all options."""

_decoder = msgspec.json.Decoder()
_TYPE_FAULT = re.compile(r"Expected `(?P<expected>.+)`, got `(?P<got>.+)` - at `\$\.?(?P<place>.*)`")
_PLACE = re.compile(r"`\$\.?(?P<place>.*)`")
_WORDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "bool | str": "true, false or a string",
    "str | array": "a string or a list",
    "array | str": "a string or a list",
}
_GOT = _WORDS | {"float": "a decimal number", "bool": "a boolean"}
_NAMES_OF_PYTHON = {list: "array", dict: "object", type(None): "null"}


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in the body; of a duplicate key the last value counts. Raises InvalidRequest."""
    if not body:
        raise InvalidRequest('The body is empty. Send a JSON object such as {"query": "..."}.')
    try:
        value = _decoder.decode(body)
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is not text in UTF-8.") from error
    except msgspec.ValidationError as error:
        raise InvalidRequest("The body holds a number that is out of range.") from error
    except msgspec.DecodeError as error:
        if _is_json_but_for_surrogates(body):
            raise InvalidRequest("The body holds text that is not valid Unicode.") from error
        raise InvalidRequest(
            f"The body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}."
        ) from error
    if not isinstance(value, dict):
        name = _NAMES_OF_PYTHON.get(type(value), type(value).__name__)
        raise InvalidRequest(f"The body must be a JSON object, not {_GOT[name]}.")
    return value


def _is_json_but_for_surrogates(body: bytes) -> bool:
    """Whether only half of a surrogate pair keeps the body from being JSON: Python's parser lets it pass."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(body.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


def build(kind: type[ValueT], fields: dict[str, Any], renamed: dict[str, str] | None = None) -> ValueT:
    """The value of type `kind` with these fields, unconverted but for whole decimals (5.0 is 5).

    `renamed` maps names of `kind` to those the caller wrote. Raises InvalidRequest naming field and reason.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        pass
    whole = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in fields.items()}
    try:
        return msgspec.convert(whole, kind)
    except msgspec.ValidationError as error:
        raise _fault(str(error), renamed or {}) from error


def parameters(encoded: bytes) -> list[tuple[str, str]]:
    """Names and values of a query string or a form, in order. Raises InvalidRequest, whatever the bytes."""
    try:
        return parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The parameters are not percent-encoded UTF-8.") from error
    except ValueError as error:
        raise InvalidRequest(f"There are more than {PARAMETERS_MAX} parameters.") from error


def check_depth(extra: dict[str, Any]) -> None:
    """Refuse unknown fields nested deeper than `limits.EXTRA_DEPTH_MAX`. Raises InvalidRequest."""
    level: list[Any] = list(extra.values())
    for _ in range(limits.EXTRA_DEPTH_MAX):
        level = [
            inner
            for value in level
            if isinstance(value, list | dict)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise InvalidRequest(f"The unknown fields are nested deeper than {limits.EXTRA_DEPTH_MAX} levels.")


def _fault(text: str, renamed: dict[str, str]) -> InvalidRequest:
    """The decoder's sentence in our words, such as "max_results: expected an integer, got a string."."""
    fault = _TYPE_FAULT.search(text)
    place = (fault or _PLACE.search(text) or {"place": ""})["place"]
    field = re.split(r"[.\[]", place, maxsplit=1)[0]
    name = renamed.get(field, field)
    shown = name + place.removeprefix(field)
    if fault is None:
        return InvalidRequest(f"{shown}: out of range.", field=name)
    expected = fault["expected"].removesuffix(" | null")
    return InvalidRequest(
        f"{shown}: expected {_WORDS.get(expected, expected)}, got {_GOT.get(fault['got'], fault['got'])}.",
        field=name,
    )
