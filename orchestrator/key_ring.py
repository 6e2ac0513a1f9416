"""All API keys in the memory of one process: they are checked here, whatever becomes of the database.

A task of the ring looks every `REFRESH_S` whether keys have changed, so that a revoked key is refused
everywhere within 5 s; while the database is away the keys last seen stay in force. A ring that has never seen
any knows nothing: it refuses with KeysUnavailable rather than take "I could not look" for "there are none".

A key that was verified is remembered as it was shown, in memory only, until keys change: the next call pays
one look into a dict and no HMAC. Wrong keys are not remembered, so that strangers cannot fill it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from orchestrator.api_keys import ApiKey, MalformedKey, digest, id_of
from orchestrator.errors import KeysUnavailable, Unauthenticated
from orchestrator.events import CallerAuthenticated
from orchestrator.ports import ApiKeyStore, Clock, KeySnapshot
from orchestrator.principals import Principal

REFRESH_S = 2.0
"""chosen: with `LOOK_S_MAX` for a slow answer it keeps the promise of 5 s; a look reads one row."""

LOOK_S_MAX = 2.5
"""chosen: a database that takes longer counts as away, for this look."""

FIRST_LOOK_S_MAX = 5.0
"""chosen: a start waits so long for the keys; without them it serves on and answers 503 to their holders."""

USES_EVERY_S = 60.0
"""chosen: last use is for finding keys nobody needs any more; a minute is exact enough, and cheap."""

_NO_DIGEST = "0" * 64

_UNKNOWN = (
    "This API key is not valid here. Check that it is the whole key and meant for this server, "
    "or ask the server's operator for another."
)
"""For a wrong secret, and for a key id that does not exist: a stranger learns nothing from it."""

_MALFORMED = (
    "This is not an API key of AMOS: they begin with amos_live_ and have 59 characters. Was it copied whole?"
)

_log = logging.getLogger("amos.keys")

ValueT = TypeVar("ValueT")


class Holder:
    """Who stands behind a verified key: made once, used by every call. `ends_at` is epoch seconds."""

    __slots__ = ("ends_at", "fact", "principal", "used_at")

    def __init__(self, key: ApiKey, method: str = "key") -> None:
        self.principal = Principal(
            client=key.client, scopes=frozenset(key.scopes), key_id=key.id, limits=key.limits
        )
        self.fact = CallerAuthenticated(client=key.client, method=method, key_id=key.id)
        self.ends_at = math.inf if key.expires_at is None else key.expires_at
        self.used_at = 0.0


class KeyRing:
    """Checks keys without waiting. `start` and `aclose` frame its life; use it from one event loop."""

    def __init__(self, store: ApiKeyStore, pepper: bytes, clock: Clock) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._revision: int | None = None
        self._keys: Mapping[str, ApiKey] = {}
        self._replaced: frozenset[str] = frozenset()
        self._holders: dict[str, Holder] = {}
        self._uses: dict[str, float] = {}
        self._uses_due = 0.0
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.fault = ""
        """Why the last look failed, `""` if it did not."""
        self.since = clock.now()
        """Since when `fault` is as it is, epoch seconds."""

    @property
    def is_known(self) -> bool:
        """Whether the keys have been seen since the start."""
        return self._revision is not None

    def __len__(self) -> int:
        """How many keys there are, dead ones too. Raises KeysUnavailable before they were seen."""
        if self._revision is None:
            raise KeysUnavailable(
                "The API keys could not be read from the database yet, so no caller can be known. Try again."
            )
        return len(self._keys)

    def identify(self, credential: str) -> Holder:
        """Who shows this. Raises Unauthenticated, KeysUnavailable."""
        holder = self._holders.get(credential)
        if holder is None:
            holder = self._verify(credential)
        now = self._clock.now()
        if now >= holder.ends_at:
            raise self._ended(holder.principal.key_id)
        holder.used_at = now
        return holder

    def holder_of(self, key_id: str) -> Holder:
        """Who has the key of this id, for a door that knows them by a session which began with the key.

        Raises Unauthenticated once the key has ended, KeysUnavailable.
        """
        key = self._keys.get(key_id) if len(self) else None
        if key is None:
            raise Unauthenticated("The API key of this session is not known here.", reason="unknown_key")
        now = self._clock.now()
        if not key.is_live(now):
            raise self._ended(key_id)
        self._uses[key_id] = now
        return Holder(key, "session")

    async def start(self) -> None:
        """Look for the keys, within `FIRST_LOOK_S_MAX`, and begin to look again and again."""
        with contextlib.suppress(KeysUnavailable):
            await self._refresh(FIRST_LOOK_S_MAX)
        self._uses_due = self._clock.monotonic() + USES_EVERY_S
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def refresh(self) -> None:
        """See to it that changes made before this call are in force here. Raises KeysUnavailable."""
        await self._refresh(LOOK_S_MAX)

    async def aclose(self) -> None:
        """End the task and write the last uses. Safe to call twice."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self._write_uses()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(REFRESH_S)
            try:
                with contextlib.suppress(KeysUnavailable):
                    await self._refresh(LOOK_S_MAX)
                if self._clock.monotonic() >= self._uses_due:
                    self._uses_due = self._clock.monotonic() + USES_EVERY_S
                    await self._write_uses()
            except Exception as error:  # noqa: BLE001 - without this task no key would ever be revoked here
                self._failed(f"{type(error).__name__} while looking for keys")

    async def _refresh(self, limit_s: float) -> None:
        # One at a time: a slow look must not put older keys over newer ones.
        async with self._turn:
            try:
                await _within(limit_s, self._look())
            except KeysUnavailable as error:
                self._failed(error.message)
                raise
        if self.fault:
            self.fault, self.since = "", self._clock.now()
            _log.warning("the API keys can be read again")

    async def _look(self) -> None:
        revision = await self._store.revision()
        if revision < 0 and self._revision is not None and self._revision >= 0:
            # A database deleted under us is a fault: "no keys" would open the door to everybody here.
            raise KeysUnavailable("The database of API keys has gone.")
        # After a fault in any case: another database may have come to the same number.
        if revision != self._revision or self.fault:
            snapshot = await self._store.read()
            if self._keys and not snapshot.keys:
                # As above: nobody removes the last key, so this is another database, or what is left of ours.
                raise KeysUnavailable("The database of API keys has lost them all.")
            self._take(snapshot)

    def _failed(self, why: str) -> None:
        if not self.fault:
            self.since = self._clock.now()
            _log.warning("the API keys cannot be read: %s The last ones seen stay in force.", why)
        self.fault = why

    def _take(self, snapshot: KeySnapshot) -> None:
        self._collect_uses()
        self._holders.clear()
        self._keys = {key.id: key for key in snapshot.keys}
        self._replaced = frozenset(key.replaces for key in snapshot.keys if key.replaces is not None)
        self._revision = snapshot.revision

    def _verify(self, credential: str) -> Holder:
        """The holder of a key not seen since keys last changed, remembered from now on."""
        key_id = _checked_id(credential)
        key = self._keys.get(key_id) if len(self) else None
        # Computed for an unknown id too, so that the time an answer takes does not tell which ids exist.
        shown = digest(self._pepper, credential)
        if not hmac.compare_digest(shown, key.digest if key is not None else _NO_DIGEST) or key is None:
            raise Unauthenticated(_UNKNOWN, reason="unknown_key" if key is None else "wrong_secret")
        if not key.is_live(self._clock.now()):
            raise self._ended(key.id)
        holder = self._holders[credential] = Holder(key)
        return holder

    def _ended(self, key_id: str) -> Unauthenticated:
        """The refusal of a key whose holder knows the secret: they may be told what became of it."""
        if self._keys[key_id].revoked_at is not None:
            return Unauthenticated("This API key has been revoked.", reason="revoked_key")
        if key_id in self._replaced:
            return Unauthenticated(
                "This API key was replaced by a newer one; use that.", reason="rotated_key"
            )
        return Unauthenticated("This API key has expired.", reason="expired_key")

    def _collect_uses(self) -> None:
        for holder in self._holders.values():
            if holder.used_at:
                self._uses[holder.principal.key_id] = holder.used_at
                holder.used_at = 0.0

    async def _write_uses(self) -> None:
        """Write what was used since the last time. What cannot be written waits for the next."""
        self._collect_uses()
        if not self._uses:
            return
        uses, self._uses = self._uses, {}
        try:
            await _within(LOOK_S_MAX, self._store.note_used(uses))
        except KeysUnavailable as error:
            self._uses = {**uses, **self._uses}
            _log.warning("the last use of %d keys could not be written: %s", len(uses), error.message)


def _checked_id(credential: str) -> str:
    """The key id, found without any store. Raises Unauthenticated: whoever mistypes a key may be told."""
    if "," in credential:
        raise Unauthenticated("Several API keys were sent; send one.", reason="several_keys")
    try:
        return id_of(credential)
    except MalformedKey as fault:
        if fault.reason == "bad_checksum":
            raise Unauthenticated(
                "This API key is mistyped or was cut: its checksum does not fit.", reason=fault.reason
            ) from fault
        raise Unauthenticated(_MALFORMED, reason=fault.reason) from fault


async def _within(limit_s: float, work: Awaitable[ValueT]) -> ValueT:
    try:
        async with asyncio.timeout(limit_s):
            return await work
    except TimeoutError as error:
        raise KeysUnavailable(f"The database took longer than {limit_s:g} s.") from error
