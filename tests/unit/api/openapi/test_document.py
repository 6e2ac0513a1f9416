"""The OpenAPI document: valid, always the same, complete in fields and codes, and nothing in it made up."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from api.openapi.catalogue import OPERATIONS, TAGS
from api.openapi.document import document, document_bytes
from api.openapi.failures import REFUSALS
from api.openapi.operation import Shape
from api.openapi.schemas import Schemas
from api.rest import keys, reports
from api.rest.dialects.tavily import parse_extract, parse_search, parse_search_query
from api.rest.dialects.tavily_shapes import EXTRACT_BODY, SEARCH_BODY, SEARCH_QUERY
from api.rest.problems import STATUSES, Problem, render
from api.warming_run import wish_of
from orchestrator import limits
from orchestrator.errors import InvalidRequest
from orchestrator.filters.validate import check_extract, check_search

ROOT = Path(__file__).resolve().parents[4]

DOCUMENT = json.loads(document_bytes())

BODIES = {"SearchRequest": SEARCH_BODY, "SearchQuery": SEARCH_QUERY, "ExtractRequest": EXTRACT_BODY}

EVERY = [
    (path, method, one) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()
]


class OneField(msgspec.Struct):
    """A type of one field."""

    meaning: str


def schema(name: str) -> dict[str, Any]:
    """A component."""
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


def validator(part: dict[str, Any]) -> jsonschema_rs.Validator:
    """Checks values against a schema of the document."""
    return jsonschema_rs.validator_for({**part, "components": DOCUMENT["components"]}, validate_formats=True)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to."""
    if "$ref" not in part:
        return part
    found: Any = DOCUMENT
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def references(value: Any) -> set[str]:
    """Every reference in a part of the document."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def test_it_is_openapi_3_1():
    """It fits the schema that the OpenAPI Initiative publishes."""
    assert [error.message for error in jsonschema_rs.validator_for(OPENAPI_31).iter_errors(DOCUMENT)] == []


def test_it_is_the_same_in_every_process():
    """No order of a set and no state of a process shows in it."""
    script = "from api.openapi.document import document_bytes as d; import sys; sys.stdout.buffer.write(d())"
    other = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONHASHSEED": "7"}, capture_output=True, check=True
    )

    assert other.stdout == document_bytes()


def test_every_reference_leads_somewhere_and_every_component_is_used():
    """Nothing is missing, and nothing is there that no operation shows."""
    used, found = set(), references(DOCUMENT["paths"])
    while found - used:
        used |= found
        found = set().union(*(references(resolved({"$ref": one})) for one in used))
    components = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in DOCUMENT["components"][kind]
    }

    assert used == components


def test_operations_have_names_of_their_own_and_a_group():
    """Programs are generated from these names."""
    names = [operation.id for operation in OPERATIONS]

    assert sorted(set(names)) == sorted(names)
    assert {operation.tag for operation in OPERATIONS} == set(TAGS)


@pytest.mark.parametrize(("name", "shape"), BODIES.items())
def test_every_field_of_a_request_is_described(name: str, shape: Shape):
    """A field that is added to a request needs a sentence here; so does each parameter of a URL."""
    fields = {shape.renamed.get(field, field) for field in shape.kind.__struct_fields__} - shape.without
    described = shape.fields | shape.more

    assert fields <= described.keys()
    assert all(details.get("description") for details in described.values())
    if name in DOCUMENT["components"]["schemas"]:
        assert schema(name)["properties"].keys() == fields | shape.more.keys()
    else:
        shown = {
            one["name"] for one in DOCUMENT["paths"]["/search"]["get"]["parameters"] if one["in"] == "query"
        }
        assert shown == fields | shape.more.keys()


def test_the_fields_of_other_requests_are_there():
    """Keys, rotations, warming and reports are asked for with these fields and no others."""
    assert schema("KeyWish")["properties"].keys() == set(keys.KeyWish.__struct_fields__)
    assert schema("Rotation")["properties"].keys() == set(keys.Rotation.__struct_fields__)
    for path, _, operation in EVERY:
        if path.startswith("/reports/"):
            shown = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
            assert shown | {"by"} == set(reports.PARAMETERS)


def test_every_error_is_there():
    """Each class of errors has its code, with the status that problems.py gives it."""
    listed = DOCUMENT["x-amos-errors"]

    for error, status in STATUSES.items():
        assert listed[error.code]["status"] == status
        assert listed[error.code]["meaning"]


def problems() -> dict[str, int]:
    """Codes and statuses of every `Problem(status, code, ...)` in the code.

    An `HTTPException(status, ...)` has a code after its status.
    """
    found: dict[str, int] = {}
    for file in (ROOT / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name not in ("Problem", "HTTPException"):
                continue
            status, code = (getattr(given, "value", None) for given in node.args[:2])
            if name == "HTTPException" and isinstance(status, int):
                code = HTTPStatus(status).phrase.lower().replace(" ", "_")
            if isinstance(status, int) and isinstance(code, str):
                found[code] = status
    return found


def test_every_refusal_of_http_is_there():
    """The table of refusals is what the code raises; the three of the connection itself raise nothing."""
    of_the_connection = {"bad_request", "head_too_large", "unknown_transfer_coding"}

    listed = {code: refusal.status for code, refusal in REFUSALS.items() if code not in of_the_connection}
    computed = {"method_not_allowed": 405}  # written in several lines

    assert listed == problems() | computed


def test_a_failure_names_its_codes():
    """The codes that an answer of an operation may have are an enumeration in its schema."""
    refused = resolved(DOCUMENT["paths"]["/search"]["post"]["responses"]["403"])
    check = validator(refused["content"]["application/json"]["schema"])

    assert check.is_valid({"detail": {"error": "No."}, "amos": {"code": "permission_denied"}})
    assert not check.is_valid({"detail": {"error": "No."}, "amos": {"code": "gone_fishing"}})


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_the_envelope_is_the_one_that_is_written_on_the_path(path: str):
    """What a failure looks like is not described from memory: it is rendered and held against the schema."""
    headers, body = render(Problem(429, "rate_limited", "Slow down."), path, request_id="1")
    content = resolved(next(iter(DOCUMENT["paths"][path].values()))["responses"]["421"]).get("content", {})
    media_type = dict(headers)[b"content-type"].decode()

    check = validator(content[media_type]["schema"])
    assert not check.is_valid(json.loads(body))
    check.validate(json.loads(body.replace(b"rate_limited", b"foreign_host")))


def test_every_operation_can_be_refused_and_fail():
    """The guard stands before all, and anything may turn out to be broken."""
    for path, method, operation in EVERY:
        assert {"400", "403", "421", "500"} <= operation["responses"].keys(), (path, method)
        assert bool(operation["security"]) == ("401" in operation["responses"]), (path, method)


@pytest.mark.parametrize(
    ("path", "method", "operation"), EVERY, ids=lambda one: one if isinstance(one, str) else ""
)
def test_examples_fit_their_schemas(path: str, method: str, operation: dict[str, Any]):
    """Every example of a body, a parameter, an answer and a header is one."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for example in content.get("examples", {}).values():
            validator(content["schema"]).validate(example["value"])
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            validator(parameter["schema"]).validate(parameter["example"])
    for response in map(resolved, operation["responses"].values()):
        for content in response.get("content", {}).values():
            if "example" in content:
                validator(content["schema"]).validate(content["example"])
        for header in map(resolved, response.get("headers", {}).values()):
            validator(header["schema"]).validate(header["example"])


def test_a_link_names_an_operation_its_parameters_and_a_member():
    """What may be asked next exists, takes these parameters, and stands in the answer."""
    by_id = {operation["operationId"]: operation for _, _, operation in EVERY}
    links = [
        (link, response["content"]["application/json"]["schema"])
        for _, _, operation in EVERY
        for response in map(resolved, operation["responses"].values())
        for link in response.get("links", {}).values()
    ]

    assert len(links) >= 6
    for link, body in links:
        names = {parameter["name"] for parameter in by_id[link["operationId"]]["parameters"]}
        assert link["parameters"].keys() <= names
        for expression in link["parameters"].values():
            assert expression.removeprefix("$response.body#/") in resolved(body)["properties"]


def test_examples_of_requests_are_accepted():
    """What the document shows the parser takes, and the stage that looks at values lets through."""
    for example in DOCUMENT["paths"]["/search"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ].values():
        check_search(parse_search(json.dumps(example["value"]).encode()).request)
    for example in DOCUMENT["paths"]["/extract"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ].values():
        check_extract(parse_extract(json.dumps(example["value"]).encode()).request)


@pytest.mark.parametrize("fields", [field for field in SEARCH_BODY.fields if field != "query"])
def test_a_search_without_a_field_is_one_with_null(fields: str):
    """An optional field that is null is as good as absent, for the schema and for the parser."""
    body = {"query": "tides", fields: None}

    validator(schema("SearchRequest")).validate(body)
    assert parse_search(json.dumps(body).encode()).request == parse_search(b'{"query": "tides"}').request


@pytest.mark.parametrize(
    "body",
    [
        {"query": "tides", "time_range": "week", "start_date": "2026-01-01"},
        {"query": "tides", "max_results": -1},
        {"query": "tides", "topic": "sports"},
        {"query": "t"},
        {"query": None},
        {"query": "tides", "include_domains": ["a.example"] * (limits.INCLUDE_DOMAINS_MAX + 1)},
        {},
    ],
)
def test_schema_and_code_refuse_the_same(body: dict[str, Any]):
    """What the document forbids is refused."""
    assert not validator(schema("SearchRequest")).is_valid(body)
    with pytest.raises(InvalidRequest):
        check_search(parse_search(json.dumps(body).encode()).request)


def test_a_parameter_of_the_url_is_named_as_the_parser_reads_it():
    """`q` is the query; the others have the names of their fields."""
    asked = parse_search_query(b"q=tides&max_results=3&include_domains=a.example,b.example")

    assert (asked.request.query, asked.request.max_results) == ("tides", 3)


def test_what_is_never_shown_is_not_there():
    """The digest of a key is in no schema, nor is the key anywhere but where it is made."""
    properties = {
        name: set(one.get("properties", ())) for name, one in DOCUMENT["components"]["schemas"].items()
    }

    assert not any("digest" in names for names in properties.values())
    assert [name for name, names in properties.items() if {"key", "client"} <= names] == ["MadeKey"]


def test_two_types_of_one_name_are_an_error():
    """One of them would be described as the other, and nobody would see it."""
    schemas = Schemas()
    schemas.of(OneField)
    other = msgspec.defstruct("OneField", [("other", int)])

    with pytest.raises(ValueError, match="Two types are called OneField"):
        schemas.of(other)


def test_an_operation_that_is_declared_wrongly_is_an_error():
    """A description of a field that is not there is found when the document is made."""
    shape = Shape(name="Wrong", kind=OneField, fields={"gone": {"description": "x"}})
    wrong = msgspec.structs.replace(
        OPERATIONS[0], body=msgspec.structs.replace(OPERATIONS[0].body, kind=shape)
    )

    with pytest.raises(KeyError, match="gone"):
        document([wrong])


def test_wishes_are_taken_as_described():
    """A warming takes exactly the fields of its schema."""
    names = schema("WarmingWish")["properties"].keys()

    assert names == set(type(wish_of({})).__struct_fields__)
