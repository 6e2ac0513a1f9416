"""The `request_id` of a research as its caller knows it: which task, of which key of ours, and whose.

    <Tavily's id>.<8: key><16: seal>

A research is asked for later, perhaps at another instance, and Tavily knows it under the key it was begun
with. Nothing is kept for that: the id says it all, and the seal that nobody made it up or found it. `key` is
a digest of our key, so that keys may be reordered and others added. The seal binds both to the client: what
is researched for one is not told to another. Instances that share their pepper understand each other's ids.
"""

from __future__ import annotations

import hmac
import re

import msgspec

KEY_CHARS = 8
"""chosen: 32 bits tell the keys of one installation apart."""

SEAL_CHARS = 16
"""chosen: 64 bits, each try of which is a call that is limited and recorded."""

_TAVILYS = re.compile(r"(?!.{129})[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
"""Points stand in an id if what answers as Tavily is a gateway such as this one."""
_OURS = re.compile(rf"(?P<task>.+)\.(?P<key>[0-9a-f]{{{KEY_CHARS}}})(?P<seal>[0-9a-f]{{{SEAL_CHARS}}})")


class Task(msgspec.Struct, frozen=True):
    """Tavily's id of a task, and which of our keys began it, as `TaskIds.key_of` names it."""

    id: str
    key: str


class TaskIds:
    """Makes and reads the ids under `secret`, which all instances must share."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret, b"amos research tasks", "sha256")

    def key_of(self, authorization: str) -> str:
        """What stands for a key of ours in an id; it does not tell the key."""
        return self._digest("key", authorization)[:KEY_CHARS]

    def issue(self, task_id: str, authorization: str, client: str) -> str | None:
        """The id for the client; `None` if what Tavily calls the task is no id."""
        if _TAVILYS.fullmatch(task_id) is None:
            return None
        key = self.key_of(authorization)
        return f"{task_id}.{key}{self._seal(task_id, key, client)}"

    def read(self, given: str, client: str) -> Task | None:
        """The task behind an id; `None` if it is none of ours, or another client's."""
        found = _OURS.fullmatch(given)
        if found is None:
            return None
        task_id, key, seal = found.group("task", "key", "seal")
        if not hmac.compare_digest(seal, self._seal(task_id, key, client)):
            return None
        return Task(task_id, key)

    def _seal(self, task_id: str, key: str, client: str) -> str:
        return self._digest("seal", f"{task_id}\0{key}\0{client}")[:SEAL_CHARS]

    def _digest(self, what: str, text: str) -> str:
        return hmac.digest(self._secret, f"{what}\0{text}".encode(), "sha256").hex()
