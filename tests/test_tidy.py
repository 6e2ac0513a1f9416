"""The rules of style that a machine can check: docstrings, leftovers, lengths, dead files, addresses, locks.

Each rule is a function from the path and text of a file to its violations, so that each is shown to fail on
a bad snippet before the tree is held against it. The linter checks style too; here is what it cannot express,
and what must not be switched off by a comment.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import tokenize
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("orchestrator", "storage", "api")

FILE_LINES_MAX = 400  # chosen: most files are near 90; one this long is two ideas
FUNCTION_LINES_MAX = 70  # chosen: what fits on one screen

NOT_OURS = {"node_modules", "__pycache__", "var", "build", "dist", "htmlcov", "vendor"}
# `.git` is a file in a second work tree of the same clone, and names the place of the first.
NO_TEXTS = {".env", ".git", "LICENSE", Path(__file__).name}
# OpenTelemetry's exporter, which works in a thread of its own, wants its session.
MAY_USE_REQUESTS = {"api/telemetry.py"}
MAY_PRINT = ("api/cli/", "benchmarks/", "examples/")

BY_CHANCE = {"uuid1", "uuid4", "uuid7", "now", "time", "random", "randbytes", "token_hex", "urandom"}

LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# The usual places of a checkout or a home. Paths every machine has, such as /etc or /usr, are fine.
MACHINE_PATH = re.compile(r"(?<![\w.:/$}-])/(home|root|Users|work|workspace|builds|mnt|media)/[\w.-]+")
INDEX_HOST = re.compile(
    r"files\.pythonhosted\.org|pypi\.org/simple|registry\.(npmjs|yarnpkg)\.|artifactory|jfrog|devpi"
    r"|(extra-)?index-url|find-links",
    re.IGNORECASE,
)
REQUIREMENT = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


@cache
def texts() -> dict[str, str]:
    """Path and text of every text file of the project, without what tools and running programs make."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in NOT_OURS and (f[0] != "." or f in {".ci", ".github"})]
        for file in map(Path(folder).joinpath, files):
            if file.name in NO_TEXTS or file.name.startswith(".coverage"):
                continue
            try:
                found[file.relative_to(ROOT).as_posix()] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # an image or the like
    return found


def python_texts(*folders: str) -> dict[str, str]:
    """The Python files among them; in these top folders if any are named."""
    own = Path(__file__)
    everything = {**texts(), own.relative_to(ROOT).as_posix(): own.read_text(encoding="utf-8")}
    return {
        path: text
        for path, text in everything.items()
        if path.endswith(".py") and (not folders or path.partition("/")[0] in folders)
    }


def without_docstring(path: str, source: str) -> list[str]:
    """Module, public classes, functions and methods without a docstring; in tests/ only module and tests."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else [f"{path}: the module"]
    return found + [
        f"{path}: {name}" for name in undocumented(tree, "", only_tests=path.startswith("tests/"))
    ]


def undocumented(scope: ast.Module | ast.ClassDef, prefix: str, *, only_tests: bool) -> list[str]:
    """The public names without docstring in a module or class, and in the classes within."""
    found: list[str] = []
    for node in scope.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name[0] == "_":
            continue
        counts = node.name.startswith("test_") if only_tests else not is_overload(node)
        if counts and not ast.get_docstring(node):
            found.append(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found += undocumented(node, f"{node.name}.", only_tests=only_tests)
    return found


def is_overload(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is one signature of several, or the setter of a property: both are documented elsewhere."""
    names = {getattr(d, "attr", getattr(d, "id", "")) for d in node.decorator_list}
    return bool(names & {"overload", "setter", "deleter"})


def leftovers(path: str, source: str) -> list[str]:
    """Notes to oneself in comments."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return [f"{path}:{token.start[0]}: {token.string}" for token in comments if LEFTOVER.search(token.string)]


def prints(path: str, source: str) -> list[str]:
    """Calls of print and of the debugger, except where printing is the job."""
    names = {"breakpoint"} if path.startswith(MAY_PRINT) else {"breakpoint", "print"}
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f"{path}:{node.lineno}" for node in calls if getattr(node.func, "id", "") in names]


def bare_excepts(path: str, source: str) -> list[str]:
    """Handlers that name no exception and so swallow cancellation."""
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    return [f"{path}:{node.lineno}" for node in handlers if node.type is None]


def blocking(path: str, source: str) -> list[str]:
    """time.sleep inside a coroutine, and HTTP clients that only block."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if path in MAY_USE_REQUESTS and isinstance(node, ast.Import):
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] == "requests"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "requests":
            found.append("requests")
        elif isinstance(node, ast.AsyncFunctionDef):
            calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
            found += [
                ast.unparse(call) for call in calls if ast.unparse(call.func) in {"time.sleep", "urlopen"}
            ]
    return [f"{path}: {what}" for what in found]


def chance_made(path: str, source: str) -> list[str]:
    """Parameters of tests that are made by chance or time: each process that collects has others then."""
    decorators = [
        decorator
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
    ]
    calls = [inner for outer in decorators for inner in ast.walk(outer) if isinstance(inner, ast.Call)]
    names = [(call.lineno, ast.unparse(call.func).rpartition(".")[2]) for call in calls]
    return [f"{path}:{line}: {name}" for line, name in names if name in BY_CHANCE]


def unread(sources: dict[str, str]) -> list[str]:
    """Constants of modules that stand nowhere else in the project."""
    counts = Counter(word for source in sources.values() for word in re.findall(r"\w+", source))
    found = []
    for path, source in sources.items():
        for node in ast.parse(source).body if path.startswith(ROOMS) else ():
            targets = [getattr(node, "target", None), *getattr(node, "targets", ())]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found += [f"{path}:{node.lineno}: {name}" for name in names if counts[name] == 1]
    return found


def too_long(path: str, source: str) -> list[str]:
    """Files and functions past their limit; a docstring counts, decorators do not."""
    lines = source.count("\n")
    found = [f"{path}: {lines} lines"] if lines > FILE_LINES_MAX else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            found += [f"{path}: {node.name} has {length} lines"] if length > FUNCTION_LINES_MAX else []
    return found


def machine_paths(path: str, text: str) -> list[str]:
    """Absolute paths that exist on one machine only."""
    return [f"{path}: {match.group()}" for match in MACHINE_PATH.finditer(text)]


def index_hosts(path: str, text: str) -> list[str]:
    """Addresses and options of a package index: where packages come from is the machine's business."""
    return [f"{path}: {match.group()}" for match in INDEX_HOST.finditer(text)]


def dead_modules(sources: dict[str, str], programs: set[str]) -> list[str]:
    """Modules that no other module imports or names in a string, and that are no program either."""
    named: set[str] = set()
    for path, source in sources.items():
        named |= {name for name in names_in(source) if name != module_name(path)}
    return [
        path
        for path in sources
        if not path.endswith(("__init__.py", "__main__.py"))
        and module_name(path) not in programs
        and not any(name == module_name(path) or name.startswith(f"{module_name(path)}.") for name in named)
    ]


def module_name(path: str) -> str:
    """The name a file is imported by."""
    return path.removeprefix("api/sdk/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def names_in(source: str) -> set[str]:
    """Dotted names in imports, and in strings such as "api.app:create" that a server or a child gets."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= (
                {node.value.partition(":")[0]} if re.fullmatch(r"\w+(\.\w+)+(:\w+)?", node.value) else set()
            )
    return names


def lock_faults(lock: str) -> list[str]:
    """Lines with an address, and requirements without a hash."""
    found = [line for line in lock.splitlines() if "://" in line or " @ " in line or line.startswith("-")]
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    return found + [block.split()[0] for block in blocks if "--hash=sha256:" not in block]


BAD = [
    (without_docstring, "api/app.py", "x = 1\n"),
    (without_docstring, "api/rest/__init__.py", ""),
    (without_docstring, "api/app.py", '"""A."""\nclass App:\n    """B."""\n    def run(self): ...\n'),
    (without_docstring, "tests/unit/test_x.py", '"""A."""\nasync def test_it(): ...\n'),
    (without_docstring, "tests/unit/test_x.py", '"""A."""\nclass TestIt:\n    def test_it(self): ...\n'),
    (leftovers, "api/app.py", "x = 1  # TODO: more\n"),
    (prints, "api/app.py", "print(1)\n"),
    (prints, "api/cli/search.py", "breakpoint()\n"),
    (bare_excepts, "api/app.py", "try:\n    x = 1\nexcept:\n    raise\n"),
    (blocking, "api/app.py", "async def f():\n    time.sleep(1)\n"),
    (blocking, "api/app.py", "def f():\n    from requests import get\n"),
    (chance_made, "tests/test_x.py", "@parametrize('id', [str(uuid.uuid4())])\ndef test(id): ...\n"),
    (too_long, "api/app.py", "x = 1\n" * (FILE_LINES_MAX + 1)),
    (too_long, "api/app.py", "async def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
    (machine_paths, "docs/x.md", "see /home/someone/amos"),
    (machine_paths, "deploy/x.yml", "path: '/root/amos'"),
    (index_hosts, "requirements.lock", "--extra-index-url https://packages.example/simple"),
    (index_hosts, "Dockerfile", "RUN curl https://files.pythonhosted.org/x"),
]

GOOD = [
    (without_docstring, "api/app.py", '"""A."""\ndef _f(): ...\nclass _C:\n    def run(self): ...\n'),
    (without_docstring, "api/app.py", '"""A."""\n@overload\ndef f(): ...\n'),
    (leftovers, "api/app.py", 'x = "TODO"\n'),
    (prints, "api/cli/search.py", "print(1)\n"),
    (bare_excepts, "api/app.py", "try:\n    x = 1\nexcept ValueError:\n    raise\n"),
    (blocking, "storage/recorder_process.py", "import requests_like\ndef f():\n    time.sleep(1)\n"),
    (chance_made, "tests/test_x.py", "@parametrize('n', range(3))\ndef test(n):\n    uuid4()\n"),
    (too_long, "api/app.py", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)),
    (machine_paths, "docs/x.md", "https://example.org/home/x, /usr/bin/env, ./work/x and $HOME/work/x"),
    (index_hosts, "README.md", "https://pypi.org/project/starlette"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_an_untidy_file_is_found(rule, path, text):
    """Each rule can fail: it names the violation in a file that has one."""
    assert rule(path, text)


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_tidy_file_is_left_alone(rule, path, text):
    """No rule forbids what is right."""
    assert rule(path, text) == []


def hold(rule, files: dict[str, str]) -> None:
    """Fail with every violation the rule finds in the files, one a line."""
    found = [violation for path, text in files.items() for violation in rule(path, text)]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_everything_public_has_a_docstring():
    """Every module, public class, function and method, and every test, says what it is."""
    hold(without_docstring, python_texts())


def test_nothing_is_left_over():
    """No comment promises work for later, and nothing prints or stops for a debugger but the command line."""
    hold(leftovers, python_texts())
    hold(prints, python_texts())


def test_no_handler_catches_everything_unnamed():
    """Every except names what it catches, so that cancellation passes."""
    hold(bare_excepts, python_texts())


def test_no_coroutine_blocks():
    """No coroutine sleeps with time.sleep, and no room uses a client that can only block."""
    hold(blocking, python_texts(*ROOMS))


def test_every_process_collects_the_same_tests():
    """No parameter of a test is made by chance or time, so that workers agree on what there is to run."""
    hold(chance_made, python_texts("tests"))


def test_no_constant_is_unread():
    """Every constant of a module is used somewhere; one that is not is found."""
    assert unread({"api/x.py": "A = 1\nB: int = 2\nC = A\n", "tests/y.py": "C"}) == ["api/x.py:2: B"]

    assert unread(python_texts()) == []


def test_nothing_is_too_long():
    """A file is at most 400 lines long and a function at most 70."""
    hold(too_long, python_texts())


def test_no_file_names_one_machine():
    """No file holds an absolute path of one machine or the address of a package index."""
    hold(machine_paths, texts())
    hold(index_hosts, texts())


def test_a_dead_module_is_found():
    """A module that only names itself is dead; one that is imported, named in a string or started is not."""
    sources = {
        "api/cli/__init__.py": "import api.server",
        "api/server.py": "serve('api.app:create')",
        "api/app.py": "from storage import codec",
        "storage/codec.py": "",
        "storage/dead.py": "import storage.dead",
        "storage/drain.py": "",
    }

    assert dead_modules(sources, {"storage.drain"}) == ["storage/dead.py"]


def test_no_module_is_dead():
    """Every module of the rooms is used by another or by an example, or is a program."""
    if not (ROOT / "api/composition.py").exists():
        pytest.skip("api/composition.py, which names everything, does not exist yet")
    scripts = tomllib.loads(texts()["pyproject.toml"])["project"]["scripts"]
    programs = {target.partition(":")[0] for target in scripts.values()}

    programs |= alembic_files() | {module_name(path) for path in python_texts("examples")}

    assert dead_modules(python_texts(*ROOMS, "alembic", "examples"), programs) == []


def alembic_files() -> set[str]:
    """What alembic loads by itself."""
    return {module_name(path) for path in python_texts("alembic")}


def test_a_faulty_lock_is_found():
    """A lock with an address, an option or a requirement without hash is refused."""
    assert lock_faults("a==1 \\\n    --hash=sha256:0\nb==2\n") == ["b==2"]
    assert lock_faults("a @ https://example.org/a.whl \\\n    --hash=sha256:0\n")
    assert lock_faults("--no-binary :all:\n")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-clients.lock"])
def test_locks_hold_hashes_and_no_address(name):
    """Every locked requirement has a hash, and no lock says where to get it."""
    assert lock_faults(texts()[name]) == []


def test_development_lock_is_the_runtime_lock_and_more():
    """Development tests exactly the versions that are served, so one environment can be both."""
    runtime = set(REQUIREMENT.findall(texts()["requirements.lock"]))
    development = set(REQUIREMENT.findall(texts()["requirements-dev.lock"]))

    assert runtime < development


def test_locks_hold_what_the_project_asks_for():
    """Every dependency of pyproject.toml is in its lock."""
    project = tomllib.loads(texts()["pyproject.toml"])
    for wanted, name in [
        (project["project"]["dependencies"], "requirements.lock"),
        (project["dependency-groups"]["dev"], "requirements-dev.lock"),
        (project["dependency-groups"]["clients"], "requirements-clients.lock"),
    ]:
        locked = {found for found, _ in REQUIREMENT.findall(texts()[name])}
        assert {re.split(r"[\[<>=~!; ]", line)[0] for line in wanted} <= locked


def test_launcher_is_posix_shell():
    """The launcher parses in the plainest shell there is."""
    subprocess.run(["sh", "-n", str(ROOT / "amos")], check=True)
