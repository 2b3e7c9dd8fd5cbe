"""What a run is made of, the same at every start: its base, its template, its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from workbench import base_models
from workbench.data import versions
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.tracking import manifest, runs
from workbench.workspace import Workspace


def base_folder(run: Path) -> Path:
    """The folder of a run's base model; of a hub model, at the commit that the run began with.

    Raises WorkbenchError when it isn't here.
    """
    name = runs.load_config(run).model.base
    known = manifest.read(run)["base"]
    revision = known.get("revision") if name == known["name"] else None
    return base_models.resolve(Workspace(run.parent.parent), name, revision)


def load_template(run: Path) -> ChatTemplate:
    """The chat template of a run's base, on the day that the run was created, with the tokens
    that the run adds.

    Raises WorkbenchError when the base isn't here or has no chat template.
    """
    today = day(manifest.read(run))
    new_tokens = runs.load_config(run).model.new_tokens
    return ChatTemplate.load(base_folder(run), today=today, new_tokens=new_tokens)


def day(made: Mapping[str, Any]) -> date:
    """The date that a run's chat template writes, by its manifest."""
    kept = made.get("date")
    return date.fromisoformat(kept) if kept else date.fromtimestamp(made["created"])


def pin(run: Path, template: ChatTemplate) -> None:
    """Prove a run's rows, base and template the ones that it began with.

    The first start writes the hashes of base and template into the manifest, each later
    one is held against them. Reads every file of the base. Raises WorkbenchError that
    names what has changed.
    """
    made = manifest.read(run)
    reference = runs.load_config(run).data.dataset
    version = versions.resolve(Workspace(run.parent.parent), reference)
    versions.verify(version)
    if version.sha256 != made["dataset"]["sha256"]:
        raise _changed(run, f"its dataset was {made['dataset']['sha256']}, not {version.sha256}")
    folder = base_folder(run)
    files, read = manifest.model_files(folder), template_hashes(template)
    if "template" not in made:
        base = {**made["base"], "files": files}
        manifest.update(run, base=base, template=read)
        return
    began = made["base"]["files"]
    for name in sorted(began.keys() | files.keys()):
        was, now = began.get(name, "absent"), files.get(name, "absent")
        if was != now:
            raise _changed(run, f"the SHA-256 of {folder / name} was {was} and is {now}")
    if read["sha256"] != made["template"]["sha256"]:
        raise _changed(run, "its tokenizer's files are read otherwise by this tokenizers package")


def template_hashes(template: ChatTemplate) -> dict[str, str]:
    """SHA-256 of a chat template, of its tokenizer, and of both."""
    return {
        "sha256": template.fingerprint(),
        "chat_template": hashlib.sha256(template.source.encode()).hexdigest(),
        "tokenizer": template.tokenizer_fingerprint(),
    }


def pin_tokens(run: Path, tokens: dict[str, Any]) -> None:
    """Prove a run's tokens those that it began with, as `pin` does of what they are made of.

    `tokens` are their figures and their SHA-256, by split. Raises WorkbenchError that names the
    split whose tokens are others.
    """
    began = manifest.read(run).get("tokens")
    if began is None:
        manifest.update(run, tokens=tokens)
        return
    for split in sorted(began.keys() | tokens.keys()):
        was, now = (side.get(split, {}).get("sha256", "absent") for side in (began, tokens))
        if was != now:
            what = f"the SHA-256 of its {split} rows' tokens was {was} and is {now}"
            raise _changed(run, what)


def _changed(run: Path, what: str) -> WorkbenchError:
    return WorkbenchError(
        f"{run.name} can't go on: {what}.",
        "Put back what it began with, or start a new run of the same config.",
    )
