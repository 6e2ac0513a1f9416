"""The rules of the architecture: who may import whom, what a name resolves to, who may read the environment.

The arrows point inward, api -> storage -> orchestrator; what each file of the core may know stands in
`CORE` (support/rooms.py).
Each rule is a function from a file's text to its violations, so that each is shown to fail on a bad snippet.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from fnmatch import fnmatch
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.rooms import (
    ANYTHING,
    CONCRETE,
    CORE,
    CORE_FOREIGN,
    GROUPS,
    LIBRARY_HOMES,
    MAY_IMPORT_ROOM,
    NAMES_BOTH_SIDES,
    READS_ENVIRONMENT,
    VALUES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("orchestrator", "storage", "api")

IMPURE = {
    "asyncio", "concurrent", "http", "httpx", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "shutil", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid", "uuid_utils",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today"}


def python_files(*folders: str) -> Iterator[tuple[str, str]]:
    """Path (relative, with slashes) and text of every Python file in the folders that exist."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")


def imported(source: str) -> list[str]:
    """Every dotted name imported anywhere in the text, also in functions and by import_module("...").

    `from a import b` gives `a.b`, because b may be a module; a relative import gives a leading dot.
    """
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            names += [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return names


def called(node: ast.Call) -> str:
    """The last part of what is called: `now` of `datetime.now(UTC)`."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def top(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def against_the_arrows(path: str, source: str) -> list[str]:
    """Imports of a room that this file's room must not know; the SDK knows none."""
    room = path.partition("/")[0]
    allowed = {"amos_sdk"} if path.startswith("api/sdk/") else MAY_IMPORT_ROOM[room]
    ours = {*ROOMS, "amos_sdk", ""}  # "" is the top of a relative import, whose target no reader sees
    return [f"{path}: {name}" for name in imported(source) if top(name) in ours - allowed]


def both_sides(path: str, source: str) -> list[str]:
    """Concrete classes of storage and of the core in one file, which only the composition may name."""
    names = imported(source)
    concrete = [name for name in names if name.startswith(CONCRETE)]
    if path in NAMES_BOTH_SIDES or not any(top(name) == "storage" for name in names):
        return []
    return [f"{path}: {name} beside storage" for name in concrete]


def against_the_table(path: str, source: str) -> list[str]:
    """Imports between files of the core that `CORE` does not allow, and files it does not know."""
    file = path.removeprefix("orchestrator/")
    allowed = next((modules for pattern, modules in CORE.items() if matches(file, pattern)), None)
    if allowed is None:
        return [f"{path}: has no line in CORE"]
    if allowed is ANYTHING:
        return []
    core = [name.removeprefix("orchestrator.") for name in imported(source) if top(name) == "orchestrator"]
    return [f"{path}: {name}" for name in core if not any(f"{name}.".startswith(f"{a}.") for a in allowed)]


def matches(file: str, pattern: str) -> bool:
    """Whether the pattern fits; `*` stays within a folder, unless it is all of the pattern."""
    return pattern == "*" or (file.count("/") == pattern.count("/") and fnmatch(file, pattern))


def foreign_to_the_core(path: str, source: str) -> list[str]:
    """Libraries of other people that a file of the core must not import."""
    file = path.removeprefix("orchestrator/")
    allowed = {name for pattern, names in CORE_FOREIGN.items() if matches(file, pattern) for name in names}
    known = allowed | set(sys.stdlib_module_names) | {*ROOMS, ""}
    return [f"{path}: {name}" for name in imported(source) if top(name) not in known]


def away_from_home(path: str, source: str) -> list[str]:
    """Libraries imported outside the files that are there to know them."""
    return [
        f"{path}: {name}"
        for name in imported(source)
        if top(name) in LIBRARY_HOMES and not any(fnmatch(path, home) for home in LIBRARY_HOMES[top(name)])
    ]


def impure(path: str, source: str) -> list[str]:
    """Whatever makes a projection depend on more than state and event: time, chance, waiting, I/O."""
    found = [name for name in imported(source) if top(name) in IMPURE]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            found.append(f"line {node.lineno} is asynchronous")
        elif isinstance(node, ast.Call) and called(node) in IMPURE_CALLS:
            found.append(f"line {node.lineno} calls {called(node)}")
    return [f"{path}: {what}" for what in found]


def environment_reads(path: str, source: str) -> list[str]:
    """Uses of the process environment outside the files that may."""
    if path in READS_ENVIRONMENT:
        return []
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    found = [name for name in imported(source) if name.removeprefix("os.") in names]
    found += [
        f"os.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "os" and node.attr in names
    ]
    return [f"{path}: {what}" for what in found]


def resolves_into(name: str, folder: Path, search_path: Sequence[str] | None = None) -> bool:
    """Whether importing the name gives a regular package inside the folder."""
    spec = importlib.util.find_spec(name) if search_path is None else PathFinder.find_spec(name, search_path)
    return spec is not None and spec.origin is not None and Path(spec.origin).is_relative_to(folder)


def init_files(root: Path) -> list[str]:
    """The `__init__.py` files where none may be: alembic/ would hide a package, tests/ would become one."""
    found = [file for folder in ("alembic", "tests") for file in (root / folder).rglob("__init__.py")]
    return [file.relative_to(root).as_posix() for file in found]


def taken_names(path: str, taken: set[str]) -> list[str]:
    """The parts of a module's path that name something of the standard library or a dependency."""
    return [f"{path}: {part}" for part in path.removesuffix(".py").split("/") if part in taken]


def dependencies() -> set[str]:
    """The distributions of the development lock, as import names are usually spelled."""
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    return {name.replace("-", "_") for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)}


BAD = [
    (against_the_arrows, "orchestrator/model.py", "import storage.codec"),
    (against_the_arrows, "orchestrator/model.py", "def f():\n    from api import settings"),
    (against_the_arrows, "orchestrator/model.py", "from . import limits"),
    (against_the_arrows, "orchestrator/model.py", "importlib.import_module('storage.codec')"),
    (against_the_arrows, "storage/codec.py", "from api.settings import Settings"),
    (against_the_arrows, "storage/codec.py", "from amos_sdk import Client"),
    (against_the_arrows, "api/sdk/amos_sdk/client.py", "from orchestrator.model import SearchRequest"),
    (both_sides, "api/app.py", "import storage.codec, orchestrator.filters.retry"),
    (against_the_table, "orchestrator/filters/retry.py", "import orchestrator.filters.timeout"),
    (against_the_table, "orchestrator/filters/retry.py", "from orchestrator import pipeline"),
    (against_the_table, "orchestrator/providers/jina.py", "from orchestrator.providers import tavily"),
    (against_the_table, "orchestrator/providers/jina.py", "from orchestrator.service import Service"),
    (against_the_table, "orchestrator/projections/health.py", "import orchestrator.projections.latency"),
    (against_the_table, "orchestrator/service.py", "import orchestrator.modelling"),
    (against_the_table, "orchestrator/filters/__init__.py", "from orchestrator.model import Call"),
    (against_the_table, "orchestrator/newcomer.py", ""),
    (foreign_to_the_core, "orchestrator/model.py", "import pydantic"),
    (foreign_to_the_core, "orchestrator/filters/retry.py", "from pybreaker import CircuitBreaker"),
    (foreign_to_the_core, "orchestrator/recorder.py", "def f():\n    import httpx"),
    (foreign_to_the_core, "orchestrator/providers/tavily.py", "import selectolax.parser"),
    (away_from_home, "storage/codec.py", "from sqlalchemy import select"),
    (away_from_home, "storage/redis_cache.py", "from starlette.requests import Request"),
    (away_from_home, "orchestrator/clock.py", "import hypercorn.config"),
    (away_from_home, "storage/memory_cache.py", "import redis.asyncio"),
    (away_from_home, "api/cli/db.py", "from alembic import command"),
    (away_from_home, "api/app.py", "from pydantic_settings import BaseSettings"),
    (away_from_home, "api/recorder.py", "from opentelemetry.sdk.trace import ReadableSpan"),
    (impure, "orchestrator/projections/health.py", "import time"),
    (impure, "orchestrator/projections/health.py", "from os import path"),
    (impure, "orchestrator/projections/health.py", "async def evolve(state, event): ..."),
    (impure, "orchestrator/projections/health.py", "at = datetime.now(UTC)"),
    (impure, "orchestrator/projections/health.py", "text = open('x').read()"),
    (environment_reads, "api/app.py", "import os\nport = os.environ['PORT']"),
    (environment_reads, "storage/sql_engine.py", "from os import getenv"),
    (environment_reads, "orchestrator/clock.py", "import os\nzone = os.getenv('TZ')"),
]

GOOD = [
    (against_the_arrows, "api/app.py", "from storage.codec import decode\nimport orchestrator.model"),
    (against_the_arrows, "storage/codec.py", "from orchestrator import events"),
    (both_sides, "api/composition.py", "import storage.memory_cache, orchestrator.pipeline"),
    (both_sides, "api/rest/search.py", "import storage.codec\nfrom orchestrator.model import Call"),
    (against_the_table, "orchestrator/filters/retry.py", "from orchestrator import limits, outcome"),
    (against_the_table, "orchestrator/providers/jina.py", "from orchestrator.providers.upstream import get"),
    (against_the_table, "orchestrator/pipeline.py", "from orchestrator.filters.retry import RetryFilter"),
    (foreign_to_the_core, "orchestrator/filters/circuit_breaker.py", "import pybreaker, msgspec, asyncio"),
    (foreign_to_the_core, "orchestrator/providers/tavily.py", "import httpx"),
    (away_from_home, "storage/sql_event_log.py", "from sqlalchemy import select"),
    (away_from_home, "api/rest/search.py", "from starlette.requests import Request"),
    (impure, "orchestrator/projections/health.py", "from datetime import datetime\nimport math"),
    (environment_reads, "api/settings.py", "import os\nport = os.environ['PORT']"),
    (environment_reads, "storage/file_journal.py", "import os\nos.fsync(1)"),
]


@pytest.mark.parametrize(("rule", "path", "source"), BAD)
def test_a_bad_file_is_found(rule, path, source):
    """Each rule can fail: it names the violation in a file that has one."""
    assert rule(path, source)


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_a_good_file_is_left_alone(rule, path, source):
    """No rule forbids what the architecture allows."""
    assert rule(path, source) == []


def hold(rule, *folders: str) -> None:
    """Fail with every violation the rule finds in the folders, one a line."""
    found = [violation for path, source in python_files(*folders) for violation in rule(path, source)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_rooms_import_only_inward():
    """Imports follow api -> storage -> orchestrator and never go back; amos_sdk imports nothing of ours."""
    hold(against_the_arrows, *ROOMS)


def test_only_the_composition_knows_both_sides():
    """Only api/composition.py names concrete classes of the core and of storage together."""
    hold(both_sides, "api")


def test_core_files_import_what_the_table_allows():
    """A file of the core imports from the core only what its line in the table names."""
    hold(against_the_table, "orchestrator")


def unused_allowances(table: dict[str, set[str]], files: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of `CORE` that fit no file, and what one allows beside `GROUPS` that no file of it imports."""
    used: dict[str, set[str]] = {}
    for path, source in files:
        file = path.removeprefix("orchestrator/")
        pattern = next(pattern for pattern in table if matches(file, pattern))
        names = [f"{name.removeprefix('orchestrator.')}." for name in imported(source)]
        used.setdefault(pattern, set()).update(
            one for one in table[pattern] for name in names if name.startswith(f"{one}.")
        )
    found = []
    for pattern, allowed in table.items():
        shared = set().union(ANYTHING, *(group for group in GROUPS if group <= allowed))
        found += [f"{pattern}: {name}" for name in sorted(allowed - shared - used.get(pattern, set()))]
        found += [f"{pattern}: no file"] if pattern not in used else []
    return found


def test_the_table_allows_no_more_than_is_used():
    """A line of the table fits a file, and what it allows beside the shared values is imported there."""
    files = list(python_files("orchestrator"))
    table = {"model.py": VALUES | {"chain"}, "gone.py": set()}
    assert unused_allowances(table, [("orchestrator/model.py", "")]) == [
        "model.py: chain",
        "gone.py: no file",
    ]

    assert unused_allowances(CORE, files) == []


def test_core_is_free_of_foreign_libraries():
    """The core imports msgspec and uuid_utils, one filter pybreaker, the providers their client; no more."""
    hold(foreign_to_the_core, "orchestrator")


def test_libraries_stay_at_home():
    """Starlette and Hypercorn are known in api/ only, SQLAlchemy and Redis in the modules named for them."""
    hold(away_from_home, *ROOMS, "alembic")


def test_projections_are_pure():
    """A projection or report knows no clock, chance, waiting or I/O: the same log gives the same figures."""
    hold(impure, "orchestrator/projections", "orchestrator/reports")


def test_environment_is_read_once():
    """Only api/settings.py reads the environment, and only api/supervisor.py builds one."""
    hold(environment_reads, *ROOMS, "alembic")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_the_folder_here(room):
    """The names of the rooms mean the folders of this project, not somebody else's package."""
    if not (ROOT / room).exists():
        pytest.skip(f"{room}/ does not exist yet")

    assert resolves_into(room, ROOT / room)


def test_alembic_is_the_installed_package():
    """The name alembic means the installed package, not the folder with the migrations."""
    assert importlib.util.find_spec("alembic.command") is not None
    assert not resolves_into("alembic", ROOT / "alembic")


def test_a_hidden_alembic_is_found(tmp_path):
    """A folder alembic/ with an __init__.py first on the path would hide the package, and is noticed."""
    (tmp_path / "alembic").mkdir()
    search_path = [str(tmp_path), *sys.path]
    assert not resolves_into("alembic", tmp_path / "alembic", search_path)

    (tmp_path / "alembic/__init__.py").touch()
    PathFinder.invalidate_caches()

    assert resolves_into("alembic", tmp_path / "alembic", search_path)
    assert init_files(tmp_path) == ["alembic/__init__.py"]


def test_no_init_files_where_none_may_be():
    """No __init__.py lies in alembic/ or tests/, at any depth."""
    assert init_files(ROOT) == []


def test_no_module_has_a_taken_name():
    """No module or folder of a room is named like the standard library or a dependency."""
    taken = set(sys.stdlib_module_names) | dependencies()
    assert taken_names("api/http/types.py", taken) == ["api/http/types.py: http", "api/http/types.py: types"]

    assert [found for path, _ in python_files(*ROOMS) for found in taken_names(path, taken)] == []
