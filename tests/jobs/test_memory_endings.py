"""Jobs that run out of memory, under their real supervisor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.jobs.conftest import ROOT, StartJob, end
from tests.memory_group import small_group
from tests.polling import eventually
from workbench.jobs.state import JobState

START = """
    import sys
    from pathlib import Path
    from workbench.jobs import launch
    launch.start(Path(sys.argv[1]), "tests.jobs.sample_job")
"""


def ended(folder: Path) -> JobState:
    return eventually(lambda: (state := JobState.read(folder)) and state.ended and state)


def test_a_job_that_the_kernel_kills_for_memory_says_so_and_its_supervisor_lives(
    tmp_path: Path,
) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"do": "eat memory"}))
    with small_group(192 << 20) as group:
        try:
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(START), str(tmp_path)],
                preexec_fn=group.join,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=True,
            )
            state = ended(tmp_path)
        finally:
            end(tmp_path)
    assert (state.status, state.cause, state.signal) == ("failed", "out_of_host_memory", 9)
    assert state.text.startswith("Killed by the kernel for memory: ")
    assert group.path.name in state.text and "192 MiB" in state.text
    assert state.hint


def test_a_job_that_is_refused_memory_says_so(start_job: StartJob) -> None:
    state = ended(start_job("ask for too much memory"))
    assert (state.status, state.cause, state.exit_code) == ("failed", "out_of_host_memory", 1)
    assert state.text == "The machine's memory ran out."
    # The last lines of stderr are kept with it.
    assert "MemoryError" in state.last_words and state.last_words[-1] == state.text
