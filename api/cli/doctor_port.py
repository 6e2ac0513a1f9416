"""Whether `amos serve` can listen where it is told to, or who has the port."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl

from api.cli.doctor_finding import FAILURE, OK, UNCONFIGURED, Finding
from api.settings import Settings
from api.tls import tls_files

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - nobody listens here
"""Addresses to listen at that nobody can ask."""

LIVE_BYTES_MAX = 1_000
"""chosen: `/livez` says one word; whoever says more is another."""

PATIENCE_S = 2.0
"""chosen: `/livez` depends on nothing; what takes longer is no AMOS, or one that stands still."""


async def check_port(settings: Settings) -> Finding:
    """Whether a server of ours has the port, nobody, or another; listens for a moment, asks once at most."""
    place = f"{settings.host}:{settings.port}"
    refusal = _try(settings.host, settings.port)
    if not refusal:
        return Finding(name="server", status=UNCONFIGURED, detail=f"nothing listens at {place}")
    host = settings.host if settings.host not in EVERYWHERE else "127.0.0.1"
    if await asyncio.to_thread(_is_amos, host, settings.port, has_tls=tls_files(settings) is not None):
        return Finding(name="server", status=OK, detail=f"answers at {place}")
    who = f"`ss -ltnp 'sport = :{settings.port}'` shows who has it"
    return Finding(
        name="port",
        status=FAILURE,
        detail=f"{place}: {refusal}, and what is there does not answer as AMOS does",
        next_step=f"{who}; end it, or set AMOS_PORT to another.",
    )


def _try(host: str, port: int) -> str:
    """Why nobody can listen there, `""` if one can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _is_amos(host: str, port: int, *, has_tls: bool) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    if has_tls:
        context = ssl.create_default_context()
        # The certificate is another check's, and names the host that clients see.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
    try:
        connection.request("GET", "/livez")
        return bool(json.loads(connection.getresponse().read(LIVE_BYTES_MAX)) == {"status": "live"})
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
