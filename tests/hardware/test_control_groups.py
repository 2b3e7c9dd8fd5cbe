"""Trees of both versions as files; what this machine's own say is in test_memory_kills.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.hardware.control_groups import Limit, MemoryGroup, memory_group

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / {top}/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 {root} {top}/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / {top}/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2 = "30 23 0:27 {root} {top} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture
def process(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    return folder


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def tree(process: Path, cgroup: str, mounts: str, top: Path, root: str = "/") -> None:
    write(process, cgroup=cgroup, mountinfo=mounts.format(top=top, root=root))


def v2(folder: Path, limit: str, current: int = 0, **held: int) -> None:
    stat = "".join(f"{name} {value}\n" for name, value in held.items())
    write(folder, memory__max=limit, memory__current=f"{current}\n", memory__stat=stat)


def test_the_smallest_limit_up_the_tree_counts_with_what_is_used_of_it(
    process: Path, tmp_path: Path
) -> None:
    top = tmp_path / "cgroup"
    tree(process, "0::/a.slice/b.scope\n", V2, top)
    write(top, cgroup__controllers="memory")
    v2(top / "a.slice", "8000", 7000, active_file=500, inactive_file=300, slab_reclaimable=200)
    v2(top / "a.slice/b.scope", "9000", 100)
    group = memory_group(process)
    assert group == MemoryGroup(top / "a.slice/b.scope", top, 2)
    assert group.name == "/a.slice/b.scope"
    assert group.limit() == Limit(8000, 6000)
    v2(top / "a.slice", "max")
    assert group.limit() == Limit(9000, 100)
    v2(top / "a.slice/b.scope", "max")
    assert group.limit() is None


def test_memory_that_is_not_accounted_for_down_to_the_group_is_by_the_one_above(
    process: Path, tmp_path: Path
) -> None:
    top = tmp_path / "cgroup"
    tree(process, "0::/a.slice/b.scope\n", V2, top)
    v2(top / "a.slice", "8000")
    write(top / "a.slice", memory__events="low 0\noom 7\noom_kill 3\noom_group_kill 0\n")
    write(top / "a.slice/b.scope", cgroup__procs="1")
    group = memory_group(process)
    assert group is not None and group.path == top / "a.slice"
    assert group.kills() == 3


def test_version_1_is_read_where_it_holds_the_memory(process: Path, tmp_path: Path) -> None:
    top = tmp_path / "cgroup"
    tree(process, "9:name=systemd:/\n4:cpu,memory:/jobs/7\n0::/elsewhere\n", V1, top)
    for place, limit in (("", 1 << 63), ("jobs", 5000), ("jobs/7", (1 << 63) - 4096)):
        write(
            top / "memory" / place,
            memory__limit_in_bytes=f"{limit}\n",
            memory__usage_in_bytes="4000\n",
            memory__stat="active_file 9\ntotal_active_file 1000\ntotal_inactive_file 500\n",
            memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        )
    group = memory_group(process)
    assert group is not None and (group.version, group.name) == (1, "/jobs/7")
    assert group.limit() == Limit(5000, 2500)
    assert group.kills() == 2


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/docker/abc", "/docker/abc"),  # mounted from the container's own group on
        ("/", "/docker/abc"),
        ("/../../host", "/"),
    ],
)
def test_a_containers_group_is_found_under_whatever_name_it_sees(
    process: Path, tmp_path: Path, path: str, root: str
) -> None:
    top = tmp_path / "with space"
    tree(process, f"0::{path}\n", V2.replace("{top}", str(top).replace(" ", "\\040")), top, root)
    v2(top, "8000", 100)
    group = memory_group(process)
    assert group is not None and (group.path, group.name) == (top, "/")
    assert group.limit() == Limit(8000, 100)


def test_a_kernel_that_counts_no_kills_says_none(process: Path, tmp_path: Path) -> None:
    top = tmp_path / "cgroup"
    tree(process, "0::/\n", V2, top)
    v2(top, "8000", 100)
    write(top, memory__events="low 0\noom 7\n")
    group = memory_group(process)
    assert group is not None and group.kills() is None


@pytest.mark.parametrize("cgroup", ["", "0::/\n", "9:name=systemd:/\n"])
def test_a_machine_without_memory_groups_has_none(
    process: Path, tmp_path: Path, cgroup: str
) -> None:
    assert memory_group(process) is None
    (tmp_path / "cgroup").mkdir()
    tree(process, cgroup, V2, tmp_path / "cgroup")
    assert memory_group(process) is None
