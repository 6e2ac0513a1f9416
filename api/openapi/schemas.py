"""From types to JSON Schema 2020-12, by the very structs that parse and encode.

msgspec writes the schemas; here they are made easier to read (`["string", "null"]` in place of two
alternatives, descriptions on one margin) and put into the shape they have on the wire.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api.openapi.operation import Schema, Shape

REF = "#/components/schemas/"


def is_schema(kind: Any) -> bool:
    """Whether it is a schema already."""
    return isinstance(kind, Mapping)


class Schemas:
    """Turns kinds into schemas and collects the components that these refer to, sorted by name.

    A kind is a type, a `Shape` or a schema.
    """

    def __init__(self) -> None:
        self._components: dict[str, Schema] = {}

    @property
    def components(self) -> dict[str, Schema]:
        """Everything referred to until now."""
        return dict(sorted(self._components.items()))

    def of(self, kind: Any) -> Schema:
        """The schema of a kind; of a struct a reference to its component."""
        if is_schema(kind):
            return {name: self._inner(value) for name, value in kind.items()}
        if isinstance(kind, Shape):
            if kind.name not in self._components:
                self._components[kind.name] = {}  # in case it refers to itself
                self._components[kind.name] = self._shaped(kind)
            return {"$ref": REF + kind.name}
        (schema,), components = msgspec.json.schema_components([kind], ref_template=REF + "{name}")
        plain: Schema = _tidy(schema)
        self._take(components, components)
        return plain

    def members(self, kind: Any) -> Schema:
        """The schema of a struct or shape itself, not a reference to it."""
        reference = self.of(kind)
        return self._components[reference["$ref"].removeprefix(REF)]

    def without(self, name: str) -> None:
        """Forget a component that nobody refers to."""
        self._components.pop(name, None)

    def _take(self, found: Mapping[str, Schema], names: Iterable[str]) -> None:
        """Take up the components of these names, and what they refer to. Raises ValueError."""
        for name in names:
            if name not in found:
                continue
            component = _described(_tidy(found[name]))
            if name not in self._components:
                self._components[name] = component
                self._take(found, _named(component))
            elif self._components[name] != component:
                raise ValueError(f"Two types are called {name}; give one of them a Shape with another name.")

    def _inner(self, value: Any) -> Any:
        """A keyword's value: in it kinds may stand where schemas do."""
        if isinstance(value, Shape | type):
            return self.of(value)
        if isinstance(value, Mapping):
            return {name: self._inner(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._inner(inner) for inner in value]
        return value

    def _shaped(self, shape: Shape) -> Schema:
        (_, *_), components = msgspec.json.schema_components([shape.kind], ref_template=REF + "{name}")
        whole = components.pop(shape.kind.__name__)
        tidy = _described(_tidy(whole))
        own = {name: schema for name, schema in tidy["properties"].items() if name not in shape.without}
        properties = {shape.renamed.get(name, name): schema for name, schema in own.items()}
        required = {shape.renamed.get(name, name) for name in tidy.get("required", ()) if name in own}
        properties |= {name: self.of(kind) for name, kind in shape.more.items()}
        required |= set(shape.required)
        for name, details in shape.fields.items():
            properties[name] = _merged(properties[name], self.of(details))
        if shape.is_lenient:
            properties = {
                name: schema if name in required else _or_null(schema) for name, schema in properties.items()
            }
        self._take(components, _named(properties))
        description = shape.description or tidy.get("description", "")
        return {
            **{name: value for name, value in tidy.items() if name not in _REPLACED},
            "title": shape.name,
            **({"description": description} if description else {}),
            "properties": properties,
            **({"required": [name for name in properties if name in required]} if required else {}),
            **shape.rules,
        }


def _named(value: Any) -> set[str]:
    """The names of the components that a schema refers to."""
    if isinstance(value, list):
        return set().union(*map(_named, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"].removeprefix(REF)} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(_named, value.values()))


_REPLACED = {"title", "description", "properties", "required"}


def _merged(schema: Schema, details: Schema) -> Schema:
    """The schema with more said about it. An enum or alternatives say all that there was about types."""
    if not {"enum", "anyOf", "oneOf"}.isdisjoint(details):
        schema = {name: value for name, value in schema.items() if name in ("default", "description")}
        if "enum" in details:
            details = {**details, "type": _types(details["enum"])}
    return {**schema, **details}


def _types(values: Iterable[Any]) -> str | list[str]:
    names = {bool: "boolean", str: "string", type(None): "null", int: "integer", float: "number"}
    found = list(dict.fromkeys(names[type(value)] for value in values))
    return found[0] if len(found) == 1 else found


def not_null(schema: Schema) -> Schema:
    """The schema without null, which no URL can say."""
    types = schema.get("type")
    if not isinstance(types, list) or "null" not in types:
        return schema
    left = [name for name in types if name != "null"]
    return {**schema, "type": left[0] if len(left) == 1 else left}


def _or_null(schema: Schema) -> Schema:
    """The schema, and null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "anyOf" in schema:
        if {"type": "null"} in schema["anyOf"]:
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema:
        return schema
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    enum = schema.get("enum")
    return {
        **schema,
        "type": types if "null" in types else [*types, "null"],
        **({} if enum is None or None in enum else {"enum": [*enum, None]}),
    }


def _described(component: Schema) -> Schema:
    """The component without what msgspec makes of a docstring it has inherited."""
    if "description" in component:
        component["description"] = inspect.cleandoc(component["description"])
    return component


def _tidy(schema: Any) -> Any:
    """The schema as people write it: alternatives of plain types as a list of types, no default of null."""
    if isinstance(schema, list):
        return [_tidy(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        name: value if name in ("default", "enum") else _tidy(value)
        for name, value in schema.items()
        if (name, value) != ("default", None)
    }
    alternatives = tidy.get("anyOf", [])
    if alternatives and all(set(one) == {"type"} and isinstance(one["type"], str) for one in alternatives):
        del tidy["anyOf"]
        return {"type": [one["type"] for one in alternatives], **tidy}
    if len(alternatives) == 2 and alternatives[1] == {"type": "null"} and "type" in alternatives[0]:
        del tidy["anyOf"]
        return {**_or_null(alternatives[0]), **tidy}
    return tidy
