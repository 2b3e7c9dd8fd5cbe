"""What a person says of a run: notes with their times, tags, and that it is put away, in
`notes.json` in its folder."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import read_json_object, write_json
from workbench.text import visible
from workbench.tracking import finding
from workbench.tracking.view import duration
from workbench.workspace import Workspace

NOTES = "notes.json"
_LONGEST = 10_000
"""Characters of a note."""
_TAG = re.compile(r"[^\W_][\w.:/-]{0,39}")


@dataclass(frozen=True, slots=True)
class Note:
    time: float
    """Unix seconds."""
    text: str


@dataclass(frozen=True, slots=True)
class Notes:
    """All of a run's, the oldest note first, tags in the order of the alphabet."""

    tags: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    problem: str = ""
    """Why the file can't be read; empty where it can."""
    archived: bool = False
    """Put away: lists leave the run out unless they are asked for it. Nothing of it is deleted."""

    def head(self) -> str:
        """Tags and the newest note in one line, for the head of a screen; empty without any."""
        body = self.to_json()
        return head(body["tags"], body["notes"], self.problem)

    def to_json(self) -> dict[str, Any]:
        return {
            "tags": list(self.tags),
            "notes": [asdict(note) for note in self.notes],
            "archived": self.archived,
        }


def read(run: Path) -> Notes:
    """The notes of a run; none before there is one. Raises WorkbenchError when the file is
    damaged."""
    path = run / NOTES
    if not path.exists():
        return Notes()
    body = read_json_object(path)
    try:
        notes = tuple(Note(float(n["time"]), str(n["text"])) for n in body.get("notes", ()))
        tags = body.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise TypeError("its tags are no list of texts")
        archived = body.get("archived", False)
        if not isinstance(archived, bool):
            raise TypeError("its archived is neither true nor false")
    except (LookupError, TypeError, ValueError) as error:
        raise WorkbenchError(
            f"{path} holds no notes: {error}.", "Mend it, or remove it with what it says."
        ) from error
    return Notes(tuple(sorted(set(tags))), notes, archived=archived)


def look(run: Path) -> Notes:
    """As `read`, for lists: damage is a `problem`."""
    try:
        return read(run)
    except WorkbenchError as error:
        return Notes(problem=str(error))


def add(run: Path, text: str, now: float | None = None) -> Notes:
    """Add a note. Raises WorkbenchError for an empty or a very long one, and where it can't be
    kept."""
    text = text.strip()
    if not text:
        raise WorkbenchError("The note is empty.")
    if len(text) > _LONGEST:
        raise WorkbenchError(
            f"The note has {len(text):,} characters; {_LONGEST:,} are kept at most.",
            "Put a long text into a file, and name that.",
        )
    note = Note(round(time.time() if now is None else now, 3), text)
    return _change(run, note=note)


def tag(run: Path, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Notes:
    """Give a run tags, and take others away; one that it hasn't is passed over. Raises
    WorkbenchError for what can't be a tag."""
    added = [check_tag(name) for name in add]
    return _change(run, add=added, remove=remove)


def check_tag(name: str) -> str:
    """The name, if it can be a tag: one word, so that a list of them is read as it is written."""
    if not _TAG.fullmatch(name):
        raise WorkbenchError(
            f"{visible(name, one_line=True)!r} can't be a tag.",
            "A tag is a word of up to 40 letters, digits, '.', '_', ':', '/' and '-' that begins "
            "with a letter or a digit.",
        )
    return name


def archive(run: Path, *, away: bool = True) -> Notes:
    """Put a run away, or take it out again. Raises WorkbenchError where that can't be kept."""
    return _change(run, archived=away)


def _change(
    run: Path,
    *,
    note: Note | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    archived: bool | None = None,
) -> Notes:
    # Of several writers each changes what the one before has left.
    with Workspace(run.absolute().parent.parent).lock("notes"):
        before = read(run)
        after = Notes(
            tags=tuple(sorted((set(before.tags) - set(remove)) | set(add))),
            notes=before.notes if note is None else (*before.notes, note),
            archived=before.archived if archived is None else archived,
        )
        if after != before:
            write_json(run / NOTES, {"v": 1, **after.to_json()})
    return after


def split(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """What `+good -bad best` adds, and what it takes away."""
    words = [word for word in words if word]
    return (
        [word.removeprefix("+") for word in words if not word.startswith("-")],
        [word[1:] for word in words if word.startswith("-")],
    )


def used(workspace: Workspace) -> dict[str, int]:
    """Every tag of the workspace's runs with how many have it, the most used first."""
    counted = Counter(tag for run in finding.folders(workspace) for tag in look(run).tags)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def head(
    tags: Sequence[str],
    noted: Sequence[dict[str, Any]],
    problem: str = "",
    now: float | None = None,
) -> str:
    """Tags and the newest note in one line; empty without any. As `RunSummary` has them."""
    parts = [" ".join(f"#{tag}" for tag in tags)] if tags else []
    if noted:
        age = duration((time.time() if now is None else now) - noted[-1]["time"])
        parts.append(f"note {age} ago: {noted[-1]['text']}")
    return visible("  ".join([*parts, problem]).strip(), one_line=True)
