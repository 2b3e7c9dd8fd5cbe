"""A process that the kernel kills, for real where it can be; its words elsewhere, as saved."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.memory_group import small_group
from workbench.hardware.control_groups import MemoryGroup
from workbench.hardware.kernel_log import KernelLog, kills_in
from workbench.hardware.memory_kills import MemoryKills

GUARD = """
    import json, subprocess, sys
    from pathlib import Path
    from workbench.hardware.host import HostSampler
    from workbench.hardware.kernel_log import KernelLog
    from workbench.hardware.memory_kills import MemoryKills
    kills, without_log = MemoryKills(), MemoryKills(KernelLog(Path("/nowhere")))
    host = HostSampler(Path.cwd()).sample().to_json()
    eat = "held = []\\nwhile True: held.append(b'.' * (1 << 20))"
    eater = subprocess.Popen([sys.executable, "-c", eat])
    code = eater.wait()
    print(json.dumps({
        "pid": eater.pid, "code": code, "host": host,
        "log": kills.explain([eater.pid], None),
        "other": kills.explain([1], None),
        "count": without_log.explain([eater.pid], None),
    }))
"""


def test_a_process_that_the_kernel_kills_at_a_groups_limit_is_told_with_its_source() -> None:
    with small_group(96 << 20) as group:
        guard = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(GUARD)],
            preexec_fn=group.join,
            capture_output=True,
            text=True,
            timeout=240,
        )
    told = json.loads(guard.stdout)
    assert told["code"] == -9
    assert told["host"]["memory_limit"] == group.limit
    assert 0 < told["host"]["memory_limit_used"] < group.limit
    name = f"/{group.path.name}"
    assert told["count"] == (
        f"Killed by the kernel for memory: its control group {name}, whose limit is 96 MiB, has "
        "counted such a kill since the job was started."
    )
    if KernelLog().kills() is None:
        pytest.skip("the kernel's log can't be read here")
    assert told["log"].startswith(
        f"Killed by the kernel for memory: control group {name} was at its limit of 96 MiB, and "
        f"process {told['pid']} held "
    )
    assert told["log"].endswith("The kernel's log says so.")
    # The same group, but the log names another process.
    assert told["other"] is None


# As Linux 6.1 writes it to /dev/kmsg, with another kill, and with what is no text of a record.
LOG = """\
4,100,5000000,-;systemd[1]: started
6,101,5000001,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
global_oom,task_memcg=/user.slice,task=python,pid=77,uid=1000
 SUBSYSTEM=none
3,102,5000002,-;Out of memory: Killed process 77 (python) total-vm:90000000kB, \
anon-rss:65011712kB, file-rss:0kB, shmem-rss:1048576kB, UID:1000 pgtables:1kB oom_score_adj:0
6,103,5000003,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
oom_memcg=/slurm/job_7,task_memcg=/slurm/job_7/step_0,task=python,pid=78,uid=1000
3,104,5000004,-;Memory cgroup out of memory: Killed process 78 (a (b) c) total-vm:1kB, \
anon-rss:2097152kB, file-rss:4kB, shmem-rss:0kB, UID:1000 pgtables:1kB oom_score_adj:0
"""
OLDER = [
    # Linux 4.14 says it twice.
    "Memory cgroup out of memory: Kill process 79 (python) score 973 or sacrifice child",
    "Killed process 79 (python) total-vm:9000kB, anon-rss:4096kB, file-rss:0kB, shmem-rss:0kB",
    "Out of memory: Kill process 80 (python) score 973 or sacrifice child",
    "Killed process 80 (python) total-vm:9000kB, anon-rss:8192kB, file-rss:0kB, shmem-rss:0kB",
]
FORGED = "11,105,5000005,-;Out of memory: Killed process 90 (python) total-vm:1kB, anon-rss:1kB\n"


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The name of the processes' namespace; at first the one whose pids the kernel logs."""
    link = tmp_path / "pid-namespace"
    link.symlink_to("pid:[4026531836]")
    monkeypatch.setattr("workbench.hardware.kernel_log._PID_NAMESPACE", link)
    return link


class Kernel:
    """What the kernel shows of itself, in files that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.log, self.machine, self.group = (folder / n for n in ("kmsg", "vmstat", "group"))
        self.log.write_text("4,99,1,-;Out of memory: Killed process 76 (old) total-vm:1kB\n")
        self.machine.write_text("nr_free_pages 1\noom_kill 5\n")
        self.group.mkdir()
        (self.group / "memory.max").write_text("max\n")
        self.count(0)

    def count(self, kills: int) -> None:
        (self.group / "memory.events").write_text(f"oom 9\noom_kill {kills}\n")

    def watch(self) -> MemoryKills:
        group = MemoryGroup(self.group, self.group.parent, 2)
        return MemoryKills(KernelLog(self.log), group, self.machine)


@pytest.fixture
def kernel(tmp_path: Path, namespace: Path) -> Kernel:
    folder = tmp_path / "kernel"
    folder.mkdir()
    return Kernel(folder)


def sample(**host: int | None) -> dict[str, Any]:
    return {"host": {"memory_total": 64 << 30, "memory_used": 20 << 30, **host}}


SHORT = sample(memory_used=(64 << 30) - (300 << 20))


def test_the_kernels_log_names_the_process_and_why(kernel: Kernel) -> None:
    kills = kernel.watch()
    with kernel.log.open("a") as log:
        log.write(LOG + FORGED)
    assert kills.explain([5, 77], None) == (
        "Killed by the kernel for memory: the machine's memory was used up, and process 77 held "
        "63.0 GiB. The kernel's log says so."
    )
    assert kills.explain([78], None) == (
        "Killed by the kernel for memory: control group /slurm/job_7 was at its limit, and "
        "process 78 held 2.0 GiB. The kernel's log says so."
    )
    assert kills.explain([76], None) is None  # before the job was started
    assert kills.explain([90], None) is None  # a program wrote that, not the kernel


def test_the_words_of_older_kernels_are_known() -> None:
    kills = kills_in(OLDER)
    assert (kills[79].in_group, kills[79].held) == (True, 4 << 20)
    assert (kills[80].in_group, kills[80].held) == (False, 8 << 20)


def test_where_the_log_can_not_be_read_the_groups_count_tells(kernel: Kernel) -> None:
    kernel.log.unlink()
    kills = kernel.watch()
    assert kills.explain([77], None) is None
    kernel.count(1)
    told = kills.explain([77], None)
    assert told is not None and "control group /group has counted such a kill" in told


def test_in_a_container_pids_of_the_log_are_not_taken_for_its_own(
    kernel: Kernel, namespace: Path
) -> None:
    namespace.unlink()
    namespace.symlink_to("pid:[4026532999]")
    kills = kernel.watch()
    with kernel.log.open("a") as log:
        log.write(LOG)
    assert kills.explain([77], None) is None


def test_where_neither_can_be_read_it_is_inferred_and_said_so(kernel: Kernel) -> None:
    kernel.log.unlink()
    (kernel.group / "memory.events").unlink()
    kills = kernel.watch()
    kernel.machine.write_text("oom_kill 6\n")
    assert kills.explain([77], SHORT) == (
        "Killed, it seems by the kernel for memory: its log can't be read here, but it killed a "
        "process of this machine for that while the job ran and when last looked at, seconds "
        "before, 300 MiB of 64.0 GiB were free."
    )
    assert "it seems" in (kills.explain([77], None) or "")

    kernel.machine.unlink()
    kills = kernel.watch()
    assert kills.explain([77], SHORT) == (
        "Killed, it seems by the kernel for memory: its log can't be read here, but when last "
        "looked at, seconds before, 300 MiB of 64.0 GiB were free."
    )
    assert kills.explain([77], sample()) is None
    assert kills.explain([77], sample(memory_used=None)) is None
    limited = sample(memory_limit=8 << 30, memory_limit_used=(8 << 30) - (64 << 20))
    assert "64 MiB of 8.0 GiB were free" in (kills.explain([77], limited) or "")


def test_a_kill_that_was_not_the_kernels_is_not_laid_to_it(kernel: Kernel) -> None:
    """A person's, or that of a program that guards the memory."""
    kills = kernel.watch()
    assert kills.explain([77], sample()) is None
    told = kills.explain([77], SHORT)
    assert told is not None and "wasn't the kernel" in told and "earlyoom" in told
    kernel.log.unlink()
    kills = kernel.watch()
    assert kills.explain([77], sample()) is None
    (kernel.group / "memory.events").unlink()
    kills = kernel.watch()
    # Nobody at all was killed on this machine for memory.
    assert kills.explain([77], sample()) is None
    assert "wasn't the kernel" in (kills.explain([77], SHORT) or "")
