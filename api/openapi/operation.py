"""What one operation promises, declared beside its route: whoever adds a route adds an `Operation` there.

    OPERATIONS = (
        Operation(
            method="DELETE",
            path="/cache",
            id="clear_cache",
            tag="Cache",
            summary="Clear the cache",
            scopes=("admin",),
            query=CacheQuery,
            answers=(Answer(Cleared, "What was thrown away.", example=...),),
            errors=(InvalidRequest, CacheUnavailable),
        ),
    )

Schemas come from the types (msgspec structs, as a rule those that parse), statuses from api/rest/problems.py.
What every operation may answer is not declared: the guard's refusals, those of a body, those of a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orchestrator.errors import GatewayError

Schema = dict[str, Any]

JSON = "application/json"


def says(description: str, **more: Any) -> Schema:
    """A schema that says what it is of, with `more` keywords."""
    return {"description": description, **more}


def not_both(one: str, other: str) -> Schema:
    """The rule that of two members one at most is given; a null is not given."""
    given = {name: {"not": {"type": "null"}} for name in (one, other)}
    return {"not": {"required": [one, other], "properties": given}}


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a struct looks on the wire where that is not quite its fields; a component called `name`.

    `fields` adds descriptions and bounds to properties, by their names on the wire. `renamed` maps fields to
    these names, `without` are fields that are never there. `more` are members that the struct does not have:
    a type, a `Shape` or a schema each; those named in `required` are always there. In a shape `is_lenient` an
    optional member may also be null, which is as good as absent.
    """

    name: str
    kind: Any
    description: str = ""
    fields: Mapping[str, Schema] = {}
    renamed: Mapping[str, str] = {}
    without: frozenset[str] = frozenset()
    more: Mapping[str, Any] = {}
    required: tuple[str, ...] = ()
    is_lenient: bool = False
    rules: Schema = {}
    """Keywords of the whole: `not`, `allOf`, ..., for what no single field can say."""


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a URL: the members of a `shape`, and one example of each that is worth one.

    With `may_be_empty` an optional one without a value is as good as absent, as forms send it; not a number.
    """

    shape: Any
    examples: Mapping[str, Any] = {}
    may_be_empty: bool = False


class Body(msgspec.Struct, frozen=True):
    """The body of a request. `examples` are whole bodies, by a few words that say what each is for."""

    kind: Any
    description: str
    examples: Mapping[str, Any] = {}
    is_required: bool = True
    media_type: str = JSON


class Link(msgspec.Struct, frozen=True):
    """What may be asked next: the id of an operation, and where in the answer its parameters are.

    These are runtime expressions of OpenAPI, such as `$response.body#/id`.
    """

    operation: str
    parameters: Mapping[str, str]
    description: str


class Answer(msgspec.Struct, frozen=True):
    """One way to succeed.

    `kind` is a type, a `Shape`, a schema, or `None` without a body. `headers` are names in headers.py.
    `also` are further media types with their schemas.
    """

    kind: Any
    description: str
    status: int = 200
    media_type: str = JSON
    headers: tuple[str, ...] = ()
    example: Any = None
    also: Mapping[str, Schema] = {}
    links: Mapping[str, Link] = {}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. `scopes` are those a key needs, `()` for any key; `None` asks for no key.

    `path_parameters` describe what stands in braces. `refusals` are codes of `failures.REFUSALS` that come
    from this route alone. `error_schemas` replace the body of a failure by status, where a standard of its
    own rules. `headers` are request headers, by names in headers.py.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    description: str = ""
    scopes: tuple[str, ...] | None = ()
    query: Parameters | None = None
    path_parameters: Mapping[str, Schema] = {}
    headers: tuple[str, ...] = ()
    body: Body | None = None
    errors: Sequence[type[GatewayError]] = ()
    refusals: Sequence[str] = ()
    error_schemas: Mapping[int, Schema] = {}
    extensions: Mapping[str, Any] = {}
