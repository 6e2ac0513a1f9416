"""Search over executions as plainly as it can be said: look at every frame there is."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import InvalidRequest
from orchestrator.events import Frame, RequestCompleted
from orchestrator.executions import ExecutionQuery, FoundExecution, FoundExecutions
from orchestrator.history import last_word


def executions_in(frames: Sequence[Frame], query: ExecutionQuery) -> FoundExecutions:
    """The page of a log in which the frames stand from position 1 on."""
    texts = {key: text for frame in frames for key, text in frame.texts.items()}
    all_ = [found for place, frame in enumerate(frames, 1) if (found := _found(place, frame, texts))]
    all_.sort(key=lambda found: (found.recorded_at, found.position), reverse=True)
    if query.before is not None:
        if not 0 < query.before <= len(frames):
            raise InvalidRequest("before: there is no such place in the record.", field="before")
        reached = frames[query.before - 1].recorded_at, query.before
        all_ = [found for found in all_ if (found.recorded_at, found.position) < reached]
    fit = [found for found in all_ if _fits(found, query)]
    page = tuple(fit[: query.limit])
    has_more = len(fit) > len(page)
    return FoundExecutions(
        executions=page,
        next=page[-1].position if has_more else None,
        searched_since=page[-1].recorded_at if has_more else query.since,
    )


def _found(position: int, frame: Frame, texts: dict[str, str]) -> FoundExecution | None:
    word = last_word(frame.events)
    if word is None:
        return None
    keys = (key for envelope in frame.events if (key := getattr(envelope.event, "key", "")))
    is_answered = isinstance(word, RequestCompleted)
    return FoundExecution(
        position=position,
        execution_id=frame.stream,
        recorded_at=frame.recorded_at,
        operation=word.operation,
        door=word.door,
        client=word.client,
        topic=word.topic,
        provider=getattr(word, "provider", ""),
        cache=getattr(word, "cache", ""),
        outcome="answered" if is_answered else "failed",
        error=getattr(word, "error", ""),
        duration_s=word.duration_s,
        text=texts.get(next(keys, "")),
    )


def _fits(found: FoundExecution, query: ExecutionQuery) -> bool:
    same = ("operation", "door", "provider", "cache", "outcome", "error")
    return (
        query.since <= found.recorded_at < query.until
        and query.client in {None, found.client}
        and all(getattr(query, name) in {"", getattr(found, name)} for name in same)
        and found.duration_s >= query.duration_s_min
        and " ".join(query.text.casefold().split()) in " ".join((found.text or "").casefold().split())
    )
