"""Notes and tags of runs: several writers, bad files, untrusted text, and the verbs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trained import Trained
from workbench.errors import WorkbenchError
from workbench.tracking import notes
from workbench.tracking.listing import Listing
from workbench.workspace import Workspace

WRITER = """
import sys
from pathlib import Path
from workbench.tracking import notes
run, name = Path(sys.argv[1]), sys.argv[2]
for number in range(20):
    notes.add(run, f"{name} {number}")
    notes.tag(run, [f"{name}-{number}"])
"""


@pytest.fixture
def run(workspace: Workspace) -> Path:
    folder = workspace.runs / "demo-0001"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_several_writers_at_once_lose_nothing(run: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(run)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b", "c")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    kept = notes.read(run)
    assert sorted(n.text for n in kept.notes) == sorted(
        f"{name} {number}" for name in "abc" for number in range(20)
    )
    assert len(kept.tags) == 60


def test_tags_are_given_and_taken_away(run: Path) -> None:
    assert notes.tag(run, ["good", "v1.0"]).tags == ("good", "v1.0")
    assert notes.tag(run, ["best"], ["good", "not there"]).tags == ("best", "v1.0")
    assert notes.split(["+good", "-bad", "best"]) == (["good", "best"], ["bad"])
    for bad in ("", "two words", "a" * 41, "\x1b[2J", "-x", "#x"):
        with pytest.raises(WorkbenchError, match="can't be a tag"):
            notes.tag(run, [bad])
    assert notes.used(Workspace(run.parent.parent)) == {"best": 1, "v1.0": 1}


def test_a_note_is_neither_empty_nor_a_book(run: Path) -> None:
    for bad in (" \n", "x" * 10_001):
        with pytest.raises(WorkbenchError):
            notes.add(run, bad)
    assert notes.read(run) == notes.Notes() and not (run / notes.NOTES).exists()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"tags": 1}', '{"notes": [{"text": "x"}]}', '{"tags": [1]}', "{" * 9999]
)
def test_a_damaged_file_is_told_and_never_overwritten(run: Path, content: str) -> None:
    (run / notes.NOTES).write_text(content)
    with pytest.raises(WorkbenchError, match=r"notes\.json"):
        notes.add(run, "more")
    assert (run / notes.NOTES).read_text() == content
    assert "notes.json" in notes.look(run).problem


def test_the_head_shows_what_is_written_and_obeys_none_of_it(run: Path) -> None:
    notes.tag(run, ["good"])
    noted = notes.add(run, "look at\n\x1b[2Jthis")
    assert re.fullmatch(r"#good  note \d+ s ago: look at⏎\\x1b\[2Jthis", noted.head())


def test_the_verbs_write_show_and_filter(trained_run: Trained, tmp_path: Path) -> None:
    root = Path(shutil.copytree(trained_run.pristine, tmp_path / "ws"))

    def said(*arguments: str, code: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "workbench", *arguments, "--workspace", str(root)],
            capture_output=True,
            text=True,
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout + ended.stderr

    listing = Listing(Workspace(root))
    listing.look()
    said("runs", "note", "small", "the first\x1b[2J one")
    tagged = json.loads(said("runs", "tag", "small", "+good", "-bad", "--json"))
    assert tagged["run"] == "small-0001" and tagged["tags"] == ["good"]
    assert "the first\\x1b[2J one" in said("runs", "show")
    assert "#good" in said("status", "small")
    (listed,) = json.loads(said("runs", "list", "--tag", "good", "--json"))
    assert listed["tags"] == ["good"] and listed["notes"][0]["text"] == "the first\x1b[2J one"
    assert json.loads(said("runs", "list", "--tag", "good", "--tag", "bad", "--json")) == []
    assert "can't be a tag" in said("runs", "tag", "small", "+a b", code=2)
    # A run that ended is read anew once something is noted on it.
    assert listing.look()[0].summary.tags == ["good"]
