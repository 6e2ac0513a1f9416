"""What a plug-in gave as its answer, taken apart and put together anew: what comes out is what the types say.

The types of the model are frozen values that check nothing when they are made, so a plug-in may put anything
into them. Encoding and decoding an answer once checks every field of it, finds text that cannot be written,
and leaves nothing of the plug-in's own objects behind; five results take some tens of microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from orchestrator import limits
from orchestrator.errors import ProviderProtocolError
from orchestrator.model import (
    ExtractAnswer,
    Found,
    Page,
    PageFailure,
    SearchAnswer,
    SearchResult,
)
from orchestrator.providers.soundness import cost_fault

GivenT = TypeVar("GivenT", bound=SearchAnswer | ExtractAnswer)

RESULTS_MAX = 1_000
"""chosen: fifty times what a caller can ask for; an answer with more is no answer but a dump."""

UNSUPPORTED_MAX = 64
"""chosen: twice the fields a request has."""

BAD_SHAPE = "bad_shape"
"""The answer is not what the types promise."""

TOO_LARGE = "too_large"
"""The answer has more results or text than any caller could use."""


def checked(found: object, answer_type: type[GivenT], provider: str) -> Found[GivenT]:
    """The same answer, of which everything is what it should be.

    Raises ProviderProtocolError, reason `bad_shape` or `too_large`, that says what is wrong without repeating
    it. Takes time in proportion to the answer, which is bounded first.
    """
    fault = cost_fault(found.cost) if isinstance(found, Found) else "it is no Found"
    if fault or not isinstance(found, Found):
        raise _broken(provider, fault)
    if found.provider != provider:
        raise _broken(provider, "its `provider` is another name")
    if not isinstance(found.answer, answer_type):
        raise _broken(provider, f"its `answer` is no {answer_type.__name__}")
    _check_size(provider, found.answer)
    try:
        # A strict decoder takes no NaN (it is written as null), no number for a text and no missing field.
        answer = msgspec.json.decode(msgspec.json.encode(found.answer), type=answer_type)
        unsupported = msgspec.convert(found.unsupported, type=tuple[str, ...])
    except msgspec.ValidationError as error:
        raise _broken(provider, str(error)) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _broken(provider, f"it cannot be written as JSON ({type(error).__name__})") from error
    scores = [one.score for one in answer.results] if isinstance(answer, SearchAnswer) else []
    if not all(0.0 <= score <= 1.0 for score in scores):
        raise _broken(provider, "a score is not between 0 and 1")
    return Found(answer=answer, provider=provider, cost=found.cost, unsupported=unsupported[:UNSUPPORTED_MAX])


def _check_size(provider: str, answer: SearchAnswer | ExtractAnswer) -> None:
    """Refuse what would take long to look at; only lengths are asked for."""
    kinds = (SearchResult,) if isinstance(answer, SearchAnswer) else (Page, PageFailure)
    chars = 0
    for field in answer.__struct_fields__:
        value = getattr(answer, field)
        parts = value if isinstance(value, tuple | list) else ()
        if len(parts) > RESULTS_MAX:
            raise _broken(provider, f"it has more than {RESULTS_MAX} {field}", TOO_LARGE)
        if field in ("results", "pages", "failures") and not all(isinstance(one, kinds) for one in parts):
            raise _broken(provider, f"not all of its {field} are {' or '.join(k.__name__ for k in kinds)}")
        chars += sum(map(len, _texts([value, *parts])))
        if chars > limits.UPSTREAM_BODY_BYTES_MAX:
            raise _broken(
                provider, f"it has more than {limits.UPSTREAM_BODY_BYTES_MAX} characters", TOO_LARGE
            )


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """The texts among the values, and in the fields of those that are structs."""
    for value in values:
        if isinstance(value, msgspec.Struct):
            yield from _texts(getattr(value, field) for field in value.__struct_fields__)
        elif isinstance(value, str):
            yield value


def _broken(provider: str, fault: str, reason: str = BAD_SHAPE) -> ProviderProtocolError:
    return ProviderProtocolError(
        f"{provider} gave an answer that is none: {fault}.", provider=provider, reason=reason
    )
