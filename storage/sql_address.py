"""The addresses of databases: which are served, in one spelling, and how they look without the password.

Needs no driver, so that settings are checked before anything is opened. A fault is a ValueError whose
sentence says what to write instead and repeats nothing of the address, which may hold a password.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

SQLITE, POSTGRESQL = "sqlite", "postgresql"

PARAMETERS = (
    "host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslnegotiation", "target_session_attrs",
)  # fmt: skip
"""What may stand behind the `?` of a PostgreSQL address; asyncpg gives each the meaning it has for libpq."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_SQLITE = re.compile(r"sqlite(?:\+aiosqlite)?:///(?P<path>[^?]+)")
_POSTGRESQL = re.compile(
    r"(?:postgres|postgresql)(?:\+asyncpg)?://"
    r"(?:(?P<user>[^:@/?#\s]+)(?P<password>:[^:@/?#\s]*)?@)?"
    r"(?P<hosts>[^@/?#\s]*)/(?P<database>[^/?#\s]+)(?:\?(?P<query>[^#\s]*))?"
)


class Address(NamedTuple):
    """Where a database is: `engine` is SQLITE or POSTGRESQL, `url` the one spelling of its address."""

    engine: str
    url: str

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database; `None` for a server's."""
        return Path(self.url.partition(":///")[2]) if self.engine == SQLITE else None

    @property
    def shown(self) -> str:
        """The file, or the address without its password, for people to see."""
        return str(self.path or re.sub(r"(?<=://)([^:@/]*):[^@/]*@", r"\1:***@", self.url))


def read_address(url: str) -> Address:
    """The address in its one spelling. Raises ValueError."""
    scheme = url.partition("://")[0]
    if scheme in ("sqlite", "sqlite+aiosqlite"):
        return _sqlite(url)
    if scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        return _postgresql(url)
    raise ValueError(
        "expected the address of a database: sqlite+aiosqlite:///file.db (four slashes for an absolute path) "
        "or postgresql://user:password@host:5432/database. If DATABASE_URL belongs to another program, "
        "AMOS_DATABASE_URL wins over it"
    )


def _sqlite(url: str) -> Address:
    match = _SQLITE.fullmatch(url)
    if match is None or match["path"] == ":memory:":
        raise ValueError(
            "must be a file: the gateway and its recorder are two processes and share the database. Write "
            "sqlite+aiosqlite:///file.db, or with a fourth slash an absolute path"
        )
    return Address(SQLITE, f"sqlite+aiosqlite:///{match['path']}")


def _postgresql(url: str) -> Address:
    match = _POSTGRESQL.fullmatch(url)
    if match is None:
        raise ValueError(
            "expected postgresql://user:password@host:5432/database; in user and password special characters "
            "are percent-encoded: @ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25"
        )
    _check_parameters(dict(parse_qsl(match["query"] or "", keep_blank_values=True)))
    return Address(POSTGRESQL, f"postgresql+asyncpg://{url.partition('://')[2]}")


def _check_parameters(parameters: dict[str, str]) -> None:
    if "ssl" in parameters:
        raise ValueError(f"TLS is asked for with sslmode=, one of {', '.join(SSL_MODES)}, not with ssl=")
    if not parameters.keys() <= set(PARAMETERS):
        raise ValueError(f"an unknown parameter behind the ?; there may be {', '.join(PARAMETERS)}")
    if parameters.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")
