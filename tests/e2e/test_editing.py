"""A row is rewritten in a person's own editor, in a real terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal
from workbench.data import versions
from workbench.data.importing import Options, import_files
from workbench.workspace import Workspace

EDITOR = """\
import pathlib, sys
print("in the editor", flush=True)
sys.stdin.readline()
path = pathlib.Path(sys.argv[1])
path.write_text(path.read_text().replace("Answer 1", "Changed outside"))
"""


def test_the_editor_has_the_terminal_and_what_it_leaves_becomes_a_version(
    workspace: Workspace,
    write_rows: Callable[..., Path],
    tmp_path: Path,
    terminals: list[Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"prompt": f"Question {n}?", "completion": f"Answer {n}."} for n in (1, 2)]
    import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))
    (tmp_path / "editor.py").write_text(EDITOR)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {tmp_path / 'editor.py'}")
    app = Terminal(workspace.root)
    terminals.append(app)
    app.start()
    app.wait("1 dataset version: enter opens one")
    app.press("Enter")
    app.wait("2 rows", "Answer 1.")
    app.press("e")
    app.wait("ctrl+s saves")
    app.press("C-e")
    app.wait("in the editor")
    app.press("Enter")
    app.wait("ctrl+s saves", "Changed outside.")
    app.press("C-s")
    app.wait("draft of 1: W writes", "Changed outside.")
    app.press("W")
    app.wait("rewritten: 1")
    app.press("y")
    app.wait_gone("draft of 1")
    made = versions.resolve(workspace, "mine")
    assert [row.response for row in versions.read(made)] == ["Changed outside.", "Answer 2."]


def test_an_editor_that_is_not_there_is_said_and_the_terminal_is_taken_back(
    workspace: Workspace,
    write_rows: Callable[..., Path],
    terminals: list[Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"prompt": f"Question {n}?", "completion": f"Answer {n}."} for n in (1, 2)]
    import_files(workspace, [write_rows(*rows)], "mine", Options(validation_share=0))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "no-such-editor")
    app = Terminal(workspace.root)
    terminals.append(app)
    app.start("--dataset", "mine")
    app.wait("2 rows", "Answer 1.")
    app.press("e")
    app.wait("ctrl+s saves")
    app.press("C-e")
    app.wait("no-such-editor can't be run", "ctrl+s saves")
    app.press("Escape")
    app.wait_gone("ctrl+s saves")
    app.press("j")
    app.wait("Answer 2.")
