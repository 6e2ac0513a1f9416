"""How much memory is in use: read from folders as the kernel lays them out, and from this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.memory_pressure import MemoryPressure, Usage, own_bytes


@pytest.fixture
def lay(tmp_path: Path):
    """Lays out files below a root; gives the pressure that reads them, for a process in `cgroup`."""

    def lay(cgroup: str, files: dict[str, str], process_max_bytes: int | None = None) -> MemoryPressure:
        membership = tmp_path / "membership"
        membership.write_text(cgroup)
        for name, text in files.items():
            file = tmp_path / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return MemoryPressure(process_max_bytes, tmp_path / "root", membership)

    return lay


def test_a_container_reads_the_root_that_is_mounted(lay):
    """In a container its own cgroup is the root; page cache the kernel takes back is not in use."""
    pressure = lay(
        "0::/\n",
        {
            "memory.max": "1000\n",
            "memory.current": "900\n",
            "memory.high": "max\n",
            "memory.stat": "anon 600\nfile 300\ninactive_file 200\nactive_file 100\n",
        },
    )

    assert pressure.look() == Usage(700, 1_000, "cgroup v2")


def test_memory_high_is_a_limit_as_well(lay):
    """Beyond `memory.high` the kernel throttles, which is as bad for a gateway."""
    pressure = lay("0::/\n", {"memory.max": "1000", "memory.high": "800", "memory.current": "400"})

    assert pressure.look() == Usage(400, 800, "cgroup v2")


def test_the_tightest_of_all_cgroups_around_the_process_counts(lay):
    """A service without a limit of its own may live in a slice that has one."""
    pressure = lay(
        "0::/system.slice/amos.service\n",
        {
            "system.slice/amos.service/memory.max": "1000",
            "system.slice/amos.service/memory.current": "100",
            "system.slice/memory.max": "2000",
            "system.slice/memory.current": "1900",
            "memory.stat": "anon 1",
        },
    )

    assert pressure.look() == Usage(1_900, 2_000, "cgroup v2")


def test_the_older_hierarchy_is_read_too(lay):
    """Version 1 has other names, and a number that means no limit."""
    pressure = lay(
        "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n",
        {
            "memory/docker/abc/memory.limit_in_bytes": "4000",
            "memory/docker/abc/memory.usage_in_bytes": "3000",
            "memory/docker/abc/memory.stat": "inactive_file 1\ntotal_inactive_file 500",
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "99999999",
        },
    )

    assert pressure.look() == Usage(2_500, 4_000, "cgroup v1")


def test_the_process_is_measured_against_its_own_limit(lay):
    """What it takes is in RAM now; a limit that is nearer than the cgroup's counts."""
    pressure = lay("0::/\n", {"memory.max": str(1 << 50), "memory.current": "100"}, process_max_bytes=1)

    usage = pressure.look()

    assert usage is not None
    assert usage.source == "process"
    assert usage.used_bytes == pytest.approx(own_bytes(), rel=0.2)
    assert usage.ratio > 1_000_000


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory.max": "max", "memory.current": "100"},
        {"memory.max": "", "memory.current": "100"},
        {"memory.max": "0", "memory.current": "100"},
        {"memory.max": "-5", "memory.current": "100"},
        {"memory.max": "9" * 5_000, "memory.current": "100"},
        {"memory.max": "1000"},
        {"memory.max": "1000", "memory.current": "many"},
        {"memory.max": "1000", "memory.current": "\x00\x01"},
        {"memory.max/is": "a folder", "memory.current": "100"},
    ],
    ids=str,
)
def test_files_that_are_missing_or_mean_nothing_limit_nothing(lay, files):
    """Whatever stands there, or does not, nobody fails for it."""
    assert lay("0::/\n", files).look() is None


@pytest.mark.parametrize("stat", ["", "inactive_file", "inactive_file \n \n x", "inactive_file -3", "\xff"])
def test_statistics_that_cannot_be_read_cost_the_page_cache_only(lay, stat):
    """Then all that is in use counts."""
    pressure = lay("0::/\n", {"memory.max": "1000", "memory.current": "400", "memory.stat": stat})

    assert pressure.look() == Usage(400, 1_000, "cgroup v2")


@pytest.mark.parametrize("membership", ["", "nonsense", "::", "7:memory", "0:memory", "x:y:z"])
def test_a_membership_that_means_nothing_limits_nothing(lay, membership):
    """Nobody fails for it."""
    assert lay(membership, {"memory.max": "1000", "memory.current": "400"}).look() is None


@pytest.mark.parametrize("path", ["", "/", "/..", "/../outside", "/gone/for/long"])
def test_a_path_that_is_not_there_is_the_root(lay, path):
    """As in a container, where the host's path means nothing; and nothing outside the root is ever read."""
    outside = {"../memory.max": "10", "../memory.current": "9", "../outside/memory.max": "10"}
    pressure = lay(
        f"0::{path}\n",
        {"memory.max": "1000", "memory.current": "400", "../outside/memory.current": "9", **outside},
    )

    assert pressure.look() == Usage(400, 1_000, "cgroup v2")


def test_a_cgroup_that_vanishes_limits_nothing_any_more(lay, tmp_path):
    """Between two looks everything may be gone."""
    pressure = lay("0::/\n", {"memory.max": "1000", "memory.current": "400"})
    assert pressure.look() is not None

    for file in (tmp_path / "root").iterdir():
        file.unlink()
    (tmp_path / "root").rmdir()
    (tmp_path / "membership").unlink()

    assert pressure.look() is None
