"""Which files are documents, and that nothing outside the folders ever is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from orchestrator.errors import SettingsError
from orchestrator.providers.local_documents import Unreadable
from orchestrator.providers.local_files import FILE_BYTES_MAX, OUTSIDE, File, find, is_within, read, resolve
from tests.support.local_folder import write


def names(root: Path) -> list[str]:
    """What is found below the folder, relative to it."""
    return sorted(Path(file.path).relative_to(root).as_posix() for file in find([root]).files)


def test_documents_of_all_kinds(tmp_path: Path) -> None:
    """Markdown, text and HTML are found at any depth and in any case of the suffix; the rest is ignored."""
    for name in ("a.md", "b.MARKDOWN", "sub/c.txt", "sub/d/e.rst", "f.html", "g.HTM", "h.pdf", "i", "md"):
        write(tmp_path / name, "x")

    assert names(tmp_path) == ["a.md", "b.MARKDOWN", "f.html", "g.HTM", "sub/c.txt", "sub/d/e.rst"]


def test_hidden_things_are_passed_over(tmp_path: Path) -> None:
    """Hidden files and folders, and folders of installed packages, hold no documents of the owner's."""
    for name in (".git/a.md", ".venv/b.md", "node_modules/c.md", ".hidden.md", "seen.md"):
        write(tmp_path / name, "x")

    assert names(tmp_path) == ["seen.md"]


def test_links_to_outside_are_skipped(tmp_path: Path) -> None:
    """A link to a file or folder outside the roots is not followed, and is reported."""
    write(tmp_path / "secret" / "key.md", "x")
    root = tmp_path / "root"
    write(root / "a.md", "x")
    (root / "file.md").symlink_to(tmp_path / "secret" / "key.md")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "up.md").symlink_to("../secret/key.md")

    listing = find([root])

    assert [file.path for file in listing.files] == [str(root / "a.md")]
    assert sorted(listing.skipped) == [(str(root / name), OUTSIDE) for name in ("file.md", "folder", "up.md")]


def test_a_folder_beside_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    """`/srv/wiki-private` is not within `/srv/wiki`."""
    assert not is_within("/srv/wiki-private/a.md", [Path("/srv/wiki")])
    assert is_within("/srv/wiki/a.md", [Path("/srv/wiki")])
    assert is_within("/a.md", [Path("/")])


def test_links_within_are_followed_once(tmp_path: Path) -> None:
    """A link into a hidden place of the same root is followed; loops end; no file is found twice."""
    write(tmp_path / "..data" / "config.md", "x")
    write(tmp_path / "real.md", "x")
    write(tmp_path / ".env", "x")
    (tmp_path / "config.md").symlink_to("..data/config.md")
    (tmp_path / "again.md").symlink_to("real.md")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone.md").symlink_to("nowhere.md")
    (tmp_path / "env.md").symlink_to(".env")

    assert names(tmp_path) == ["config.md", "real.md"]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe or socket with the name of a document is skipped and never waited for."""
    os.mkfifo(tmp_path / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.md"))
    pipe = str(tmp_path / "pipe.md")

    listing = find([tmp_path])

    assert {reason for _, reason in listing.skipped} == {"not a regular file"}
    assert len(listing.skipped) == 2
    with pytest.raises(Unreadable, match="not a regular file"):
        read(File(pipe, pipe, 0, 0))


def test_a_link_put_in_place_of_a_file_is_not_opened(tmp_path: Path) -> None:
    """A file that became a link after it was listed is not read."""
    write(tmp_path / "outside.md", "secret")
    link = tmp_path / "a.md"
    link.symlink_to("outside.md")

    with pytest.raises(Unreadable):
        read(File(str(link), str(link), 6, 0))


def test_huge_files_are_skipped(tmp_path: Path) -> None:
    """A file above the bound is not read, also if it grew after it was listed."""
    path = tmp_path / "big.txt"
    with path.open("wb") as stream:
        stream.truncate(FILE_BYTES_MAX + 1)

    assert "larger than" in find([tmp_path]).skipped[0].reason
    with pytest.raises(Unreadable, match="larger"):
        read(File(str(path), str(path), 1, 0))


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A file whose name is no text is skipped, and named with escapes."""
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")), "x")

    (skipped,) = find([tmp_path]).skipped

    assert skipped.path.endswith("caf\\xe9.md")


def test_settings_are_checked_together(tmp_path: Path) -> None:
    """Every path that cannot be used is named in one message."""
    write(tmp_path / "image.png", "x")

    with pytest.raises(SettingsError, match=r"missing does not exist; .*image\.png is neither"):
        resolve([tmp_path / "missing", tmp_path / "image.png", tmp_path])
    with pytest.raises(SettingsError, match="no folder"):
        resolve([])


def test_single_files_and_nested_roots(tmp_path: Path) -> None:
    """A root may be one file, and a folder within another root changes nothing."""
    one = write(tmp_path / "a" / "one.md", "x")
    write(tmp_path / "a" / "two.md", "x")

    assert [file.path for file in find(resolve([one])).files] == [str(one)]
    assert len(find(resolve([tmp_path, tmp_path / "a", one])).files) == 2


def test_a_root_that_disappears(tmp_path: Path) -> None:
    """A root that is gone is reported, not raised."""
    (root,) = resolve([write(tmp_path / "a.md", "x")])
    root.unlink()

    assert find([root]).skipped == [(str(root), "no such file or directory")]
