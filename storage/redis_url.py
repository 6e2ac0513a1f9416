"""The address of a Redis installation, read from one line; knows no client and no network.

    redis://[user:password@]host[:port][/db]                             one server
    redis+sentinel://[user:password@]host[:port],…/<master name>[/db]    the master, as its Sentinels call it
    redis+cluster://[user:password@]host[:port],…                        any nodes of a Cluster

With `rediss` in the place of `redis` the connections use TLS, and `?ssl_ca_certs=<file>` names whom to trust,
`?ssl_cert_reqs=none` whoever answers. User names and passwords are percent-encoded.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import parse_qsl, unquote

import msgspec
from typing_extensions import override

PORT = 6379
SENTINEL_PORT = 26379
"""Redis's own defaults."""

_FORM = re.compile(
    r"redis(?P<tls>s?)(?:\+(?P<mode>sentinel|cluster))?://"
    r"(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?@)?"
    r"(?P<hosts>[^@/?#\s]+)(?P<path>/[^@?#\s]*)?(?:\?(?P<options>[^#\s]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_OPTIONS = {"ssl_ca_certs", "ssl_cert_reqs"}
_FORMS = "redis://host:6379/0, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379"


class RedisAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is and who we are there; `str()` and `repr()` leave out the password.

    `master` is the name that the Sentinels know, `""` in the other modes.
    """

    mode: Literal["standalone", "sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...]
    master: str = ""
    db: int = 0
    user: str | None = None
    password: str | None = None
    is_tls: bool = False
    tls: dict[str, str] = {}

    @override
    def __str__(self) -> str:
        scheme = ("rediss" if self.is_tls else "redis") + (
            "" if self.mode == "standalone" else f"+{self.mode}"
        )
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = f"/{self.master}" if self.master else ""
        return f"{scheme}://{hosts}{path}{f'/{self.db}' if self.db else ''}"

    @override
    def __repr__(self) -> str:
        return f"RedisAddress({self})"


def parse_redis_url(url: str) -> RedisAddress:
    """Read an address. Raises ValueError, whose text never repeats the URL, as that may hold a password."""
    form = _FORM.fullmatch(url)
    if form is None:
        raise ValueError(f"is no address of Redis: write {_FORMS}, and a password percent-encoded")
    mode: Literal["standalone", "sentinel", "cluster"] = form["mode"] or "standalone"  # type: ignore[assignment]
    master, db = _path(mode, (form["path"] or "").strip("/"))
    options = dict(parse_qsl(form["options"] or "", keep_blank_values=True))
    if not options.keys() <= _OPTIONS or (options and not form["tls"]):
        raise ValueError(f"has an option that is not one of {', '.join(sorted(_OPTIONS))} of rediss://")
    return RedisAddress(
        mode=mode,
        hosts=_hosts(form["hosts"], mode),
        master=master,
        db=db,
        user=unquote(form["user"]) if form["user"] else None,
        password=unquote(form["password"]) if form["password"] else None,
        is_tls=bool(form["tls"]),
        tls=options,
    )


def _path(mode: str, path: str) -> tuple[str, int]:
    """The master's name and the database of the part behind the hosts."""
    master = ""
    if mode == "sentinel":
        master, _, path = path.partition("/")
        if not master:
            raise ValueError("names no master: redis+sentinel://host:26379,host:26379/<master name>")
    if mode == "cluster" and path:
        raise ValueError("a Redis Cluster has one database only, so nothing may follow its hosts")
    if path and not re.fullmatch(r"\d{1,4}", path):
        raise ValueError("the database of Redis is a number, such as the 0 in redis://host:6379/0")
    return unquote(master), int(path or 0)


def _hosts(hosts: str, mode: str) -> tuple[tuple[str, int], ...]:
    """Hosts and ports."""
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if mode == "standalone" and len(found) > 1:
        raise ValueError("several hosts are a redis+sentinel:// or a redis+cluster://")
    default = SENTINEL_PORT if mode == "sentinel" else PORT
    read = [(host["host"].strip("[]"), int(host["port"] or default)) for host in found if host]
    if len(read) < len(found) or not all(0 < port <= 65_535 for _, port in read):
        raise ValueError("each host of Redis is a name or an address, with or without a port: host:6379")
    return tuple(read)
