"""Holds real answers against the OpenAPI document, more strictly than a client: no member is unknown."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import jsonschema_rs

REFERENCE = "$ref"


class Described:
    """The document, and which of its answers were seen."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: set[tuple[str, str, str]] = set()
        self._components = closed(document["components"])

    def check(self, answer: httpx.Response) -> httpx.Response:
        """The answer, which is one that the document promises: status, headers, type and body."""
        method, path = answer.request.method.lower(), answer.request.url.path
        template = self.template_of(path)
        responses = self.document["paths"][template][method]["responses"]
        status = str(answer.status_code)
        assert status in responses, f"{method} {path} answered {status}: {answer.text}"
        promised = self.resolved(responses[status])
        for name, reference in promised.get("headers", {}).items():
            self._check_header(name, self.resolved(reference), answer)
        if "content" in promised:
            self._check_body(promised["content"], answer)
        else:
            assert answer.content == b""
        self.seen.add((method, template, status))
        return answer

    def success(self, answer: httpx.Response) -> httpx.Response:
        """The same of an answer that must be a success, or a 304."""
        assert answer.status_code < 400, f"{answer.request.url}: {answer.text}"
        return self.check(answer)

    def template_of(self, path: str) -> str:
        """The path of the document that a real path is one of; one without braces goes first."""
        for template in sorted(self.document["paths"], key=lambda one: "{" in one):
            if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
                return str(template)
        raise AssertionError(f"{path} is in no path of the document")

    def resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        """What a reference leads to."""
        while REFERENCE in part:
            found: Any = self.document
            for step in part[REFERENCE].removeprefix("#/").split("/"):
                found = found[step]
            part = found
        return part

    def _check_header(self, name: str, header: dict[str, Any], answer: httpx.Response) -> None:
        given = answer.headers.get(name)
        if given is None:
            assert not header.get("required"), f"{name} is missing in the answer {answer.status_code}"
            return
        value = int(given) if header["schema"]["type"] == "integer" else given
        jsonschema_rs.validate(header["schema"], value)

    def _check_body(self, content: dict[str, Any], answer: httpx.Response) -> None:
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in content, f"{media_type} is not promised: {answer.text}"
        is_one_value = media_type.endswith(("/json", "+json"))
        value = json.loads(answer.content) if is_one_value else answer.text
        schema = {**closed(content[media_type]["schema"]), "components": self._components}
        faults = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in jsonschema_rs.validator_for(schema).iter_errors(value)
        ]
        assert not faults, f"{answer.request.method} {answer.request.url}: {faults}"


def closed(value: Any) -> Any:
    """Schemas that take no member they do not name, wherever they name all that an object may have."""
    if isinstance(value, list):
        return [closed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    inner = {name: closed(one) for name, one in value.items()}
    if value.get("type") == "object" and isinstance(value.get("properties"), dict):
        inner.setdefault("additionalProperties", False)
    return inner
