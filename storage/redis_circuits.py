"""The circuits of all processes, on Redis: one small hash for each provider, changed by one script.

All times are the server's own, so that no two machines need to agree on the hour.
"""

from __future__ import annotations

from orchestrator.circuits import CircuitReport, SharedCircuit
from orchestrator.errors import CircuitBoardUnavailable
from storage.redis_client import RedisClient, Script

KEEP_MS = 3_600_000
"""chosen: what is known of a provider is forgotten an hour after it mattered."""

PROBE_MS = 30_000
"""chosen: longer than any attempt; a prober that died keeps the others from probing for so long."""

EARLY_MS = 10
"""chosen: a probe that comes so little before the end of the cooldown is not sent away. Rests are rounded."""

_REPORT = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kind, holder, max, told = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local reason, is_quota, keep = ARGV[5], ARGV[6], tonumber(ARGV[7])
local seen = redis.call('HMGET', KEYS[1], 'state', 'failures', 'openings', 'answers', 'until', 'cooldown')
local state, failures, openings = seen[1] or '', tonumber(seen[2] or 0), tonumber(seen[3] or 0)
local answers, left = tonumber(seen[4] or 0), math.max(0, tonumber(seen[5] or 0) - now)
local ours, pause, cooldown = 0, nil, tonumber(seen[6] or 0)
if left > cooldown then -- the clock was put back, or this server has taken over with one that is behind
    left = cooldown
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + left))
end

local function nth(opening)
    return tonumber(ARGV[7 + math.min(math.max(opening, 1), #ARGV - 7)])
end

if kind == 'probed' then
    if redis.call('GET', KEYS[2]) == holder then redis.call('DEL', KEYS[2]) end
elseif kind == 'failed' and state ~= 'open' then
    if failures + 1 >= max then
        openings, pause = openings + 1, nth(openings + 1)
    else
        redis.call('HSET', KEYS[1], 'state', 'closed', 'failures', failures + 1, 'answers', 0)
        redis.call('PEXPIRE', KEYS[1], keep)
    end
elseif kind == 'remembered' then
    if left == 0 then openings, pause = math.max(openings, told), nth(1) end
elseif (kind == 'opened' or kind == 'paused') and left == 0 then
    openings, pause = openings + 1, nth(openings + 1)
elseif kind == 'paused' and nth(openings) > cooldown then
    pause = nth(openings)
elseif kind == 'revived' or (kind == 'closed' and left == 0) or (kind == 'answered' and state ~= 'open') then
    answers = answers + 1
    if kind ~= 'answered' then answers = 1 end
    if answers >= max then openings = 0 end
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'state', 'closed', 'failures', 0, 'openings', openings, 'answers', answers)
    redis.call('PEXPIRE', KEYS[1], keep)
end
if pause then
    ours = 1
    redis.call('HSET', KEYS[1], 'state', 'open', 'failures', 0, 'openings', openings, 'answers', 0,
        'cooldown', pause, 'until', string.format('%.0f', now + pause), 'reason', reason, 'quota', is_quota)
    redis.call('PEXPIRE', KEYS[1], keep + pause)
end

local is = redis.call('HMGET', KEYS[1],
    'state', 'failures', 'openings', 'until', 'cooldown', 'reason', 'quota')
left = 0
if is[1] == 'open' then left = math.max(0, tonumber(is[4]) - now) end
return {ours, is[1] or '', tonumber(is[2] or 0), tonumber(is[3] or 0), left,
    tonumber(is[5] or 0), is[6] or '', tonumber(is[7] or 0)}
""")

_TAKE_PROBE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seen = redis.call('HMGET', KEYS[1], 'state', 'until')
if seen[1] == 'open' and tonumber(seen[2]) > now + tonumber(ARGV[3]) then return 0 end
local prober = redis.call('GET', KEYS[2])
if prober and prober ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
""")


class RedisCircuits:
    """A CircuitBoard for all processes on one Redis."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def report(self, report: CircuitReport, holder: str) -> SharedCircuit:
        """Tell, and learn how things stand now."""
        ours, state, failures, openings, left_ms, cooldown_ms, reason, is_quota = await self._client.evaluate(
            _REPORT,
            (_circuit(report.provider), _probe(report.provider)),
            (
                report.kind,
                holder,
                report.failures_max,
                report.openings,
                report.reason,
                int(report.is_quota),
                KEEP_MS,
                *(round(pause_s * 1000) for pause_s in report.pauses_s),
            ),
            error=CircuitBoardUnavailable,
        )
        return SharedCircuit(
            state=state.decode(),
            failures=failures,
            openings=openings,
            left_s=left_ms / 1000,
            cooldown_s=cooldown_ms / 1000,
            reason=reason.decode(),
            is_quota=bool(is_quota),
            is_ours=bool(ours),
        )

    async def take_probe(self, provider: str, holder: str) -> bool:
        """Whether this process may make the one probe; it may again, should its report not have arrived.

        One that is never reported lapses. Nobody may while the circuit is open: another one's probe has
        failed, and this process has not heard of it yet.
        """
        taken = await self._client.evaluate(
            _TAKE_PROBE,
            (_circuit(provider), _probe(provider)),
            (holder, PROBE_MS, EARLY_MS),
            error=CircuitBoardUnavailable,
        )
        return bool(taken)


def _circuit(provider: str) -> str:
    return f"amos:circuit:{{{provider}}}"


def _probe(provider: str) -> str:
    return f"amos:circuit:{{{provider}}}:probe"
