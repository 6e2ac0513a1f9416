"""The provider as the chain sees it: answers, refreshing, cancelling, failing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.errors import ProviderRejected, ProviderUnavailable, SettingsError
from orchestrator.events import FREE
from orchestrator.model import ExtractRequest, SearchRequest
from orchestrator.ports import Provider
from orchestrator.providers.local import REFRESH_S, Local
from tests.support.calls import make_call
from tests.support.local_folder import HandClock, ask, found_files, write


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with two documents."""
    write(
        tmp_path / "docs" / "breaker.md",
        "# Breaker\nIntro.\n\n## Opening a circuit\nIt opens after **failures**.\n",
    )
    write(tmp_path / "docs" / "page one.html", "<title>Page</title><h2 id=käse>Cheese</h2><p>About cheese.")
    return tmp_path / "docs"


@pytest.fixture
def clock() -> HandClock:
    """Time, standing still."""
    return HandClock()


@pytest.fixture
async def local(docs: Path, clock: HandClock) -> AsyncIterator[Local]:
    """The provider over the folder, not indexed yet."""
    local = Local((docs,), docs.parent / "var" / "local.sqlite", clock)
    yield local
    await local.aclose()


async def refreshed(local: Local) -> None:
    """Wait for the pass in the background, if there is one."""
    if local._refresh is not None:
        await local._refresh


async def test_the_first_search_indexes(local: Local, docs: Path) -> None:
    """A search on no index waits for the first pass; results are passages with titles and addresses."""
    provider: Provider = local
    found = await ask(local, "circuit failures")

    (result,) = found.answer.results
    assert result.title == "Breaker › Opening a circuit"  # noqa: RUF001
    assert result.url == f"{docs.as_uri()}/breaker.md#opening-a-circuit"
    assert result.content == "It opens after failures."
    assert (result.score, result.raw_content, found.unsupported) == (1.0, None, ())
    assert (provider.name, provider.operations) == ("local", frozenset({"search"}))
    assert found.cost == provider.search_estimate(SearchRequest(query="x")) == FREE


async def test_addresses_are_quoted(local: Local, docs: Path) -> None:
    """Spaces and letters beyond ASCII are escaped in URLs."""
    (result,) = (await ask(local, "cheese")).answer.results

    assert result.url == f"{docs.as_uri()}/page%20one.html#k%C3%A4se"


async def test_the_whole_document_on_request(local: Local) -> None:
    """With `include_raw_content` the text of the document comes along."""
    (result,) = (await ask(local, "failures", include_raw_content="markdown")).answer.results

    assert result.raw_content == "# Breaker\n\nIntro.\n\n## Opening a circuit\n\nIt opens after **failures**."


@pytest.mark.parametrize(
    "fields", [{"include_domains": ("example.com",)}, {"max_results": 0}, {"query": "?!"}]
)
async def test_nothing_is_an_answer(local: Local, fields: dict[str, object]) -> None:
    """A query without words, a limit of 0 and a restriction to hosts find nothing, without an error."""
    found = await local.search(make_call(SearchRequest(**{"query": "circuit", **fields})))  # type: ignore[arg-type]

    assert found.answer.results == ()


async def test_what_cannot_be_honoured_is_named(local: Local) -> None:
    """Fields that were given a meaning documents cannot have are named; defaults and `false` are not."""
    found = await ask(
        local, "circuit", search_depth="advanced", topic="news", time_range="day", include_answer=True,
        include_images=False, exclude_domains=("x.example",), extra={"zeta": 1}, include_raw_content=True,
    )  # fmt: skip
    plain = await ask(local, "circuit", search_depth="basic", topic="general", max_results=3)

    assert found.unsupported == ("include_answer", "search_depth", "time_range", "topic", "zeta")
    assert plain.unsupported == ()


async def test_a_stale_index_is_refreshed_behind_the_answer(
    local: Local, docs: Path, clock: HandClock
) -> None:
    """A search answers from what is there and has the folders looked at; a later one sees the change."""
    await ask(local, "circuit")
    write(docs / "new.md", "circuit circuit")

    assert await found_files(local, "circuit") == ["breaker.md"]
    await refreshed(local)
    assert await found_files(local, "circuit") == ["breaker.md"]
    clock.seconds += REFRESH_S
    assert await found_files(local, "circuit") == ["breaker.md"]
    await refreshed(local)
    assert sorted(await found_files(local, "circuit")) == ["breaker.md", "new.md"]


async def test_an_index_of_an_earlier_start_answers_at_once(
    local: Local, docs: Path, clock: HandClock
) -> None:
    """A finished index is used by the next start, whoever made it."""
    await local.index()
    write(docs / "new.md", "circuit circuit")
    later = Local((docs,), docs.parent / "var" / "local.sqlite", clock)

    assert await found_files(later, "circuit") == ["breaker.md"]
    await later.aclose()


async def test_other_folders_other_index(local: Local, docs: Path, tmp_path: Path, clock: HandClock) -> None:
    """After the folders were changed in the settings, nothing of the old ones is found."""
    await local.index()
    write(tmp_path / "else" / "other.md", "another circuit")
    other = Local((tmp_path / "else",), docs.parent / "var" / "local.sqlite", clock)

    assert await found_files(other, "circuit") == ["other.md"]
    await other.aclose()


async def test_index_reports_progress_on_the_loop(local: Local) -> None:
    """Progress is told in the thread of the event loop, before the report is there."""
    told: list[tuple[int, int, int]] = []

    report = await local.index(lambda done, total, _: told.append((done, total, threading.get_ident())))

    assert (report.added, report.skipped) == (2, ())
    assert told == [(1, 2, threading.get_ident()), (2, 2, threading.get_ident())]


async def test_concurrent_searches(local: Local) -> None:
    """Many searches at once, the first ones on no index, share one pass and all find the same."""
    answers = await asyncio.gather(*(found_files(local, "circuit failures") for _ in range(50)))

    assert answers == [["breaker.md"]] * 50


async def test_a_cancelled_search_harms_nobody(local: Local) -> None:
    """Cancelling the search that began the first pass leaves the pass, and the connection, to the others."""
    first = asyncio.create_task(found_files(local, "circuit"))
    while local._refresh is None:  # noqa: ASYNC110  - no event tells that the search began to wait
        await asyncio.sleep(0)
    other = asyncio.create_task(found_files(local, "circuit"))
    first.cancel()

    with pytest.raises(asyncio.CancelledError):
        await first
    assert await other == ["breaker.md"]
    running = [asyncio.create_task(found_files(local, "circuit")) for _ in range(10)]
    await asyncio.sleep(0)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert await found_files(local, "circuit") == ["breaker.md"]


async def test_a_cancelled_index_stops(local: Local, docs: Path) -> None:
    """Cancelling `index` ends the pass after the current file; a later one does the rest."""
    for number in range(200):
        write(docs / f"{number}.md", "x")
    begun = asyncio.Event()
    task = asyncio.create_task(local.index(lambda *_: begun.set()))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    report = await local.index()
    assert report.added + report.unchanged == 202


async def test_a_file_damaged_under_way_is_rebuilt(local: Local, docs: Path) -> None:
    """When the index turns out to be damaged during a search, it is built again and the search answered."""
    await local.index()
    index_path = docs.parent / "var" / "local.sqlite"
    await local._reader.aclose()
    await local._writer.aclose()
    damaged = bytearray(index_path.read_bytes())
    damaged[4_096:] = b"\xff" * (len(damaged) - 4_096)  # the first page stays: it opens like a sound file
    index_path.write_bytes(damaged)
    again = Local((docs,), index_path, HandClock())

    assert await found_files(again, "circuit failures") == ["breaker.md"]
    assert index_path.with_name("local.sqlite.damaged").exists()
    await again.aclose()


async def test_a_deleted_index_is_rebuilt(local: Local, docs: Path) -> None:
    """An index file that somebody removed while it was open is made again."""
    await local.index()
    for file in (docs.parent / "var").iterdir():
        file.unlink()

    assert await found_files(local, "circuit failures") == ["breaker.md"]
    assert (docs.parent / "var" / "local.sqlite").exists()


async def test_an_index_that_cannot_be_made(docs: Path, clock: HandClock) -> None:
    """A search without a usable index is a failure of the provider, for the chain to act on."""
    write(docs.parent / "file", "in the way")
    local = Local((docs,), docs.parent / "file" / "local.sqlite", clock)

    with pytest.raises(ProviderUnavailable) as caught:
        await ask(local, "circuit")
    assert (caught.value.provider, caught.value.reason) == ("local", "index_unavailable")
    assert str(docs.parent) not in caught.value.message
    await local.aclose()


async def test_closing(local: Local) -> None:
    """Closing ends a pass under way, may be repeated, and a search afterwards is refused."""
    searching = asyncio.create_task(ask(local, "circuit"))
    await asyncio.sleep(0)

    await local.aclose()
    await local.aclose()

    await asyncio.gather(searching, return_exceptions=True)
    with pytest.raises(ProviderUnavailable):
        await ask(local, "circuit")


async def test_extract_is_not_offered(local: Local) -> None:
    """No caller may name a file to be read."""
    with pytest.raises(ProviderRejected):
        await local.extract(make_call(ExtractRequest(urls=("file:///etc/passwd",))))
    assert local.extract_estimate(ExtractRequest(urls=())) == FREE


def test_a_missing_folder_stops_the_start(tmp_path: Path, clock: HandClock) -> None:
    """A configured path that does not exist is named at once."""
    with pytest.raises(SettingsError, match="nowhere does not exist"):
        Local((tmp_path / "nowhere",), tmp_path / "i.sqlite", clock)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_unreadable_files_are_skipped(local: Local, docs: Path) -> None:
    """A file without permission is reported with its reason, and read as soon as it may be."""
    path = write(docs / "locked.md", "circuit")
    path.chmod(0)

    report = await local.index()
    path.chmod(0o600)

    assert report.skipped == ((str(path), "permission denied"),)
    assert (await local.index()).added == 1
