"""The providers of an installation: the kinds there are, and those the settings name.

A name in `AMOS_PROVIDERS` is a provider of the kind of that name, unless its entry in `AMOS_PROVIDER_OPTIONS`
says another `kind`; what else the entry has are the options.
"""

from __future__ import annotations

from typing import Any

from api.keys import installation_of
from api.settings import Settings
from orchestrator.errors import SettingsError
from orchestrator.ports import Clock, FactSink, Provider
from orchestrator.providers.jina import Jina
from orchestrator.providers.key_pool import KeyPool
from orchestrator.providers.local import Local
from orchestrator.providers.mcp_tool import MCP
from orchestrator.providers.registry import (
    PRIORITY_STEP,
    Kinds,
    NoOptions,
    ProviderKind,
    Registration,
    Tools,
    Unconfigured,
)
from orchestrator.providers.searxng import SEARXNG
from orchestrator.providers.tavily import Tavily
from orchestrator.providers.tavily_tasks import TaskIds
from orchestrator.providers.upstream import Upstream
from orchestrator.roster import Roster


def roster_of(
    settings: Settings, clock: Clock, facts: FactSink | None = None, secret: bytes | None = None
) -> Roster:
    """The providers the settings name. `secret` is the installation's: see `built_in`, and `installation_of`.

    Raises SettingsError for one whose kind or options cannot be.
    """
    tools = Tools(
        clock=clock,
        facts=facts,
        secret=settings.provider_secret,
        installation=installation_of(secret) if secret else "",
    )
    roster = Roster(Kinds(built_in(settings, secret)), tools)
    registrations = registered(settings)
    roster.use(registrations)
    if roster.refused:
        faults = (f"  {_variable(settings, one)}: {one}: {why}" for one, why in roster.refused.items())
        raise SettingsError("AMOS cannot start with this configuration:\n" + "\n".join(faults))
    return roster


def _variable(settings: Settings, name: str) -> str:
    """Which setting made a provider what it is."""
    return "AMOS_PROVIDER_OPTIONS" if settings.provider_options.get(name) else "AMOS_PROVIDERS"


def registered(settings: Settings) -> tuple[Registration, ...]:
    """The registrations the settings make, in the order of the chain."""
    return tuple(
        Registration(name=name, priority=place * PRIORITY_STEP, **_kind_and_options(settings, name))
        for place, name in enumerate(settings.providers, start=1)
    )


def _kind_and_options(settings: Settings, name: str) -> dict[str, Any]:
    options = dict(settings.provider_options.get(name, {}))
    return {"kind": options.pop("kind", name), "options": options}


def built_in(settings: Settings, secret: bytes | None = None) -> dict[str, ProviderKind[Any]]:
    """The kinds that AMOS brings. Those with settings of their own have no options.

    Instances that share the `secret` understand each other's ids of researches.
    """
    return {
        "tavily": ProviderKind(
            summary="Tavily: searches the web and reads pages.",
            options=NoOptions,
            make=lambda _name, _options, tools: _tavily(settings, tools, secret),
        ),
        "jina": ProviderKind(
            summary="Jina: searches the web and reads pages.",
            options=NoOptions,
            make=lambda _name, _options, tools: _jina(settings, tools),
        ),
        "local": ProviderKind(
            summary="Searches folders of Markdown, text and HTML on this machine.",
            options=NoOptions,
            make=lambda _name, _options, tools: _local(settings, tools),
        ),
        "mcp": MCP,
        "searxng": SEARXNG,
    }


def _tavily(settings: Settings, tools: Tools, secret: bytes | None) -> Provider | Unconfigured:
    keys = settings.api_keys("tavily")
    if not keys:
        return Unconfigured(name="tavily", reason="TAVILY_API_KEY is not set.")
    pool = KeyPool("tavily", keys, tools.clock, tools.facts)
    tasks = None if secret is None else TaskIds(secret)
    upstream = Upstream("tavily", tools.clock)
    return Tavily(upstream, settings.tavily_base_url, pool, tasks, tools.installation)


def _jina(settings: Settings, tools: Tools) -> Provider | Unconfigured:
    keys = settings.api_keys("jina")
    if not keys:
        return Unconfigured(name="jina", reason="JINA_API_KEY is not set.")
    return Jina(
        Upstream("jina", tools.clock),
        tools.clock,
        KeyPool("jina", keys, tools.clock, tools.facts),
        search_url=settings.jina_search_url,
        reader_url=settings.jina_reader_url,
        usd_per_million_tokens=settings.jina_usd_per_million_tokens,
    )


def _local(settings: Settings, tools: Tools) -> Provider | Unconfigured:
    folders = settings.local_folders
    if not folders:
        return Unconfigured(name="local", reason="AMOS_LOCAL_PATHS is not set.")
    return Local(folders, settings.data_dir / "local.sqlite", tools.clock)
