"""docs/metrics.md names every metric, and none that does not exist."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from api import composition
from api.process_figures import redis_figures
from api.settings import Settings
from orchestrator.reports.metrics import NEEDS, families
from orchestrator.reports.totals import Standing
from storage.redis_client import RedisClient
from storage.redis_url import parse_redis_url

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

NAME = re.compile(r"`(amos_[a-z0-9_]+)`")

OF_STATUS = re.compile(r"amos_recorder_(?!lag_seconds|known)")
"""Named by the fields of the recorder's status, and documented as a group."""


async def test_every_metric_is_documented(tmp_path):
    """A metric that is not on the page does not exist for anybody; one that is only there would be missed."""
    log = families([{} for _ in NEEDS], Standing(), 0.0)
    redis = redis_figures(RedisClient(parse_redis_url("redis://127.0.0.1:1")))
    settings = Settings(data_dir=tmp_path, memory_max_bytes=2**40)
    async with composition.gateway(settings) as gateway:
        await asyncio.sleep(0.5)  # for the first look at the memory
        process = gateway.figures()

    names = {family.name for family in (*log, *process, *redis)} | {"amos_connections_open"}
    documented = set(NAME.findall(PAGE.read_text(encoding="utf-8")))
    assert documented == {name for name in names if not OF_STATUS.match(name)}
