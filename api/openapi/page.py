"""`/docs`: the OpenAPI document as one page for people, without scripts and without anything from elsewhere.

Everything unfolds with `<details>`, which works in every browser and in none at all, as text; a link leads to
what is within one, because then a browser unfolds it by itself. The only style is in the page, and its hash
is all that the content security policy allows.
"""

from __future__ import annotations

import functools
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from typing import Any

from api.openapi.document import document
from api.openapi.operation import Schema
from api.openapi.page_style import STYLE

_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")


@functools.cache
def page_bytes() -> tuple[bytes, str]:
    """The page, and the content security policy to be sent with it."""
    digest = b64encode(sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    return _page(document()).encode(), policy


def _page(described: Mapping[str, Any]) -> str:
    info = described["info"]
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in described["tags"]}
    links: dict[str, list[str]] = {tag: [] for tag in by_tag}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append(_operation(path, method, operation, described))
            links[operation["tags"][0]].append(_link(path, method, operation))
    sections = "".join(
        f'<section id="{_id(tag["name"])}"><h2>{escape(tag["name"])}</h2><p>{_text(tag["description"])}</p>'
        f"{''.join(by_tag[tag['name']])}</section>"
        for tag in described["tags"]
    )
    contents = "".join(
        f'<li><a href="#{_id(tag)}">{escape(tag)}</a><ul>{"".join(found)}</ul></li>'
        for tag, found in links.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>AMOS: the HTTP API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{STYLE}</style></head><body><nav aria-label="Operations"><ul>{contents}'
        '<li><a href="#schemas">Schemas</a></li><li><a href="#codes">Codes of failures</a></li></ul></nav>'
        f"<main><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"{_paragraphs(info['description'])}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{sections}{_schemas(described)}{_codes(described)}</main></body></html>"
    )


def _link(path: str, method: str, operation: Schema) -> str:
    return f'<li><a href="#{_id(operation["operationId"])}"><b>{method.upper()}</b> {escape(path)}</a></li>'


def _operation(path: str, method: str, operation: Schema, described: Mapping[str, Any]) -> str:
    scopes = [scope for choice in operation["security"][:1] for scopes in choice.values() for scope in scopes]
    key = f"a key with {', '.join(scopes)}" if scopes else "any key" if operation["security"] else "no key"
    return (
        f'<details><summary><b class="{method}">{method.upper()}</b> '
        f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
        f'<div id="{_id(operation["operationId"])}">'
        f"<p>{_text(operation.get('description', ''))}</p><p>Needs {escape(key)}.</p>"
        f"{_parameters(operation.get('parameters', ()))}{_body(operation.get('requestBody'))}"
        f"{_responses(operation['responses'], described)}</div></details>"
    )


def _parameters(parameters: Iterable[Schema]) -> str:
    rows = [
        (
            f"<code>{escape(one['name'])}</code>{_star(one.get('required', False))}",
            escape(one["in"]),
            _kind(one["schema"]),
            _text(one.get("description", "")),
        )
        for one in parameters
    ]
    return _table("Parameters", ("name", "in", "type", ""), rows)


def _body(body: Schema | None) -> str:
    if body is None:
        return ""
    parts = [f"<h4>Body{_star(body.get('required', False))}</h4><p>{_text(body['description'])}</p>"]
    for media_type, content in body["content"].items():
        parts.append(f"<p><code>{escape(media_type)}</code>: {_kind(content['schema'])}</p>")
        parts += [
            f"<p>{escape(example['summary'])}:</p>{_example(example['value'])}"
            for example in content.get("examples", {}).values()
        ]
    return "".join(parts)


def _responses(responses: Mapping[str, Schema], described: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    examples: list[str] = []
    for status, response in responses.items():
        whole = _resolved(response, described)
        kinds = [
            f"<code>{escape(media_type)}</code> {_kind(content['schema'])}"
            for media_type, content in whole.get("content", {}).items()
        ]
        examples += [
            f"<p>{escape(status)}, for example:</p>{_example(content['example'])}"
            for content in whole.get("content", {}).values()
            if "example" in content
        ]
        headers = ", ".join(f"<code>{escape(name)}</code>" for name in whole.get("headers", {}))
        rows.append((escape(status), _text(whole["description"]), "<br>".join(kinds), headers))
    return _table("Answers", ("status", "", "body", "headers"), rows) + "".join(examples)


def _schemas(described: Mapping[str, Any]) -> str:
    found = "".join(_schema(name, schema) for name, schema in described["components"]["schemas"].items())
    return f'<section id="schemas"><h2>Schemas</h2>{found}</section>'


def _schema(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    fields = {
        field: {} if isinstance(one, bool) else one for field, one in schema.get("properties", {}).items()
    }
    rows = [
        (
            f"<code>{escape(field)}</code>{_star(field in required)}",
            _kind(one),
            _text(one.get("description", "")),
        )
        for field, one in fields.items()
    ]
    return (
        f"<details><summary><code>{escape(name)}</code></summary>"
        f'<div id="schema-{_id(name)}">{_paragraphs(schema.get("description", ""))}'
        f"{_table('', ('name', 'type', ''), rows)}</div></details>"
    )


def _codes(described: Mapping[str, Any]) -> str:
    rows = [
        (f"<code>{escape(code)}</code>", str(one["status"]), _text(one["meaning"]))
        for code, one in described["x-amos-errors"].items()
    ]
    table = _table("", ("code", "status", "meaning"), rows)
    return f'<section id="codes"><h2>Codes of failures</h2>{table}</section>'


def _resolved(value: Schema, described: Mapping[str, Any]) -> Schema:
    """What a reference leads to."""
    while "$ref" in value:
        found: Any = described
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def _kind(schema: Any) -> str:
    """A schema in a few words, with links to those that have a name; `True` takes anything."""
    if isinstance(schema, bool) or not schema:
        return "anything" if schema is not False else "nothing"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{_id(name)}">{escape(name)}</a>'
    for keyword, word in (("allOf", " with "), ("anyOf", " or "), ("oneOf", " or ")):
        if keyword in schema and "properties" not in schema:
            return word.join(_kind(one) for one in schema[keyword])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    code = schema.get("properties", {}).get("code") or schema.get("properties", {}).get("amos", {})
    if "type" not in schema and code:
        codes = code.get("enum") or code["properties"]["code"]["enum"]
        return " | ".join(f"<code>{escape(one)}</code>" for one in codes)
    return _plain_kind(schema)


def _plain_kind(schema: Schema) -> str:
    types = schema.get("type", "anything")
    words = [escape(" or ".join([types] if isinstance(types, str) else types))]
    if "items" in schema:
        words.append(f"of {_kind(schema['items'])}")
    bounds = [f"{name} {schema[name]}" for name in _BOUNDS if name in schema]
    return " ".join(words) + (f" <small>({escape(', '.join(bounds))})</small>" if bounds else "")


_BOUNDS = (
    *("format", "pattern", "default", "const"),
    *("minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
)


def _example(value: Any) -> str:
    return f"<pre><code>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</code></pre>"


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    caption = f"<h4>{escape(title)}</h4>" if title else ""
    return (
        f'{caption}<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _star(is_required: bool) -> str:  # noqa: FBT001 - reads as what it says
    return '<abbr title="required">*</abbr>' if is_required else ""


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.strip().split("\n\n") if part)


def _text(text: str) -> str:
    """A description: `code` and **strong** words, nothing else of Markdown."""
    return _BOLD.sub(r"<strong>\1</strong>", _CODE.sub(r"<code>\1</code>", escape(text, quote=False)))


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)
