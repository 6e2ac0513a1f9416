"""What must be in place before the server starts: the first key where one is given, and no open door.

An address that other machines reach is served only with keys, and only if nobody on the way can read them:
over TLS, or behind a proxy that the operator has declared and that is trusted to do it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from api.keys import key_admin, key_store, pepper
from api.settings import Settings
from api.tls import tls_files
from orchestrator.api_keys import MalformedKey, id_of
from orchestrator.errors import EventLogUnavailable, KeysUnavailable, SettingsError

CLIENT = "admin"
"""The client of the bootstrap key, and who made it."""

DATABASE_S_MAX = 30.0
"""chosen: machines that start together wait so long for their database; whoever runs them tries again."""

RETRY_S = 1.0
"""chosen: pause between two attempts to reach the database."""

KEY_BYTES_MAX = 1_024
"""chosen: a file longer than this holds something else."""


async def make_safe(settings: Settings) -> None:
    """Make the bootstrap key known, then see that the start is safe. Raises SettingsError, StorageError."""
    pepper(settings)
    if settings.bootstrap_admin_key_file is not None:
        await _bootstrap(settings, bootstrap_key(settings.bootstrap_admin_key_file))
    if faults := await open_doors(settings):
        raise SettingsError(
            "AMOS refuses to listen on an address that other machines reach:\n"
            + "\n".join(f"  {fault}." for fault in faults)
            + "\n  For this machine alone use AMOS_HOST=127.0.0.1."
        )


async def open_doors(settings: Settings) -> list[str]:
    """What speaks against serving other machines, a sentence each; none on a loopback address. Only looks."""
    if settings.is_loopback:
        return []
    faults = []
    if settings.bootstrap_admin_key_file is None and not await _has_keys(settings):
        faults.append(
            "there is no API key, so nobody could be told from a stranger. Make the first one with "
            "`amos keys create --admin --client NAME`, or name a file that holds one in "
            "AMOS_BOOTSTRAP_ADMIN_KEY_FILE"
        )
    if tls_files(settings) is None and not settings.trusted_proxies:
        faults.append(
            "keys and queries could be read on the way. Set AMOS_TLS_CERT_FILE and AMOS_TLS_KEY_FILE, or, if "
            "a proxy in front of AMOS does the TLS, its network in AMOS_TRUSTED_PROXIES"
        )
    return faults


async def _bootstrap(settings: Settings, raw: str) -> None:
    """Make this key an admin's. Raises SettingsError, StorageError."""
    loop = asyncio.get_running_loop()
    gives_up_at = loop.time() + DATABASE_S_MAX
    while True:
        try:
            async with key_admin(settings) as admin:
                await admin.ensure(raw, CLIENT, by="bootstrap")
                return
        except (EventLogUnavailable, KeysUnavailable):
            if loop.time() >= gives_up_at:
                raise
        await asyncio.sleep(RETRY_S)


def bootstrap_key(file: Path) -> str:
    """The API key in the file, which need not be known yet. Raises SettingsError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(KEY_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(
            f"AMOS_BOOTSTRAP_ADMIN_KEY_FILE: {error.strerror}. Make it with `amos keys generate > FILE`."
        ) from error
    raw = content.decode("latin-1").strip()
    try:
        id_of(raw)
    except MalformedKey:
        # Without its cause, which might show a part of what the file holds.
        raise SettingsError(
            "AMOS_BOOTSTRAP_ADMIN_KEY_FILE: the file holds something that is not an API key; "
            "`amos keys generate` makes one."
        ) from None
    return raw


async def _has_keys(settings: Settings) -> bool:
    """Whether there is a key, or nobody can tell: then every key is refused until the database is back."""
    async with key_store(settings) as store:
        try:
            return bool((await store.read()).keys)
        except KeysUnavailable:
            return True
