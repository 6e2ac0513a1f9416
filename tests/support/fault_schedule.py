"""When which provider is down, and in which way, drawn from a seed: a plan, without a clock and without I/O.

Time is nominal: the seconds of the days that are meant. Whoever plays the plan may play it faster.

    plan = draw(seed=7, total_s=3_600)
    plan.outages        # each provider down for a fifth of the time, never both at once
    plan.redis          # what becomes of Redis meanwhile, whatever the providers do
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from tests.support.faults import Fault

PROVIDERS = ("tavily", "jina")

DOWN_RATIO = 0.2
"""Each provider is down for so much of the time."""

OUTAGE_S_MIN = 5.0
OUTAGE_S_MAX = 300.0
"""An outage takes from five seconds to five minutes; as many take less than 39 s as more."""

SLOW_S = 0.8
"""Real seconds, four fifths of what an attempt may take in compressed time: late, and a good answer."""

DRIP_S = 0.1
"""Real seconds between sixteen bytes: an answer of three kilobytes takes twenty seconds."""

QUOTA = "quota"
"""The kind of the one outage in which Tavily says that its quota is used up."""

THROTTLED = "throttled"
"""The kind of an outage in which the provider answers 429, with a `Retry-After` that is true."""

THROTTLED_TAIL_S = 40.0
"""Nominal. `Retry-After` is in whole seconds, and one of them may be half a minute of a compressed day: so
long after the end of such an outage its provider may still have asked us to wait. It counts as down."""

WAITED_FOR = ("hang", "slow drip", "slow")
"""Kinds of outages that a call notices only when its attempt has taken too long."""

WAITED_TAIL_S = 30.0
"""Nominal. In a compressed day an attempt takes a second, which is half a minute of the day and five seconds
in life. So much longer a call waits in vain; so long after the end of such an outage the other provider stays
up, or calls would live to see two outages that are far apart."""

WRONG_JSON = '{"status": "ok", "items": [1, 2, 3]}'
"""An answer of somebody else's."""

SHARED: Mapping[str, Fault] = {
    "500": Fault.status(500),
    "502 page": Fault.status(502, shape="html"),
    "503 page": Fault.status(503, shape="html"),
    "504 page": Fault.status(504, shape="html"),
    "500 without body": Fault.status(500, shape="empty"),
    "key refused": Fault.status(401),
    THROTTLED: Fault.status(429),
    "hang": Fault.hang(),
    "reset": Fault.reset(),
    "closed": Fault.close(),
    "cut in the body": Fault.cut(),
    "truncated": Fault.truncate(),
    "slow drip": Fault.drip(DRIP_S),
    "slow": Fault.delay(SLOW_S),
    "no HTTP": Fault.garbage(),
    "page instead of JSON": Fault.body("<html><body>Welcome</body></html>", content_type="text/html"),
    "not JSON": Fault.body('{"results": [{"title": '),
    "wrong schema": Fault.body(WRONG_JSON),
}

KINDS: Mapping[str, Mapping[str, Fault]] = {
    "tavily": {
        **SHARED,
        "results are null": Fault.variant("null_results"),
        "unusable addresses": Fault.variant("unusable_urls"),
        "flat error": Fault.status(500, shape="flat"),
    },
    "jina": {
        **SHARED,
        "524 page": Fault.status(524),
        "raw error": Fault.status(500, shape="raw"),
        "description instead of results": Fault.variant("data_object"),
    },
}
"""Every way in which a simulated provider can be down, by provider and name."""

REDIS_EVERY_S = 240.0
"""Nominal seconds from one trouble with Redis to the next, on average."""

REDIS_KINDS = ("restarted", "stopped", "gone")
"""Killed and started at once; stopped (it accepts connections and answers nobody); killed, and back later.

In each case but the second everything in it is lost."""


class Outage(NamedTuple):
    """A provider, or Redis, is down in one way, in nominal seconds since the start."""

    target: str
    kind: str
    begins_s: float
    ends_s: float

    @property
    def length_s(self) -> float:
        """How long it takes."""
        return self.ends_s - self.begins_s


class Plan(NamedTuple):
    """What happens in `total_s` nominal seconds. Outages of the providers never meet; those of Redis may."""

    total_s: float
    outages: tuple[Outage, ...]
    redis: tuple[Outage, ...]


def draw(seed: int, total_s: float) -> Plan:
    """A plan that follows from the seed."""
    chance = random.Random(seed)
    return Plan(total_s, _outages(chance, total_s), _redis(chance, total_s))


def fault_of(outage: Outage, ends_at: float) -> Fault:
    """What the simulator does in the outage, which ends at that moment of the monotonic clock."""
    if outage.kind == QUOTA:
        return Fault.status(432)
    fault = KINDS[outage.target][outage.kind]
    # Who throttles says for how long. That is a part of the outage: a client must not look earlier.
    return msgspec.structs.replace(fault, until=ends_at) if outage.kind == THROTTLED else fault


def _outages(chance: random.Random, total_s: float) -> tuple[Outage, ...]:
    drawn = []
    for provider in PROVIDERS:
        lengths = _lengths(chance, DOWN_RATIO * total_s)
        kinds = _kinds(chance, provider, len(lengths))
        drawn += [
            Outage(provider, kind, 0.0, length_s) for kind, length_s in zip(kinds, lengths, strict=True)
        ]
    chance.shuffle(drawn)
    taken_s = sum(outage.length_s + _tail_s(outage) for outage in drawn)
    gaps = _parts(chance, total_s - taken_s, len(drawn) + 1)
    at_s, found = 0.0, []
    for outage, gap_s in zip(drawn, gaps, strict=False):
        begins_s = at_s + gap_s
        found.append(outage._replace(begins_s=begins_s, ends_s=begins_s + outage.length_s))
        at_s = found[-1].ends_s + _tail_s(outage)
    return tuple(found)


def _tail_s(outage: Outage) -> float:
    if outage.kind in WAITED_FOR:
        return WAITED_TAIL_S
    return THROTTLED_TAIL_S if outage.kind == THROTTLED else 0.0


def _lengths(chance: random.Random, total_s: float) -> list[float]:
    """Lengths with this sum, each drawn evenly by its logarithm; the last takes what is left."""
    lengths: list[float] = []
    while (left_s := total_s - sum(lengths)) > 2 * OUTAGE_S_MIN:
        drawn_s = math.exp(chance.uniform(math.log(OUTAGE_S_MIN), math.log(OUTAGE_S_MAX)))
        lengths.append(drawn_s if left_s - drawn_s >= OUTAGE_S_MIN else min(left_s, OUTAGE_S_MAX))
    chance.shuffle(lengths)
    return lengths


def _kinds(chance: random.Random, provider: str, count: int) -> list[str]:
    """So many kinds, each once before any is repeated; Tavily's quota is used up in one of the outages."""
    names = list(KINDS[provider])
    kinds: list[str] = []
    while len(kinds) < count:
        chance.shuffle(names)
        kinds += names
    kinds = kinds[:count]
    if provider == "tavily" and kinds:
        kinds[chance.randrange(count)] = QUOTA
    return kinds


def _parts(chance: random.Random, total_s: float, count: int) -> Sequence[float]:
    """So many parts of a whole; some are very short, as chance would have it."""
    weights = [chance.expovariate(1.0) for _ in range(count)]
    return [total_s * weight / sum(weights) for weight in weights]


def _redis(chance: random.Random, total_s: float) -> tuple[Outage, ...]:
    """Each kind in turn, one in every stretch of the time."""
    kinds = list(REDIS_KINDS)
    chance.shuffle(kinds)
    found = []
    count = max(len(REDIS_KINDS), round(total_s / REDIS_EVERY_S))
    stretch_s = total_s / count
    for number, kind in zip(range(count), itertools.cycle(kinds), strict=False):
        length_s = 0.0 if kind == "restarted" else chance.uniform(OUTAGE_S_MIN, stretch_s / 3)
        begins_s = number * stretch_s + chance.uniform(0.0, stretch_s - length_s)
        found.append(Outage("redis", kind, begins_s, begins_s + length_s))
    return tuple(found)
