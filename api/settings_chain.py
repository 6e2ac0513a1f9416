"""The settings of the chain: which providers, how they are reached, and when they are left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from api.settings_values import (
    PROVIDERS,
    ApiKeys,
    WebAddress,
    conventional,
    cooldowns,
    folders,
    json_object,
    options_by_name,
    provider_names,
    secrets_by_name,
    split,
)
from orchestrator import limits
from orchestrator.cooldown import CircuitPolicy
from orchestrator.filters.provider_room import ProviderRoomPolicy
from orchestrator.filters.validate_result import ResultPolicy
from orchestrator.hedging import HedgePolicy
from orchestrator.ports import ProviderTiming
from orchestrator.providers import jina_reader, jina_search, tavily_wire

_CIRCUIT = CircuitPolicy()
_ROOM = ProviderRoomPolicy()
_TIMING = ProviderTiming()
"""A default lives once, beside its mechanism; settings only override it."""


class ChainSettings(BaseModel):
    """What the chain of providers is made of."""

    providers: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(provider_names)
    ] = PROVIDERS
    """The order in which providers are asked. One without its key is passed by."""
    provider_options: Annotated[
        dict[str, dict[str, Any]], NoDecode, BeforeValidator(json_object), AfterValidator(options_by_name)
    ] = {}
    """For providers that have options: their `kind`, if their name is not the kind, and the options."""
    provider_secrets: Annotated[SecretStr | None, AfterValidator(secrets_by_name)] = None
    """Secrets that options of providers name; no option holds one itself."""
    tavily_api_key: ApiKeys = Field(default=None, validation_alias=conventional("TAVILY_API_KEY"))
    """The key, or several separated by commas, which are used up in this order."""
    tavily_base_url: WebAddress = tavily_wire.BASE_URL
    jina_api_key: ApiKeys = Field(default=None, validation_alias=conventional("JINA_API_KEY"))
    jina_search_url: WebAddress = jina_search.SEARCH_URL
    jina_reader_url: WebAddress = jina_reader.READER_URL
    jina_usd_per_million_tokens: float = Field(default=jina_search.USD_PER_MILLION_TOKENS, ge=0, le=10_000)
    """What Jina's tokens cost under the plan of the key; 0.05 for keys of September 2026."""
    tavily_concurrency: int = Field(default=_ROOM.calls_max, ge=1, le=_ROOM.calls_max)
    """The most calls to Tavily that one process has under way; how many there may be is learnt within it."""
    jina_concurrency: int = Field(default=_ROOM.calls_max, ge=1, le=_ROOM.calls_max)
    hedge_ratio: float = Field(default=HedgePolicy().ratio, ge=0, le=1)
    """The most calls, of all, for which a second provider is asked because the first is slow; 0 is none."""
    local_paths: Annotated[
        tuple[Path, ...], NoDecode, BeforeValidator(split(os.pathsep)), AfterValidator(folders)
    ] = ()
    """Folders of Markdown, text and HTML that `local` searches; see `local_folders`."""
    search_timeout_s: float = Field(default=_TIMING.search_s, gt=0, le=600)
    """How long a web provider may take for a search, within the deadline of the call."""
    search_advanced_timeout_s: float = Field(default=_TIMING.search_advanced_s, gt=0, le=600)
    """The same for a search of depth `advanced`."""
    extract_timeout_s: float = Field(default=_TIMING.extract_s, gt=0, le=600)
    """The same for the pages of an extract."""
    circuit_failures: int = Field(default=_CIRCUIT.failures_max, ge=1, le=1_000)
    """After so many failures in a row a provider is left alone."""
    circuit_cooldowns_s: Annotated[
        tuple[float, ...], NoDecode, BeforeValidator(split(",")), AfterValidator(cooldowns)
    ] = _CIRCUIT.cooldowns_s
    """For how long: the first time, the second in a row, and so on; the last one also later."""
    tavily_reset_day: int | None = Field(default=None, ge=1, le=31)
    """The day of the month on which Tavily's quota resets, in UTC; `None` if it is not known."""
    results_min: int = Field(default=ResultPolicy().results_min, ge=1, le=limits.RESULTS_MAX)
    """With fewer useful results than this the next provider is asked as well."""

    @model_validator(mode="after")
    def _options_are_of_providers(self) -> Self:
        """A misspelt name would leave its provider with defaults, or out, and nobody would know."""
        if unknown := sorted(self.provider_options.keys() - set(self.providers)):
            raise ValueError(
                f"AMOS_PROVIDER_OPTIONS: {', '.join(unknown)}: not among AMOS_PROVIDERS, which are "
                f"{', '.join(self.providers)}"
            )
        return self

    def provider_secret(self, name: str) -> str | None:
        """The secret that an option names, in clear text, `None` if there is none. For the provider alone."""
        if self.provider_secrets is None:
            return None
        secret: str | None = json_object(self.provider_secrets.get_secret_value()).get(name)
        return secret
