"""What `/providers` promises."""

from __future__ import annotations

from api.openapi.operation import Answer, Body, Operation, Shape
from orchestrator.errors import EventLogUnavailable, ProviderConflict, ProviderNotFound
from orchestrator.limits import PROVIDER_OPTIONS_BYTES_MAX
from orchestrator.ports import PROVIDER_NAME
from orchestrator.provider_admin import ListedProvider, ProviderChange, ProviderList, ProviderWish
from orchestrator.providers.registry import PRIORITY_MAX

TAG = "Providers"

_PRIORITY = {"minimum": 0, "maximum": PRIORITY_MAX, "description": "The lowest is asked first."}

_WIKI = {
    "name": "wiki",
    "kind": "searxng",
    "priority": 250,
    "enabled": True,
    "source": "runtime",
    "options": {"url": "http://searxng.example.org"},
    "status": "serving",
    "detail": "",
    "since": 1796053441.7,
    "by": "boss",
}

_NAME = {
    "name": {
        "description": "What the provider is called.",
        "schema": {"type": "string"},
        "example": _WIKI["name"],
    }
}

_WISH = Shape(
    name="ProviderWish",
    kind=ProviderWish,
    description="What the provider shall be.",
    fields={
        "name": {
            "description": "What it is called in answers and reports.",
            "pattern": f"^{PROVIDER_NAME.pattern}$",
        },
        "kind": {"description": "What it is: one of the `kinds` of `GET /providers`."},
        "priority": {
            **_PRIORITY,
            "description": "The lowest is asked first; null is the last place of those that search the web.",
        },
        "options": {
            "description": f"As its kind has them, at most {PROVIDER_OPTIONS_BYTES_MAX} bytes, and no secret."
        },
        "enabled": {"description": "Whether it is asked."},
        "replace": {"description": "Whether it may take the place of one registered under this name."},
    },
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/providers",
        id="providers",
        tag=TAG,
        summary="All providers and kinds",
        scopes=("admin",),
        answers=(
            Answer(
                ProviderList,
                "In the order in which they are asked.",
                headers=("Cache-Control",),
                example={"providers": [_WIKI], "kinds": []},
            ),
        ),
    ),
    Operation(
        method="POST",
        path="/providers",
        id="register_provider",
        tag=TAG,
        summary="Register a provider",
        description="It is asked from now on, by every instance within seconds, and after restarts.",
        scopes=("admin",),
        body=Body(
            _WISH,
            "What it shall be.",
            {"a SearXNG": {"name": "wiki", "kind": "searxng", "options": _WIKI["options"]}},
        ),
        answers=(
            Answer(ListedProvider, "It is registered.", 201, headers=("Cache-Control",), example=_WIKI),
        ),
        errors=(ProviderConflict, EventLogUnavailable),
    ),
    Operation(
        method="PATCH",
        path="/providers/{name}",
        id="change_provider",
        tag=TAG,
        summary="Move, enable or disable a provider",
        description="Also one of the settings.",
        scopes=("admin",),
        path_parameters=_NAME,
        body=Body(
            Shape(
                name="ProviderChange",
                kind=ProviderChange,
                fields={"priority": _PRIORITY, "enabled": {"description": "Whether it is asked."}},
                rules={
                    "anyOf": [
                        {"required": ["priority"], "properties": {"priority": {"type": "integer"}}},
                        {"required": ["enabled"], "properties": {"enabled": {"type": "boolean"}}},
                    ]
                },
            ),
            "What shall be different; at least one of both.",
            {"first": {"priority": 0}, "off": {"enabled": False}},
        ),
        answers=(Answer(ListedProvider, "It is so.", headers=("Cache-Control",), example=_WIKI),),
        errors=(ProviderNotFound, EventLogUnavailable),
        refusals=("not_found",),
    ),
    Operation(
        method="DELETE",
        path="/providers/{name}",
        id="remove_provider",
        tag=TAG,
        summary="Remove a provider",
        description="One that was registered at run time; calls under way there end as they would have.",
        scopes=("admin",),
        path_parameters=_NAME,
        answers=(Answer(ListedProvider, "It is no more; this is what it was.", headers=("Cache-Control",)),),
        errors=(ProviderNotFound, ProviderConflict, EventLogUnavailable),
        refusals=("not_found",),
    ),
)
