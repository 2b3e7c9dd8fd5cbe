"""A session's verdicts as files: CSV, JSON lines, preference pairs for later training."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, writing
from workbench.review import comparing
from workbench.review.session import Session

FORMS = ("csv", "jsonl", "pairs")


def export(session: Session, path: Path, form: str = "", annotator: str = "") -> dict[str, Any]:
    """Write the verdicts and return what was written.

    `form` is by the file's ending where it is empty. Until the session is locked or unblinded a row
    has only what its annotator saw. `annotator` writes the verdicts of one. Raises WorkbenchError
    when the file exists, and for preference pairs of a blind session.
    """
    form = form or {".csv": "csv", ".jsonl": "jsonl"}.get(path.suffix.lower(), "")
    if form not in FORMS:
        raise WorkbenchError(f"{path} ends in neither .csv nor .jsonl.", "Say which with --as.")
    if path.exists():
        raise WorkbenchError(f"{path} exists already.", "Remove it first, or choose another name.")
    known = session.unblinded
    if form == "pairs":
        if not known:
            raise WorkbenchError(
                f"The review {session.name} is still blind.",
                f"End it first: workbench review lock {session.name}",
            )
        rows = list(pairs(session))
    else:
        rows = list(verdicts(session, annotator, known=known))
    text = _csv(rows) if form == "csv" else "".join(f"{json.dumps(row)}\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise explain_os_error(error, f"write {path}") from error
    return {"path": str(path), "form": form, "rows": len(rows), "blind": not known}


def verdicts(session: Session, annotator: str = "", *, known: bool) -> Iterator[dict[str, Any]]:
    """A row for each verdict that counts. With `known` also the item's key and the systems."""
    items = session.items()
    for j in session.standing():
        if annotator and j.annotator != annotator:
            continue
        item = items[j.item]
        texts = [item["outputs"][system] for system in j.shown]
        row: dict[str, Any] = {
            "annotator": j.annotator,
            "number": session.called(j),
            "prompt": item["prompt"],
            "reference": item["reference"],
            "left": texts[0],
            "right": texts[1] if len(texts) > 1 else "",
            "choice": j.choice,
            **{f"rating_{c.name}": j.ratings.get(c.name) for c in session.form.criteria},
            "reason": j.reason,
            "note": j.note,
            "flag": j.flag,
            "seconds": None if j.seconds is None else round(j.seconds, 1),
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(j.made)),
        }
        if known:
            row |= {
                "key": j.item,
                "left_system": j.shown[0],
                "right_system": j.shown[1] if len(texts) > 1 else "",
                "winner": j.winner or "",
                "repeat": j.repeat,
                "adjudicates": j.adjudicates,
            }
        yield row


def pairs(session: Session) -> Iterator[dict[str, Any]]:
    """`prompt`, `chosen`, `rejected`: texts where every prompt is one turn of a user, else lists of
    messages, as TRL and LLaMA-Factory (`ranking: true`) read both. Ties are left out."""
    items = session.items()
    made = comparing.choices(session)
    plain = all([m["role"] for m in items[choice.item]["messages"]] == ["user"] for choice in made)
    for choice in made:
        item = items[choice.item]
        chosen, rejected = (item["outputs"][s] for s in (choice.better, choice.worse))
        if plain:
            yield {"prompt": item["prompt"], "chosen": chosen, "rejected": rejected}
        else:
            yield {
                "prompt": item["messages"],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    if rows:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue()
