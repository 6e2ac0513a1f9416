"""The OpenAPI 3.1 document of everything that HTTP offers, made of what is declared beside the routes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from api import __version__
from api.openapi.catalogue import OPERATIONS, TAGS
from api.openapi.failures import Failures, every_code
from api.openapi.headers import ANSWER_HEADERS, REQUEST_HEADERS
from api.openapi.operation import Answer, Body, Link, Operation, Parameters, Schema
from api.openapi.schemas import Schemas, not_null
from orchestrator import limits
from orchestrator.api_keys import SCOPES

VERSION = "3.1.1"
"""Not 3.2, which knows QUERY, because few tools do."""

DESCRIPTION = f"""\
One self-hosted gateway for web search. The native search API is Tavily's wire format: its clients work \
unchanged with this address as their base URL. What is AMOS's own is in the member `amos` and in headers.

**Keys.** Show one as `Authorization: Bearer KEY`, as `X-API-Key: KEY`, or in the body as `api_key` where \
there is one. While no key exists, the person at the machine itself needs none. Scopes: {", ".join(SCOPES)}.

**Failures** on Tavily's paths come as `{{"detail": {{"error": "..."}}, "amos": {{"code": "..."}}}}`, on \
those of other dialects in theirs, on all others as problem details (RFC 9457). `code` is stable and for \
programs, the sentence for people.

**What OpenAPI 3.1 cannot say.** `/search` answers `QUERY` (RFC 10008) as it answers `POST`, with an \
`ETag` like `GET`. `HEAD` is answered wherever `GET` is. Any path may be written with repeated slashes. \
Of a parameter that is given several times the last counts, unless it is a list; reports refuse it. \
JSON is read under any `Content-Type`, unless a page sends it, or it is for `/mcp`. A request may be \
refused before there is a route to answer it: 404 for a path that is not here, 405 with `Allow` for a \
method that it does not have, 400 and 431 with problem details for what is no HTTP. A body has at most \
{limits.BODY_BYTES_MAX} bytes.
"""


@functools.cache
def document_bytes() -> bytes:
    """The document as JSON, the same for every installation of this version."""
    return msgspec.json.encode(document())


def document(operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """The document as a value."""
    schemas = Schemas()
    failures = Failures(schemas)
    paths: dict[str, Any] = {}
    for operation in operations:
        described = _operation(operation, schemas, failures)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    used = {operation.tag for operation in operations}
    return {
        "openapi": VERSION,
        "info": {
            "title": "AMOS",
            "version": __version__,
            "summary": "A self-hosted web-search gateway.",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": dict(sorted(failures.components.items())),
            "headers": ANSWER_HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of AMOS."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
            },
        },
        "x-amos-errors": {
            code: {"status": status, "meaning": meaning} for code, (status, meaning) in every_code().items()
        },
    }


def _operation(operation: Operation, schemas: Schemas, failures: Failures) -> Schema:
    parameters = [*_path(operation), *_query(operation.query, schemas), *_headers(operation)]
    responses = {str(answer.status): _answer(answer, schemas) for answer in operation.answers}
    scopes = list(operation.scopes or ())
    return {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.description} if operation.description else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _body(operation.body, schemas)} if operation.body else {}),
        "responses": dict(sorted((responses | failures.of(operation)).items())),
        "security": [] if operation.scopes is None else [{"bearer": scopes}, {"header": scopes}],
        **operation.extensions,
    }


def _path(operation: Operation) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, **described}
        for name, described in operation.path_parameters.items()
    ]


def _query(parameters: Parameters | None, schemas: Schemas) -> list[Schema]:
    """Each member of the shape as a parameter, the required ones first."""
    if parameters is None:
        return []
    members = schemas.members(parameters.shape)
    schemas.without(members["title"])
    required = members.get("required", ())
    return [
        _parameter(name, schema, parameters, is_required=name in required)
        for name, schema in sorted(members["properties"].items(), key=lambda item: item[0] not in required)
    ]


def _parameter(name: str, schema: Schema, parameters: Parameters, *, is_required: bool) -> Schema:
    bare = not_null({key: value for key, value in schema.items() if key != "description"})
    may_be_empty = parameters.may_be_empty and not is_required and bare["type"] != "integer"
    return {
        "name": name,
        "in": "query",
        **({"description": schema["description"]} if "description" in schema else {}),
        **({"required": True} if is_required else {}),
        **({"allowEmptyValue": True} if may_be_empty else {}),
        "schema": bare,
        **({"example": parameters.examples[name]} if name in parameters.examples else {}),
    }


def _headers(operation: Operation) -> list[Schema]:
    return [{"name": name, "in": "header", **REQUEST_HEADERS[name]} for name in operation.headers]


def _body(body: Body, schemas: Schemas) -> Schema:
    examples = {
        summary.replace(" ", "-"): {"summary": summary, "value": value}
        for summary, value in body.examples.items()
    }
    content = {"schema": schemas.of(body.kind), **({"examples": examples} if examples else {})}
    return {
        "description": body.description,
        **({"required": True} if body.is_required else {}),
        "content": {body.media_type: content},
    }


def _answer(answer: Answer, schemas: Schemas) -> Schema:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers}
    described: Schema = {"description": answer.description, **({"headers": headers} if headers else {})}
    if answer.links:
        described["links"] = {name: _link(link) for name, link in answer.links.items()}
    if answer.kind is None:
        return described
    content: Schema = {"schema": schemas.of(answer.kind)}
    if answer.example is not None:
        content["example"] = answer.example
    also = {media_type: {"schema": schema} for media_type, schema in answer.also.items()}
    return {**described, "content": {answer.media_type: content, **also}}


def _link(link: Link) -> Schema:
    return {
        "operationId": link.operation,
        "parameters": dict(link.parameters),
        "description": link.description,
    }
