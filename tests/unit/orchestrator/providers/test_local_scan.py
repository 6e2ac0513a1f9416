"""The index follows the folders: what is new, changed and gone, and nothing twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.providers.local_files import Skipped
from orchestrator.providers.local_index import LocalIndex
from orchestrator.providers.local_query import parse
from orchestrator.providers.local_scan import IndexReport, scan
from tests.support.local_folder import write

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder for documents."""
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LocalIndex]:
    """An open index."""
    index = LocalIndex.open(tmp_path / "var" / "local.sqlite")
    yield index
    index.close()


def run(index: LocalIndex, docs: Path) -> IndexReport:
    """One pass over the folder."""
    return scan(index, [docs], lambda: 5.0)


def titles(index: LocalIndex, text: str) -> list[str]:
    """The titles of what is found."""
    query = parse(text)
    assert query is not None
    return [hit.title for hit in index.search(query, 10, with_documents=False)]


def test_a_second_pass_reads_nothing(index: LocalIndex, docs: Path) -> None:
    """Files of unchanged size and time are not opened again, and the pass is noted with its time."""
    write(docs / "a.md", "# A\nalpha")
    write(docs / "bad.md", b"\0binary")
    asked: list[str] = []

    first = run(index, docs)
    second = scan(index, [docs], lambda: 9.0, progress=lambda _done, _total, path: asked.append(path))

    bad = Skipped(str(docs / "bad.md"), "binary, not text")
    assert first == IndexReport(1, 0, 0, 0, (bad,))
    assert second == IndexReport(0, 0, 0, 1, (bad,))
    assert asked == []
    assert index.scanned_at([docs]) == 9.0
    assert index.scanned_at([docs.parent]) is None


def test_a_changed_file_is_replaced(index: LocalIndex, docs: Path) -> None:
    """What a file no longer says is no longer found."""
    write(docs / "a.md", "# A\nalpha\n# B\nbeta")
    run(index, docs)
    write(docs / "a.md", "# A\ngamma", mtime_s=2_000)

    assert run(index, docs) == IndexReport(0, 1, 0, 0, ())
    assert titles(index, "beta") == []
    assert titles(index, "gamma") == ["A"]


def test_a_removed_file_vanishes(index: LocalIndex, docs: Path) -> None:
    """Deleted, made unreadable, or grown beyond the bound: it is found no more."""
    for name in ("kept", "deleted", "hidden"):
        write(docs / f"{name}.md", f"# {name}\nalpha")
    run(index, docs)
    (docs / "deleted.md").unlink()
    (docs / "hidden.md").rename(docs / ".hidden.md")

    assert run(index, docs) == IndexReport(0, 0, 2, 1, ())
    assert titles(index, "alpha") == ["kept"]
    assert set(index.known()) == {str(docs / "kept.md")}


def test_a_file_that_becomes_binary(index: LocalIndex, docs: Path) -> None:
    """It is taken out with a reason, and comes back when it is text again."""
    write(docs / "a.md", "alpha")
    run(index, docs)
    write(docs / "a.md", b"\0", mtime_s=2_000)
    became = run(index, docs)
    write(docs / "a.md", "alpha again", mtime_s=3_000)
    back = run(index, docs)

    assert (became.removed, len(became.skipped)) == (1, 1)
    assert back == IndexReport(1, 0, 0, 0, ())
    assert titles(index, "again") == ["a"]


def test_progress_counts_what_is_read(index: LocalIndex, docs: Path) -> None:
    """After each file: how many are done, how many there are."""
    for number in range(3):
        write(docs / f"{number}.md", "x")
    told: list[tuple[int, int, str]] = []

    scan(index, [docs], lambda: 5.0, progress=lambda *step: told.append(step))

    assert told == [(number + 1, 3, str(docs / f"{number}.md")) for number in range(3)]


def test_a_stopped_pass_keeps_what_it_did(index: LocalIndex, docs: Path) -> None:
    """It is not noted as finished, and the next one goes on from there."""
    for number in range(3):
        write(docs / f"{number}.md", "x")
    told: list[int] = []

    scan(index, [docs], lambda: 5.0, is_stopped=lambda: len(told) == 2, progress=lambda n, *_: told.append(n))

    assert index.scanned_at([docs]) is None
    assert run(index, docs) == IndexReport(1, 0, 0, 2, ())


def test_a_file_that_goes_away_during_the_pass(index: LocalIndex, docs: Path) -> None:
    """It is skipped with its reason, not kept as known, and read when it is back."""
    write(docs / "a.md", "alpha")
    second = write(docs / "b.md", "beta")

    report = scan(index, [docs], lambda: 5.0, progress=lambda *_: second.unlink(missing_ok=True))
    write(second, "beta")

    assert report == IndexReport(1, 0, 0, 0, (Skipped(str(second), "no such file or directory"),))
    assert run(index, docs) == IndexReport(1, 0, 0, 1, ())


def test_two_processes_on_one_file(index: LocalIndex, docs: Path) -> None:
    """Two processes that index the same folder at once leave each document in the index once."""
    for number in range(300):
        write(docs / f"{number}.md", f"# T{number}\nalpha beta")
    program = (
        "import sys, pathlib\n"
        "from orchestrator.providers.local_index import LocalIndex\n"
        "from orchestrator.providers.local_scan import scan\n"
        "index = LocalIndex.open(pathlib.Path(sys.argv[1]))\n"
        "scan(index, [pathlib.Path(sys.argv[2])], lambda: 5.0)\n"
    )
    command = [sys.executable, "-c", program, str(docs.parent / "var" / "local.sqlite"), str(docs)]

    with subprocess.Popen(command, cwd=ROOT) as other:
        run(index, docs)
        assert other.wait(60) == 0

    assert len(index.known()) == 300
    assert run(index, docs) == IndexReport(0, 0, 0, 300, ())
    ranked = index.search(parse("T7"), 10, with_documents=False)  # type: ignore[arg-type]
    assert [hit.title for hit in ranked] == ["T7"]
