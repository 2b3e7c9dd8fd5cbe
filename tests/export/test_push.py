"""Publishing on a hub: what would go is shown, it asks, and what must not go stays."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.export import adapters, fake_hub
from tests.export.fake_hub import FakeHub
from workbench.errors import WorkbenchError
from workbench.export import push
from workbench.workspace import Workspace

TOKEN = "hf_aVerySecretToken"  # noqa: S105


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub.running() as running:
        yield running


@pytest.fixture
def exported(tiny_model: Path, tmp_path: Path) -> Path:
    """An adapter, and beside it what a training leaves."""
    folder = adapters.make(tiny_model, tmp_path / "exported")
    for name in ("README.md", "LICENSE", "optimizer.pt", "train.log", "optimizer.safetensors"):
        (folder / name).write_text(name)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "model.safetensors").write_text("x")
    return folder


def environment(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    home = str(tmp_path / "hf")
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HOME": home}


def test_what_would_go_and_what_stays(exported: Path) -> None:
    upload = push.plan(exported, "me/mine", private=True)
    assert [file.name for file in upload.files] == [
        "LICENSE",
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert upload.left_out == [
        "checkpoints/model.safetensors",
        "optimizer.pt",
        "optimizer.safetensors",
        "train.log",
    ]
    assert upload.bytes == sum((exported / file.name).stat().st_size for file in upload.files)


@pytest.mark.parametrize("name", ["mine", "me/", "../x", "a/b/c", ""])
def test_what_is_no_name_on_a_hub_is_refused(exported: Path, name: str) -> None:
    with pytest.raises(WorkbenchError, match="no name on a hub"):
        push.plan(exported, name, private=True)


def test_a_run_or_a_folder_without_weights_is_not_published(exported: Path, tmp_path: Path) -> None:
    (exported / "manifest.json").write_text("{}")
    with pytest.raises(WorkbenchError, match=r"a run's .* isn't published"):
        push.plan(exported, "me/mine", private=True)
    (exported / "manifest.json").unlink()
    (exported / "adapter_model.safetensors").unlink()
    with pytest.raises(WorkbenchError, match="no weights"):
        push.plan(exported, "me/mine", private=True)
    with pytest.raises(WorkbenchError, match="There is no folder"):
        push.plan(tmp_path / "nowhere", "me/mine", private=True)


def test_a_dry_run_asks_no_hub_and_without_a_terminal_nothing_goes(
    cli: Cli, exported: Path, hub: FakeHub, tmp_path: Path
) -> None:
    variables = environment(hub, tmp_path)
    shown = cli("export", "push", exported, "me/mine", "--dry-run", **variables)
    assert shown.returncode == 0, shown.stderr
    assert "adapter_model.safetensors" in shown.stdout and "nothing was sent" in shown.stdout
    assert "left out: checkpoints/model.safetensors, optimizer.pt" in shown.stdout
    assert "private" in shown.stdout and hub.url in shown.stdout
    refused = cli("export", "push", exported, "me/mine", **variables)
    assert refused.returncode == 2 and "it asks first" in refused.stderr
    assert not hub.tokens and not hub.files, "no request was made"


def test_it_is_published_whole_in_one_commit_and_its_token_is_nowhere_to_be_read(
    cli: Cli, exported: Path, hub: FakeHub, tmp_path: Path, workspace: Workspace
) -> None:
    variables = environment(hub, tmp_path)
    done = cli("export", "push", exported, "me/mine", "--yes", "--json", **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["url"] == f"{hub.url}/me/mine/commit/{'a' * 40}"
    assert sorted(hub.files) == [
        "LICENSE",
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert all(data == (exported / name).read_bytes() for name, data in hub.files.items())
    assert hub.created is not None and hub.created["visibility"] == "private"
    assert hub.tokens - {""} == {f"Bearer {TOKEN}"}
    assert "As me on" in done.stderr and "makes the private repository me/mine" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_public_repository_that_is_there_is_said_and_a_refusal_told(
    cli: Cli, exported: Path, hub: FakeHub, tmp_path: Path
) -> None:
    hub.repository = {"id": "me/mine", "private": False, "siblings": []}
    hub.refuses_commits = True
    failed = cli("export", "push", exported, "me/mine", "--yes", **environment(hub, tmp_path))
    assert "adds to the PUBLIC repository me/mine, which is there already" in failed.stderr
    assert failed.returncode != 0 and "The hub refused me/mine" in failed.stderr
    assert TOKEN not in failed.stderr and not hub.files


def test_without_a_network_or_a_token_it_says_so(
    cli: Cli, exported: Path, hub: FakeHub, tmp_path: Path
) -> None:
    offline = cli("export", "push", exported, "me/mine", "--yes", HF_HUB_OFFLINE="1")
    assert offline.returncode == 2 and "The hub is out of reach" in offline.stderr
    variables = {**environment(hub, tmp_path), "HF_TOKEN": ""}
    nobody = cli("export", "push", exported, "me/mine", "--yes", **variables)
    assert nobody.returncode == 2 and "There is no token" in nobody.stderr


def read_to_end(master: int) -> str:
    """What was written to a terminal that nobody has any more."""
    written = b""
    with suppress(OSError):
        while data := os.read(master, 1 << 16):
            written += data
    return written.decode()


@pytest.mark.parametrize(("answer", "goes"), [("me/mine", True), ("yes", False)])
def test_at_a_terminal_it_asks_for_the_repository_s_name(
    exported: Path, hub: FakeHub, tmp_path: Path, workspace: Workspace, answer: str, goes: bool
) -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "workbench", "export", "push", str(exported), "me/mine"],
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                **environment(hub, tmp_path),
                "WORKBENCH_HOME": str(workspace.root),
            },
            timeout=240,
        )
    finally:
        os.close(slave)
        asked = read_to_end(master)
        os.close(master)
    assert "adapter_model.safetensors" in asked and "Type the repository's name" in asked
    assert bool(hub.files) is goes and (done.returncode == 0) is goes
    assert ("published: " in done.stdout) is goes
