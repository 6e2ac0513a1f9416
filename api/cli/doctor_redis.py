"""Whether the Redis that is configured can be used: in reach, new enough, with scripts, and quick."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from api.cli.doctor_finding import FAILURE, OK, WARNING, Finding
from orchestrator.errors import StorageError
from storage.redis_client import Script, open_redis

if TYPE_CHECKING:
    from api.settings import Settings

MAJOR_OLDEST = 7
"""The oldest Redis that AMOS is tested with; Valkey calls itself 7.2.4 here."""

CALLS_COUNT = 5
"""chosen: enough for a median that one slow answer does not spoil."""

SLOW_RATIO = 0.2
"""chosen: from this part of the time an answer has, a busy moment may use up the rest."""

_MAY_PUBLISH = Script("""
return type(redis.pcall('PUBLISH', 'amos:landed:doctor', '')) == 'number' and 1 or 0
""")
"""Nobody listens there. Who may publish to a channel may also subscribe to it."""

_VERSION = Script("return redis.REDIS_VERSION or 'older than 7'")
"""Redis 7.0 gave scripts this name."""


async def check_redis(settings: Settings) -> list[Finding]:
    """Ask Redis for its version as AMOS would ask it for anything; nothing if none is configured."""
    if settings.redis_url is None:
        return []
    redis = await open_redis(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
    try:
        if redis.outage is not None:
            detail = redis.outage.detail
            return [_failure(f"{redis.address} is out of reach: {detail}", _REACH.get(detail, _REACH_ELSE))]
        latencies_s, version = [], ""
        for _ in range(CALLS_COUNT):
            begun = time.perf_counter()
            version = (await redis.evaluate(_VERSION, ["amos:probe"], error=StorageError)).decode()
            latencies_s.append(time.perf_counter() - begun)
        may_publish = await redis.evaluate(_MAY_PUBLISH, ["amos:probe"], error=StorageError)
    except StorageError as error:
        return [_failure(f"{redis.address}: {error.message}", "Its log may say why.")]
    finally:
        await redis.aclose()
    median_s = sorted(latencies_s)[CALLS_COUNT // 2]
    detail = f"{redis.address}, version {version}, answers in {median_s * 1000:.1f} ms"
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < MAJOR_OLDEST:
        return [_failure(detail, f"Use Redis or Valkey {MAJOR_OLDEST} or newer.")]
    step = ""
    if not may_publish:
        step = "Let its user use the channels &amos:landed:*, or identical searches are answered later."
    if median_s > settings.redis_timeout_s * SLOW_RATIO:
        step = (
            "Put it nearer, or raise AMOS_REDIS_TIMEOUT_S: what takes longer than that counts as no answer."
        )
    return [Finding(name="redis", status=WARNING if step else OK, detail=detail, next_step=step)]


_REACH = {
    "AuthenticationError": "It refuses the user or the password in AMOS_REDIS_URL.",
    "ConnectionError": "Check the host and the port in AMOS_REDIS_URL, and whether it runs.",
    "MasterNotFoundError": "Check in AMOS_REDIS_URL the Sentinels, their password and the master's name.",
    "TimeoutError": "No answer came in time: is it near enough, and do both sides speak TLS or neither?",
}
"""What helps against which reason of an outage."""

_REACH_ELSE = "Check AMOS_REDIS_URL and the network; its log may say why."


def _failure(detail: str, next_step: str) -> Finding:
    return Finding(name="redis", status=FAILURE, detail=detail, next_step=next_step)
