"""A whole deployment on this machine: what docker-compose.yml describes, from its files, as processes.

    async with Cluster(Path("/tmp/somewhere")) as cluster:
        answer = await cluster.admin.post("/search", json={"query": "tide tables"})
        await cluster.instances[0].stop()

Three instances of two workers behind nginx (or HAProxy), Valkey with a replica and three Sentinels,
PostgreSQL, and simulated Tavily and Jina. Everything listens on 127.0.0.1, on ports that are free.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import httpx
from typing_extensions import override

from tests.support.ports import free_ports
from tests.support.postgres import PostgresServer
from tests.support.processes import AmosProcesses, UpstreamProcess, until
from tests.support.proxies import DEPLOY, Nginx, Proxy, rendered
from tests.support.valkey import Valkey

INSTANCES = 3
"""As many as deploy/nginx and deploy/haproxy know."""

SENTINELS = 3

PRIMARY = "amos"
"""The name under which the Sentinels know the primary."""

SETTLED_S = 30.0
"""Longer than Sentinels take to know each other, to agree on a new primary, and than a recorder's retry."""

KEY_KNOWN_S = 5.0
"""What is promised of revoked keys, and holds for new ones: known everywhere after this."""

DATABASE = "amos"


class Sentinel(Valkey):
    """One Sentinel on deploy/sentinel/sentinel.conf.template."""

    def __init__(self, primary_port: int) -> None:
        super().__init__(mode="sentinel")
        self._variables = {
            "SENTINEL_PORT": str(self.port),
            "SENTINEL_PRIMARY": "127.0.0.1",
            "SENTINEL_PRIMARY_PORT": str(primary_port),
        }

    @override
    def _lines(self) -> list[str]:
        template = (DEPLOY / "sentinel/sentinel.conf.template").read_text(encoding="utf-8")
        return ["bind 127.0.0.1", *rendered(template, self._variables).splitlines()]


class Stores:
    """Valkey primary and replica under three Sentinels, and PostgreSQL."""

    def __init__(self) -> None:
        self.valkeys = [Valkey()]
        self.valkeys.append(Valkey(replicaof=f"127.0.0.1 {self.valkeys[0].port}"))
        self.sentinels = [Sentinel(self.valkeys[0].port) for _ in range(SENTINELS)]
        self.postgres = PostgresServer()

    @property
    def redis_url(self) -> str:
        """What AMOS_REDIS_URL is."""
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{addresses}/{PRIMARY}/0"

    @property
    def database_url(self) -> str:
        """What AMOS_DATABASE_URL is."""
        return self.postgres.url(DATABASE)

    async def start(self) -> None:
        """Start all; returns when the Sentinels would manage a failover."""
        await asyncio.to_thread(self.postgres.start)
        self.postgres.run_sql(f"CREATE DATABASE {DATABASE}")
        for server in (*self.valkeys, *self.sentinels):
            await server.start()
        await until(self._know_each_other, SETTLED_S, lambda: self.sentinels[0].log)

    def close(self) -> None:
        """End all."""
        for server in (*self.sentinels, *self.valkeys):
            server.close()
        self.postgres.close()

    def primary(self) -> Valkey:
        """The Valkey that the Sentinels say is the primary now."""
        _, port = self.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)
        return next(valkey for valkey in self.valkeys if valkey.port == int(port))

    def sql(self, statement: str) -> list[list[str]]:
        """The rows of a statement, as text."""
        lines = self.postgres.run_sql(statement, database=DATABASE).splitlines()
        return [line.split("|") for line in lines]

    def _know_each_other(self) -> bool:
        def known(sentinel: Sentinel) -> int:
            replicas = sentinel.command("SENTINEL", "REPLICAS", PRIMARY)
            others = sentinel.command("SENTINEL", "SENTINELS", PRIMARY)
            return len(replicas) + len(others)

        return all(known(sentinel) == 1 + SENTINELS - 1 for sentinel in self.sentinels)


class Cluster:
    """The deployment; an async context manager.

    `say` is told what is started. `admin_key` opens everything, and `admin` is a client that has it; `key()`
    makes others.
    """

    def __init__(
        self,
        folder: Path,
        *,
        proxy: Callable[[Sequence[str]], Proxy] = Nginx,
        delay_ms: float = 10.0,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder
        self.stores = Stores()
        self.admin_key = _secret("bootstrap_admin_key", folder / "secrets")
        self.instances: list[AmosProcesses] = []
        self._ports = free_ports(INSTANCES)
        self.proxy = proxy([f"127.0.0.1:{port}" for port in self._ports])
        self._delay_ms = delay_ms
        self._say = say
        self._stack = contextlib.AsyncExitStack()
        self.is_up = False

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        self.is_up = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def key(self, client: str, **limits: int) -> str:
        """A new API key of this client, with limits of its own if any are named.

        Whoever answered knows it at once, every other worker within `KEY_KNOWN_S`.
        """
        wish = {"client": client, "scopes": ["search", "extract"], "limits": limits or None}
        answer = await self.admin.post("/keys", json=wish)
        assert answer.status_code == 201, answer.text
        raw: str = answer.json()["key"]
        return raw

    def caller(self, key: str, instance: AmosProcesses | None = None) -> httpx.AsyncClient:
        """A client with this key that speaks to the proxy, or past it to one instance."""
        return httpx.AsyncClient(
            base_url=(instance or self.proxy).base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=30.0,
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )

    def completed(self) -> dict[str, int]:
        """How often PostgreSQL says of each execution that it was completed."""
        rows = self.stores.sql(
            "SELECT stream, count(*) FROM events WHERE type = 'amos.request.completed.v1' GROUP BY stream"
        )
        return {stream: int(count) for stream, count in rows}

    async def recorded(self, executions: Iterable[str]) -> None:
        """Wait until PostgreSQL has all of these. Raises TimeoutError."""
        wanted = set(executions)
        await until(
            lambda: wanted <= self.completed().keys(),
            SETTLED_S,
            lambda: f"{len(wanted - self.completed().keys())} of {len(wanted)} executions are not recorded",
            every_s=0.2,
        )

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        self._say("PostgreSQL, Valkey with a replica, three Sentinels")
        stack.callback(self.stores.close)
        await self.stores.start()
        self._say("simulated Tavily and Jina")
        self.tavily = stack.enter_context(UpstreamProcess("tavily_simulator", self._delay_ms))
        self.jina = stack.enter_context(UpstreamProcess("jina_simulator", self._delay_ms))
        self._say(f"{INSTANCES} instances of two workers")
        for number, port in enumerate(self._ports, start=1):
            self.instances.append(
                AmosProcesses(self.folder / f"gateway-{number}", {**self._settings(), "AMOS_PORT": str(port)})
            )
            stack.push_async_callback(self.instances[-1].kill_all)
        # At once, as a deployment does: the database is empty, and one of them makes the tables.
        await asyncio.gather(*(instance.start() for instance in self.instances))
        self._say(self.proxy.name)
        await stack.enter_async_context(self.proxy)
        self.admin = await stack.enter_async_context(self.caller(self.admin_key))

    def _settings(self) -> dict[str, str]:
        return {
            "AMOS_WORKERS": "2",
            "AMOS_DATABASE_URL": self.stores.database_url,
            "AMOS_REDIS_URL": self.stores.redis_url,
            "AMOS_KEY_PEPPER": _secret("amos_key_pepper", self.folder / "secrets"),
            "AMOS_BOOTSTRAP_ADMIN_KEY_FILE": str(self.folder / "secrets/bootstrap_admin_key"),
            "AMOS_TRUSTED_PROXIES": "127.0.0.1",
            "AMOS_PROVIDERS": "tavily,jina",
            "TAVILY_API_KEY": "tvly-simulated",
            "JINA_API_KEY": "jina_simulated",
            "AMOS_TAVILY_BASE_URL": self.tavily.base_url,
            "AMOS_JINA_SEARCH_URL": f"{self.jina.base_url}/s",
            "AMOS_JINA_READER_URL": f"{self.jina.base_url}/r",
        }


def leader(cluster: Cluster, span_id: str) -> tuple[AmosProcesses, int] | None:
    """The instance and the worker that recorded its intent to make a provider's call with this span id."""
    for instance in cluster.instances:
        for segment in instance.journal.glob("*.seg"):
            with contextlib.suppress(FileNotFoundError):
                if span_id.encode() in segment.read_bytes():
                    # host-pid-chance.number.seg
                    return instance, int(segment.name.rsplit("-", 2)[1])
    return None


def _secret(name: str, folder: Path) -> str:
    """A secret, made as an operator makes it."""
    subprocess.run([DEPLOY / "make-secrets", folder], check=True, capture_output=True)
    return (folder / name).read_text(encoding="utf-8")
