"""What the options of a provider may hold: little, and no secret, because they stand in the record.

Secrets are settings (`AMOS_PROVIDER_SECRETS`), and options name them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from orchestrator import limits
from orchestrator.errors import InvalidRequest

SECRET = re.compile(
    r"://[^/?#\s]*@|\b(amos_live_|tvly-|jina_[0-9a-f]{8}|sk-[A-Za-z0-9]|gh[pousr]_|xox[abprs]-|AKIA[A-Z0-9]{8}|Bearer\s+[^\s{])"
)
"""A URL with a user in it, and how keys begin that people put where they do not belong: ours, those of
providers, and common ones."""

_SHOWABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")

_ELSEWHERE = "put it into AMOS_PROVIDER_SECRETS under a name, and write {secret:NAME} in its place."


def check_options(options: Mapping[str, Any], is_secret: Callable[[str], bool]) -> None:
    """Refuse options that are too many, cannot be recorded or hold a secret. Raises InvalidRequest.

    The message says in which option something is wrong and never repeats it.
    """
    for name, text in _texts(options):
        if _holds_secret(text, is_secret):
            is_harmless = _SHOWABLE.fullmatch(name) and not _holds_secret(name, is_secret)
            where = f"options.{name}" if is_harmless else "options"
            raise InvalidRequest(f"{where}: holds a secret, as it seems; {_ELSEWHERE}", field="options")
    try:
        encoded = msgspec.json.encode(options)
        is_kept = msgspec.json.decode(encoded) == options  # a number may come back as another
    except (TypeError, ValueError, OverflowError) as error:
        raise _not_json() from error
    if not is_kept:
        raise _not_json()
    if len(encoded) > limits.PROVIDER_OPTIONS_BYTES_MAX:
        raise InvalidRequest(
            f"options: more than {limits.PROVIDER_OPTIONS_BYTES_MAX} bytes as JSON.", field="options"
        )


def shown_options(options: Mapping[str, Any], is_secret: Callable[[str], bool]) -> dict[str, Any]:
    """The options for people: a text that holds a secret is `***`.

    None that was registered does; those of the settings are the operator's own, and nobody checked them.
    """

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return "***" if _holds_secret(value, is_secret) else value
        if isinstance(value, Mapping):
            return {shown(name): shown(inner) for name, inner in value.items()}
        return [shown(inner) for inner in value] if isinstance(value, list | tuple) else value

    return {name: shown(value) for name, value in options.items()}


def _not_json() -> InvalidRequest:
    return InvalidRequest("options: hold something that JSON cannot.", field="options")


def _texts(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text in the options, names too, with the name of its option.

    Raises InvalidRequest if one is nested too deeply.
    """
    level: list[tuple[str, Any]] = list(options.items())
    yield from ((name, name) for name in options)
    for _ in range(limits.EXTRA_DEPTH_MAX):
        inner: list[tuple[str, Any]] = []
        for name, value in level:
            if isinstance(value, str):
                yield name, value
            elif isinstance(value, Mapping):
                inner += ((name, part) for pair in value.items() for part in pair)
            elif isinstance(value, list | tuple):
                inner += ((name, part) for part in value)
        if not inner:
            return
        level = inner
    raise InvalidRequest(f"options: nested deeper than {limits.EXTRA_DEPTH_MAX} levels.", field="options")


def _holds_secret(text: str, is_secret: Callable[[str], bool]) -> bool:
    return SECRET.search(text) is not None or is_secret(text)
