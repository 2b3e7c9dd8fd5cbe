from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.polling import eventually
from workbench.data import versions
from workbench.jobs import tasks
from workbench.jobs.events import Progress
from workbench.jobs.log import read_all
from workbench.tracking import jobs
from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]
WriteRows = Callable[..., Path]


def pairs(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"Question {n}?", "completion": f"Answer {n}"} for n in range(count)]


def begun(workspace: Workspace, *arguments: object) -> subprocess.Popen[str]:
    """`workbench ARGUMENTS` on its way."""
    return subprocess.Popen(
        [sys.executable, "-m", "workbench", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "WORKBENCH_HOME": str(workspace.root)},
    )


def test_an_import_is_a_task_that_tells_how_far_it_is(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*pairs(3000))
    ended = cli("data", "import", path.name, "--name", "made", "--seed", "7", "--json")
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)
    (version,) = versions.list_versions(workspace)
    assert made["reference"] == version.reference and made["rows"] == 3000
    folder = workspace.tasks / "import-0001"
    assert tasks.result(folder) == version.reference
    request = tasks.read_request(folder)
    assert (request["files"], request["directory"]) == (["rows.jsonl"], str(path.parent))
    assert (request["name"], request["options"]["seed"]) == ("made", 7)
    told = [r.event for r in read_all(folder / "events.jsonl") if isinstance(r.event, Progress)]
    assert told[0] == Progress("reading", 0, path.stat().st_size, "bytes")
    written = version.data_path.stat().st_size
    assert told[-1] == Progress("writing", written, written, "bytes")


def test_what_is_wrong_with_rows_is_told_whole_and_stays_with_the_task(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*pairs(3), *({"prompt": f"\u001b[31m{n}"} for n in range(9)))
    ended = cli("data", "import", path, "--name", "made")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    said = ended.stderr[ended.stderr.index("workbench: ") :].splitlines()
    assert said[0] == f"workbench: 9 of 12 rows of {path} can't be used:"
    assert said[1].startswith("  9 × there is no response") and "first rows.jsonl:4" in said[1]
    assert "--map" in said[2] and "--skip-bad" in said[3] and len(said) == 4
    (job,) = jobs.list_jobs(workspace)
    assert (job.status, job.cause) == ("failed", "bad_input")
    assert job.text.splitlines()[0] == said[0].removeprefix("workbench: ")
    shown = cli("jobs", "show", job.reference).stdout
    assert "can't be used" in shown and "--skip-bad" in shown


def test_an_import_that_is_left_to_itself(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*pairs(50))
    ended = cli("data", "import", path, "--name", "made", "--detach")
    assert ended.stdout == (
        "started tasks/import-0001; `workbench jobs show tasks/import-0001` shows it\n"
    )
    folder = workspace.tasks / "import-0001"
    eventually(lambda: jobs.summarise(workspace, folder).status == "finished")
    assert versions.resolve(workspace, tasks.result(folder)).rows == 50


def test_imports_at_the_same_time_have_folders_of_their_own(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    paths = [write_rows(*pairs(20 + n), name=f"rows{n}.jsonl") for n in range(3)]
    processes = [begun(workspace, "data", "import", path, "--json") for path in paths]
    made: list[Any] = []
    for process in processes:
        output, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        made.append(json.loads(output))
    assert sorted(body["rows"] for body in made) == [20, 21, 22]
    assert {path.name for path in workspace.tasks.iterdir()} == {
        f"import-000{n}" for n in (1, 2, 3)
    }


def test_ctrl_c_ends_an_import_and_leaves_nothing_half_made(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "large.jsonl"
    with path.open("w") as stream:
        stream.writelines(f"{json.dumps(row)}\n" for row in pairs(300_000))
    process = begun(workspace, "data", "import", path)
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first == "started tasks/import-0001; Ctrl-C ends it\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped; nothing half-done is left." in said and "Traceback" not in said
    assert jobs.summarise(workspace, workspace.tasks / "import-0001").status == "stopped"
    assert not workspace.datasets.exists()


def test_names_that_are_no_utf_8_are_kept_as_they_are(
    cli: Cli, workspace: Workspace, write_rows: WriteRows
) -> None:
    path = write_rows(*pairs(5), name=os.fsdecode(b"caf\xe9.jsonl"))
    ended = cli("data", "import", path, "--name", "made")
    assert ended.returncode == 0, ended.stderr
    gone = cli("data", "import", f"{path}.gone", "--name", "made")
    assert gone.returncode == 2 and "There is no file" in gone.stderr
