"""`amos serve` as processes: ready on a fresh machine, whole again after a death, patient at its end."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.support.processes import ROOT, AmosProcesses, environment, until
from tests.support.tavily_simulator import TavilySimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = 20

DOCS = {file: file.read_text(encoding="utf-8") for file in (ROOT / "docs").rglob("*.md")}
"""The project's own documentation, which a fresh installation searches."""

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fresh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AmosProcesses]:
    """`amos serve` without any key or setting, on a data folder that did not exist."""
    async with AmosProcesses(tmp_path_factory.mktemp("fresh") / "var", {}) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def tavily() -> AsyncIterator[TavilySimulator]:
    """Tavily, simulated."""
    async with TavilySimulator() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def amos(tmp_path: Path, tavily: TavilySimulator) -> AsyncIterator[AmosProcesses]:
    """`amos serve` with a simulated Tavily."""
    settings = {"TAVILY_API_KEY": tavily.api_key, "AMOS_TAVILY_BASE_URL": tavily.base_url}
    async with AmosProcesses(tmp_path / "var", settings) as running:
        yield running


def client(amos: AmosProcesses) -> httpx.AsyncClient:
    """A client of the running server."""
    return httpx.AsyncClient(base_url=amos.base_url, timeout=20.0, trust_env=False)


async def get(amos: AmosProcesses, path: str) -> httpx.Response:
    """One GET on a connection of its own."""
    async with client(amos) as asking:
        return await asking.get(path)


async def search(amos: AmosProcesses, query: str) -> httpx.Response:
    """One search on a connection of its own."""
    async with client(amos) as asking:
        return await asking.post("/search", json={"query": query})


def answered_in_sql(amos: AmosProcesses) -> set[str]:
    """The executions of which the database says that they were answered; for when all processes are gone."""
    with closing(sqlite3.connect(amos.database)) as connection:
        rows = connection.execute("SELECT stream FROM events WHERE type = 'amos.request.completed.v1'")
        return {stream for (stream,) in rows}


async def recorded(amos: AmosProcesses, execution_id: str) -> dict[str, Any]:
    """The execution from the log, as soon as the recorder has read all of it.

    Until then it is 404, also on a folder that has no database yet; or unsettled, if the recorder has read
    its first frame and not its last.
    """
    for _ in range(100):
        answer = await get(amos, f"/executions/{execution_id}")
        if answer.status_code == 200:
            if (execution := answer.json())["explanation"]["status"] != "unsettled":
                return dict(execution)
        else:
            assert answer.status_code == 404, answer.text
            assert answer.headers["retry-after"] == "1"
        await asyncio.sleep(0.05)
    raise AssertionError("the execution did not appear in the log")


# --- a fresh machine ----------------------------------------------------------------------------------------


async def test_the_line_it_prints_works(fresh: AmosProcesses):
    """Without keys the printed curl line gives real passages of the project's own docs, from `local`."""
    line = next(line for line in fresh.log.splitlines() if "curl" in line)
    found = re.fullmatch(r"\s*curl -s (?P<url>\S+) -d '(?P<body>\{.*\})'", line)
    assert found is not None

    async with client(fresh) as asking:
        # What curl declares when it is given -d.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = (await asking.post(found["url"], content=found["body"], headers=form)).json()

    assert answer["query"] == json.loads(found["body"])["query"]
    assert answer["amos"]["provider"] == "local"
    assert answer["amos"]["degraded"] is False
    assert answer["results"]
    for result in answer["results"]:
        file = Path(unquote(urlsplit(result["url"]).path))
        assert file in DOCS
        first_words = re.findall(r"\w+", result["content"])[:3]
        assert all(word in DOCS[file] for word in first_words)
    assert any("circuit" in result["content"].lower() for result in answer["results"])


async def test_the_line_of_the_readme_works(fresh: AmosProcesses):
    """So does the README's, which is the same request on the default port."""
    found = re.search(r"curl -s localhost:8000(/\S+) -d '(\{[^']*\})'", README)
    assert found is not None

    async with client(fresh) as asking:
        answer = await asking.post(found[1], content=found[2])

    assert answer.status_code == 200
    assert answer.json()["amos"]["provider"] == "local"
    assert answer.json()["results"]


async def test_it_is_live_and_ready(fresh: AmosProcesses):
    """/livez and /readyz say so in one word."""
    live, ready = await get(fresh, "/livez"), await get(fresh, "/readyz")

    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_health_shows_every_component(fresh: AmosProcesses):
    """/health lists stores and recorder, and providers without a key as unconfigured, with the reason."""
    await recorded(fresh, (await search(fresh, "stages of the pipeline")).json()["amos"]["execution_id"])
    body = (await get(fresh, "/health")).json()

    components = {component["name"]: component for component in body["components"]}
    assert body["status"] == "ok"
    assert components["provider:tavily"]["status"] == "unconfigured"
    assert "TAVILY_API_KEY" in components["provider:tavily"]["detail"]
    assert components["provider:jina"]["status"] == "unconfigured"
    for name in ("journal", "recorder", "cache:l1", "provider:local"):
        assert components[name]["status"] == "ok", components[name]


async def test_an_answer_can_be_looked_up(fresh: AmosProcesses):
    """A search is in SQL within moments, through the recorder's own process."""
    answer = (await search(fresh, "event log")).json()

    execution = await recorded(fresh, answer["amos"]["execution_id"])
    assert execution["explanation"]["status"] == "answered"
    assert execution["explanation"]["provider"] == "local"
    assert execution["explanation"]["door"] == "http"


async def test_a_taken_port_is_a_sentence(fresh: AmosProcesses, tmp_path: Path):
    """A second server on the same port ends with status 1 and says which address is taken, and what to do."""
    port = urlsplit(fresh.base_url).port
    second = AmosProcesses(tmp_path / "var", {"AMOS_PORT": str(port)})
    status, output = await second.command("serve")

    assert status == 1
    assert f"127.0.0.1:{port}" in output
    assert f"in use. `ss -ltnp 'sport = :{port}'` shows who has it" in output
    assert "AMOS_PORT" in output
    assert "Traceback" not in output
    assert not second.alive()
    assert (await get(fresh, "/livez")).status_code == 200


@pytest.mark.parametrize("place", ["var", "var/journal"])
async def test_a_data_folder_that_is_a_file_is_a_sentence(tmp_path: Path, place: str):
    """Where a file is in the place of a folder the start ends with status 1, and says which."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    status, output = await AmosProcesses(tmp_path / "var", {}).command("serve")

    assert status == 1
    assert len(output.splitlines()) == 1
    assert f"the data folder cannot be used: {tmp_path / place}" in output


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"AMOS_PROVIDERS": "tavly,local"}, "AMOS_PROVIDERS: tavly: There is no kind of provider"),
        (
            {"AMOS_PROVIDERS": "wiki", "AMOS_PROVIDER_OPTIONS": '{"wiki": {"kind": "searxng"}}'},
            "AMOS_PROVIDER_OPTIONS: wiki: options: Object missing required field `url`",
        ),
    ],
)
async def test_providers_that_cannot_be_end_the_start(tmp_path: Path, settings: dict[str, str], words: str):
    """Only a worker finds out, who is not started for ever: it ends with status 1 and says why once."""
    status, output = await AmosProcesses(tmp_path / "var", settings).command("serve")

    assert status == 1
    assert output.count("AMOS cannot start with this configuration: ") == 1
    assert words in output
    assert "started again" not in output


@pytest.mark.parametrize("module", ["api.server", "api.recorder"])
async def test_a_child_that_cannot_work_says_why_in_a_line(tmp_path: Path, module: str):
    """A data folder that turns bad under a running server is one line a try in its log, no traceback."""
    (tmp_path / "var").touch()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "0"),
        env=environment({"AMOS_DATA_DIR": str(tmp_path / "var")}),
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, output = await child.communicate()

    assert child.returncode == 1
    assert len(output.decode().splitlines()) == 1
    assert str(tmp_path / "var") in output.decode()


async def test_a_worker_has_all_the_open_files_it_may(amos: AmosProcesses):
    """Each connection is an open file, so the usual soft limit is not what bounds them."""
    soft, hard = resource.prlimit(amos.pid("worker"), resource.RLIMIT_NOFILE)

    assert soft == hard


async def test_more_connections_than_files(tmp_path: Path):
    """Clients that come, ask and leave do not use up a small limit of open files."""
    async with AmosProcesses(tmp_path / "var", {}) as amos:
        resource.prlimit(amos.pid("worker"), resource.RLIMIT_NOFILE, (100, 100))
        for _ in range(200):
            assert (await get(amos, "/livez")).status_code == 200


# --- dying --------------------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced(amos: AmosProcesses, tavily: TavilySimulator):
    """After `kill -9` of the worker the next request waits a moment and is answered by its successor."""
    before = (await search(amos, "before")).json()
    first = amos.pid("worker")
    amos.signal("worker", signal.SIGKILL)

    after = await search(amos, "after")

    assert after.status_code == 200
    assert amos.pid("worker") != first
    assert "the worker" in amos.log
    for execution_id in (before["amos"]["execution_id"], after.json()["amos"]["execution_id"]):
        assert (await recorded(amos, execution_id))["explanation"]["status"] == "answered"
    assert tavily.count == 2


async def test_a_killed_recorder_is_replaced(amos: AmosProcesses):
    """After `kill -9` of the recorder searches go on, and its successor records them."""
    first = amos.pid("recorder")
    amos.signal("recorder", signal.SIGKILL)

    answer = await search(amos, "meanwhile")

    assert answer.status_code == 200
    await recorded(amos, answer.json()["amos"]["execution_id"])
    assert amos.pid("recorder") != first


async def test_children_end_with_their_supervisor(amos: AmosProcesses):
    """After `kill -9` of the supervisor nothing is left running, and nothing answered is lost."""
    answered = (await search(amos, "the last words")).json()["amos"]["execution_id"]
    amos.signal("supervisor", signal.SIGKILL)

    await amos.gone(10.0)
    await amos.start()

    assert (await recorded(amos, answered))["explanation"]["status"] == "answered"


# --- stopping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_finishes_what_is_under_way(
    amos: AmosProcesses, tavily: TavilySimulator, number: signal.Signals
):
    """Every search under way when the signal comes is answered and recorded; then all processes are gone."""
    tavily.delay_s = 1.0
    under_way = [asyncio.create_task(search(amos, f"question {n}")) for n in range(CALLS)]
    await until(lambda: tavily.count == CALLS, 10.0, lambda: f"{tavily.count} of {CALLS} arrived")

    amos.signal("supervisor", number)
    answers = await asyncio.gather(*under_way)
    await amos.gone(15.0)

    assert {answer.status_code for answer in answers} == {200}
    assert "stopping" in amos.log
    assert "Traceback" not in amos.log
    assert {answer.json()["amos"]["execution_id"] for answer in answers} == answered_in_sql(amos)


async def test_a_stopping_server_takes_nobody_in(amos: AmosProcesses, tavily: TavilySimulator):
    """While calls under way are finished, new connections are refused at once instead of left waiting."""
    tavily.delay_s = 2.0
    under_way = asyncio.create_task(search(amos, "the last question"))
    await until(lambda: tavily.count == 1, 10.0, lambda: "the search did not arrive")
    amos.signal("supervisor", signal.SIGTERM)
    await until(lambda: "stopping" in amos.log, 5.0, lambda: amos.log)
    await asyncio.sleep(0.3)

    with pytest.raises(httpx.ConnectError):
        await get(amos, "/livez")

    assert not under_way.done()
    assert (await under_way).status_code == 200


async def test_load_while_stopping_is_answered_or_never_taken(amos: AmosProcesses, tavily: TavilySimulator):
    """Clients that ask all through a stop get whole answers or a connection error, never a broken answer."""
    tavily.delay_s = 0.05
    answered: list[str] = []
    errors: list[int] = []

    async def ask_until_refused(number: int) -> None:
        for turn in range(10_000):
            try:
                answer = await search(amos, f"question {number} {turn}")
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                answered.append(answer.json()["amos"]["execution_id"])
            else:
                errors.append(answer.status_code)

    clients = [asyncio.create_task(ask_until_refused(number)) for number in range(8)]
    await until(lambda: len(answered) > 50, 20.0, lambda: f"only {len(answered)} answers")
    status = await amos.stop()
    await asyncio.gather(*clients)

    assert status == 0
    assert errors == []
    assert set(answered) <= answered_in_sql(amos)
    assert not list(amos.journal.glob("*.seg"))


async def test_idle_connections_do_not_hold_up_a_stop(amos: AmosProcesses):
    """A client that keeps its connection open without asking anything does not delay the end."""
    async with client(amos) as idle:
        await idle.get("/livez")

        async with asyncio.timeout(5.0):
            assert await amos.stop() == 0
