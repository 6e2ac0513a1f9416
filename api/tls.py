"""The certificate of the server: looked at at the start, so that a bad one is a sentence and no dead port.

The look is a handshake with ourselves in memory. It tells what a client would find: that certificate and key
belong together, and whether the certificate is valid today.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings

SOON_S = 14 * 86_400.0
"""chosen: certificates of 90 days are renewed with 30 to go; one with two weeks left was forgotten."""

_CHECKED_NAME = "localhost"
_EXPIRED = 10
_NOT_YET_VALID = 9
"""X509_V_ERR_CERT_HAS_EXPIRED and _NOT_YET_VALID of OpenSSL."""


class TlsFiles(NamedTuple):
    """A certificate with its chain and its key, both PEM."""

    cert: Path
    key: Path


def tls_files(settings: Settings) -> TlsFiles | None:
    """The certificate to serve with, `None` for plain HTTP."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return TlsFiles(settings.tls_cert_file, settings.tls_key_file)


def check(files: TlsFiles) -> str:
    """What an operator should know of a certificate that works, `""` if nothing.

    Raises SettingsError for one that does not; no message holds anything of the key.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(files.cert, files.key, password=_refuse_password)
    except ssl.SSLError as error:
        raise SettingsError(_why(files, error)) from None
    except OSError as error:
        raise SettingsError(
            f"AMOS_TLS_CERT_FILE, AMOS_TLS_KEY_FILE: cannot be read: {error.strerror}"
        ) from None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(files.cert)
    # The certificate itself is what is trusted here, whoever has signed it.
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        left_s = _shake_hands(server, client) - time.time()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return "the certificate in AMOS_TLS_CERT_FILE has expired: clients will refuse it"
        if error.verify_code == _NOT_YET_VALID:
            return "the certificate in AMOS_TLS_CERT_FILE is not valid yet: clients will refuse it"
        return f"clients may refuse the certificate in AMOS_TLS_CERT_FILE: {error.verify_message}"
    except ssl.SSLError as error:
        raise SettingsError(f"AMOS_TLS_CERT_FILE: no client could use it: {error.reason}") from None
    if left_s < SOON_S:
        return f"the certificate in AMOS_TLS_CERT_FILE expires in {left_s / 86_400:.0f} days"
    return ""


def unverified() -> ssl.SSLContext:
    """For the question whether our own server answers: not whether the world trusts its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _refuse_password() -> str:
    # Without this OpenSSL would ask at the terminal and wait.
    raise SettingsError(
        "AMOS_TLS_KEY_FILE: the key is encrypted. Decrypt it (openssl pkey -in key.pem -out plain.pem) and "
        "protect the file instead"
    )


def _why(files: TlsFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "AMOS_TLS_KEY_FILE: the key does not belong to the certificate in AMOS_TLS_CERT_FILE"
    # OpenSSL does not say which of the two files it could not read.
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(files.cert)
    except ssl.SSLError:
        return "AMOS_TLS_CERT_FILE: holds no certificate in PEM"
    return "AMOS_TLS_KEY_FILE: holds no private key in PEM"


def _shake_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> float:
    """When the certificate ends, as seconds since 1970. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=_CHECKED_NAME)
    for _ in range(4):  # more turns than any version of TLS takes
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = client.getpeercert()
    assert certificate is not None
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))
