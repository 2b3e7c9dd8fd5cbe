"""Publish an exported folder on a hub: what would go, what stays, and the job that sends it.

Only what a reader of the model needs ever goes: weights, configs, tokenizer, template, papers.
Optimiser states, logs, checkpoints and whatever else lies there are left out, each by name. All of
it is one commit: whole, or nothing.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench import hub
from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.jobs import tasks
from workbench.tracking.finding import LOG, MANIFEST
from workbench.workspace import Workspace

KIND = "push"
_GOES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.gguf",
    "Modelfile",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "chat_template.jinja",
    "README.md",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "certificate.json",
    "gguf.json",
    "provenance.json",
    "workbench-manifest.json",
)
_NEVER = ("optimizer*", "scheduler*", "rng*", "beginning.safetensors", "weights.safetensors")
"""States of a training that look like weights."""
_RUNS_OWN = (MANIFEST, LOG, "state.json", "trainer_state.json")


@dataclass(frozen=True, slots=True)
class File:
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Upload:
    """What would be sent, and where to."""

    folder: str
    repository: str
    """OWNER/NAME."""
    private: bool
    files: list[File]
    left_out: list[str]
    """What lies in the folder and is not sent."""
    endpoint: str

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class OnHub:
    """What a hub says of the repository and of who asks."""

    account: str
    exists: bool
    private: bool | None
    """None where it doesn't exist."""


def plan(folder: Path, repository: str, *, private: bool) -> Upload:
    """What of an exported folder would go to the repository; asks no hub.

    Raises WorkbenchError for a folder that holds no model or adapter, or is a run's or a
    checkpoint's, and for a name that can't be.
    """
    if len(parts := repository.split("/")) != 2 or not all(parts) or repository.startswith("."):
        raise WorkbenchError(f"{repository!r} is no name on a hub.", "It is OWNER/NAME.")
    if not folder.is_dir():
        raise WorkbenchError(f"There is no folder {folder}.", "Check the path.")
    if own := [name for name in _RUNS_OWN if (folder / name).exists()]:
        raise WorkbenchError(
            f"{folder} is a run's or a checkpoint's folder (it has {own[0]}): it isn't published.",
            "Export first: workbench export merged RUN --to DIR, then push DIR.",
        )
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    goes = [name for name in names if _may_go(name)]
    if not any(name.endswith((".safetensors", ".gguf")) for name in goes):
        raise WorkbenchError(
            f"{folder} holds no weights in safetensors or GGUF.", "Name an exported folder."
        )
    return Upload(
        folder=str(folder.absolute()),
        repository=repository,
        private=private,
        files=[File(name, (folder / name).stat().st_size) for name in goes],
        left_out=[name for name in names if name not in goes],
        endpoint=os.environ.get("HF_ENDPOINT") or "https://huggingface.co",
    )


def ask_hub(repository: str) -> OnHub:
    """Who would publish, and whether the repository is there.

    Raises WorkbenchError without a network or a token, and when the hub refuses.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    refuse_without_hub()
    if not get_token():
        raise WorkbenchError(
            "There is no token of a hub, without which nothing can be published.",
            "`hf auth login` stores one; the environment variable HF_TOKEN names one.",
        )
    api = HfApi()
    try:
        account = str(api.whoami().get("name", "?"))
        try:
            found = api.model_info(repository)
        except RepositoryNotFoundError:
            return OnHub(account, exists=False, private=None)
        return OnHub(account, exists=True, private=found.private)
    except Exception as error:  # whatever the hub's HTTP client raises: it changed more than once
        raise refused(repository, error) from None


def refuse_without_hub() -> None:
    """Raises WorkbenchError when the hub doesn't answer, or may not be asked."""
    if not hub.in_reach():
        raise WorkbenchError(
            "The hub is out of reach, so nothing was published.",
            "Copy the folder to where there is a network and push it there. HF_HUB_OFFLINE=1 "
            "keeps from the network, HF_ENDPOINT names another hub.",
        )


def refused(repository: str, error: Exception) -> WorkbenchError:
    """What a hub answered, in a sentence that holds no token."""
    from huggingface_hub import get_token

    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if token := get_token():
        first = first.replace(token, "…")
    return WorkbenchError(
        f"The hub refused {repository}: {first}",
        "Its token must be one that may write there: hf auth whoami.",
    )


def start(workspace: Workspace, upload: Upload) -> Path:
    """Start sending it as a job; returns the job's folder. The token is never in its files."""
    return tasks.start(
        workspace.ensure(),
        KIND,
        "workbench.export.push_job",
        {
            "folder": upload.folder,
            "repository": upload.repository,
            "private": upload.private,
            "files": [file.name for file in upload.files],
        },
        environment={"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )


def read_request(folder: Path) -> tuple[Path, str, bool, list[str]]:
    body = read_json_object(folder / tasks.REQUEST)
    return Path(body["folder"]), body["repository"], body["private"], list(body["files"])


def _may_go(name: str) -> bool:
    return "/" not in name and _matches(name, _GOES) and not _matches(name, _NEVER)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
