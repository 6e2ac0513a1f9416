"""`amos doctor --online` beside instances that share a Redis: it asks, and changes nothing for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from api.cli.doctor_providers import ask_provider
from api.settings import Settings
from tests.support.faults import Fault
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.valkey import Valkey


def settings(tavily: TavilySimulator, valkey: Valkey, folder: Path, keys: str) -> Settings:
    """An installation with Redis, whose Tavily has these keys."""
    return Settings(
        data_dir=folder,
        redis_url=SecretStr(valkey.url),
        redis_timeout_s=1.0,
        tavily_api_key=SecretStr(keys),
        tavily_base_url=tavily.base_url,
    )


async def test_a_drained_key_closes_the_provider_to_nobody(valkey: Valkey, tmp_path: Path):
    """What it finds out about one key keeps neither it from the next nor servers from the provider."""
    async with TavilySimulator() as tavily:
        tavily.keys |= {"tvly-first", "tvly-second"}
        tavily.for_key("tvly-first", Fault.status(432))
        found = await ask_provider(settings(tavily, valkey, tmp_path, "tvly-first,tvly-second"), "tavily")

    assert [(one.name, one.status) for one in found] == [
        ("online tavily, key 1", "failure"),
        ("online tavily, key 2", "ok"),
    ]
    assert tavily.count == 2
    assert valkey.command("KEYS", "amos:circuit:*") == []
