"""What the cache in memory is compared with: the best that is possible, and the published policies.

Each takes a stream of keys, the size of each and the bytes there are, and gives the share of hits. They are
as short as their papers allow.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence

Sizes = Callable[[Hashable], int]
Policy = Callable[[Sequence[Hashable], Sizes, int], float]


def endless(stream: Sequence[Hashable], _size: Sizes, _room: int) -> float:
    """A cache that never forgets: all but the first call of each question are hits."""
    return 1 - len(set(stream)) / len(stream)


def clairvoyant(stream: Sequence[Hashable], size: Sizes, room: int) -> float:
    """MIN (Belady 1966): what is asked for last goes first. Exact for equal sizes only."""
    next_at = [0] * len(stream)
    later: dict[Hashable, int] = {}
    for at in range(len(stream) - 1, -1, -1):
        next_at[at] = later.get(stream[at], len(stream))
        later[stream[at]] = at
    kept: dict[Hashable, int] = {}
    heap: list[tuple[int, int, Hashable]] = []
    hits = used = 0
    for at, key in enumerate(stream):
        hits += key in kept
        used += 0 if key in kept else size(key)
        kept[key] = next_at[at]
        heapq.heappush(heap, (-next_at[at], at, key))
        while used > room:
            when, _, gone = heapq.heappop(heap)
            if kept.get(gone) == -when:
                del kept[gone]
                used -= size(gone)
    return hits / len(stream)


def informed(stream: Sequence[Hashable], size: Sizes, room: int) -> float:
    """Perfect LFU: keeps what is asked for most in all of the stream, and has to fetch it once.

    Where calls are independent of each other, nobody who does not see the future does better.
    """
    chosen: set[Hashable] = set()
    used = 0
    for key, _ in Counter(stream).most_common():
        used += size(key)
        if used > room:
            break
        chosen.add(key)
    seen: set[Hashable] = set()
    hits = 0
    for key in stream:
        hits += key in chosen and key in seen
        seen.add(key)
    return hits / len(stream)


def lru(stream: Sequence[Hashable], size: Sizes, room: int) -> float:
    """What was used the longest ago goes first; as cachetools has it."""
    kept: OrderedDict[Hashable, None] = OrderedDict()
    hits = used = 0
    for key in stream:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
            continue
        kept[key] = None
        used += size(key)
        while used > room:
            used -= size(kept.popitem(last=False)[0])
    return hits / len(stream)


def s3_fifo(stream: Sequence[Hashable], size: Sizes, room: int) -> float:
    """S3-FIFO (Yang and others, SOSP 2023): a tenth of the room on probation, the rest, and ghosts."""
    probation: deque[Hashable] = deque()
    main: deque[Hashable] = deque()
    ghosts: OrderedDict[Hashable, None] = OrderedDict()
    uses: dict[Hashable, int] = {}
    hits = used = on_probation = 0
    for key in stream:
        if key in uses:
            hits += 1
            uses[key] = min(3, uses[key] + 1)
            continue
        uses[key] = 0
        used += size(key)
        if key in ghosts:
            del ghosts[key]
            main.append(key)
        else:
            probation.append(key)
            on_probation += size(key)
        while used > room:
            if on_probation > room / 10 or not main:
                gone = probation.popleft()
                on_probation -= size(gone)
                if uses[gone]:
                    uses[gone] = 0
                    main.append(gone)
                    continue
                ghosts[gone] = None
                if len(ghosts) > len(uses):
                    ghosts.popitem(last=False)
            else:
                gone = main.popleft()
                if uses[gone]:
                    uses[gone] -= 1
                    main.append(gone)
                    continue
            del uses[gone]
            used -= size(gone)
    return hits / len(stream)


class _Segment(OrderedDict[Hashable, None]):
    """Keys in the order of their use, and their bytes."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        self.size = size
        self.bytes = 0

    def add(self, key: Hashable) -> None:
        """As the one used last."""
        self[key] = None
        self.bytes += self.size(key)

    def take(self, key: Hashable) -> Hashable:
        """The key, out of here."""
        del self[key]
        self.bytes -= self.size(key)
        return key

    @property
    def oldest(self) -> Hashable:
        """The one used the longest ago."""
        return next(iter(self))


def tiny_lfu(stream: Sequence[Hashable], size: Sizes, room: int) -> float:
    """W-TinyLFU (Einziger and others, ACM ToS 2017), as Caffeine and Theine have it.

    A window of 1 %; whoever leaves it takes a place in the segmented LRU if it was seen more often than who
    would go; exact counters up to 15 in place of a sketch, halved after ten calls for each entry.
    """
    window, probation, protected = _Segment(size), _Segment(size), _Segment(size)
    window_room, protected_room = max(room // 100, size(stream[0])), (room - room // 100) * 8 // 10
    counts: Counter[Hashable] = Counter()
    hits = seen = 0
    for key in stream:
        counts[key] = min(15, counts[key] + 1)
        seen += 1
        if seen >= 10 * max(64, len(window) + len(probation) + len(protected)):
            counts, seen = Counter({one: n // 2 for one, n in counts.items() if n > 1}), seen // 2
        if key in window or key in protected:
            hits += 1
            (window if key in window else protected).move_to_end(key)
            continue
        if key in probation:
            hits += 1
            protected.add(probation.take(key))
            while protected.bytes > protected_room:
                probation.add(protected.take(protected.oldest))
            continue
        window.add(key)
        while window.bytes > window_room:
            candidate = window.take(window.oldest)
            probation.add(candidate)
            while window.bytes + probation.bytes + protected.bytes > room:
                place = probation if len(probation) > 1 or not protected else protected
                victim = place.oldest
                if counts[candidate] <= counts[victim] and victim != candidate:
                    probation.take(candidate)
                    break
                place.take(victim)
    return hits / len(stream)


PUBLISHED: dict[str, Policy] = {"LRU": lru, "S3-FIFO": s3_fifo, "W-TinyLFU": tiny_lfu}
"""The policies that a cache could have taken from a library or a paper."""
