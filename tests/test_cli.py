from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli
from workbench import cli as command
from workbench.tracking.listing import Listing
from workbench.workspace import Workspace


def test_the_workspace_counts_before_and_after_the_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["--workspace", str(tmp_path / "mine"), "status"],
        ["status", "--workspace", str(tmp_path / "mine")],
    ):
        assert command.main(arguments) == 2
        assert str(tmp_path / "mine") in capsys.readouterr().err


def test_a_fault_of_its_own_is_a_sentence_and_the_traceback_goes_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def break_down(listing: Listing, first: int) -> None:
        raise ZeroDivisionError("never expected")

    monkeypatch.setattr("workbench.tracking.listing.Listing.looks", break_down)
    assert command.main(["runs", "list"]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: never expected" in said
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "workbench" / "faults.log").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "import", "nowhere.jsonl"],
        ["data", "show", "nothing"],
        ["config", "show", "nothing"],
        ["train", "nothing"],
        ["train"],
        ["attach"],
        ["stop"],
        ["runs", "report"],
        ["eval"],
        ["review", "create", "x"],
        ["review", "open", "x"],
        ["export", "merged", "latest", "--to", "x"],
        ["export", "adapter", "latest", "--to", "x"],
        ["export", "gguf", "latest", "--to", "x"],
        ["export", "push", "nowhere", "me/mine", "--dry-run"],
        ["adapters", "check", "nothing"],
        ["adapters", "import", "nowhere"],
        ["adapters", "combine", "nothing", "else", "--name", "x"],
        ["model", "show", "no/such"],
    ],
)
def test_what_is_not_there_is_said_in_json_and_in_words_with_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "ws"))
    assert command.main([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["error"]
    assert answer["error"] in err
    assert list(tmp_path.rglob("*")) == []


def test_the_app_without_a_terminal_says_so(cli: Cli) -> None:
    ended = cli()
    assert ended.returncode == 2
    assert "needs a terminal" in ended.stderr


def test_output_that_nobody_reads_any_more_ends_quietly(workspace: Workspace) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "workbench", "config", "fields"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    try:
        _assert_refused(small / "ws", "the disk is full")
        left = [p for p in (small / "ws").rglob("*") if p.is_file() and p.stat().st_size]
        assert left == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_read_only_workspace_is_one_message(tmp_path: Path) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    if os.getuid() == 0:
        # Permissions don't stop root; a read-only file system does.
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("a read-only file system can't be mounted here")
        try:
            _assert_refused(place / "ws", "the file system is read-only")
        finally:
            subprocess.run(["umount", str(place)], check=True)
    else:
        place.chmod(0o500)
        _assert_refused(place / "ws", "permission denied")


def _assert_refused(workspace: Path, reason: str) -> None:
    for verb in (["data", "build-default"], ["demo"]):
        ended = subprocess.run(
            [sys.executable, "-m", "workbench", *verb, "--workspace", str(workspace)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert ended.returncode == 2
        assert reason in ended.stderr
        assert "Traceback" not in ended.stderr


def _verbs(parser: argparse.ArgumentParser) -> list[str]:
    (group,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return list(group.choices)


def test_a_verb_comes_without_the_modules_of_the_others() -> None:
    assert _verbs(command._parser_of_verbs()) == list(command._MODULES)
    for verb, module in command._MODULES.items():
        assert verb in _verbs(command._parser_of(module))
    jobs = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "workbench", "jobs", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert jobs.stdout.startswith("usage: workbench jobs")
    assert "workbench.tracking.jobs" in jobs.stderr
    assert not {"pydantic", "workbench.config", "workbench.data"} & set(jobs.stderr.split())


def test_an_interrupt_while_a_verb_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_parse", interrupted)
    assert command.main(["config", "fields"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
