"""What is merged: an adapter, its base, its template, and the rows that the two are compared on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.adapters import files, origin
from workbench.adapters.files import Adapter
from workbench.adapters.origin import Origin
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example
from workbench.data.masking import MaskError
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.export import golden
from workbench.export.certificate import Prompts
from workbench.export.request import Request, result_folder
from workbench.tracking import inputs, runs
from workbench.workspace import Workspace

_ROWS = 8
_LONGEST = 2048
"""Tokens of a row, for an adapter whose run's config nobody knows."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An adapter with all that a merge needs to know of it."""

    adapter: Adapter
    origin: Origin
    base: Path
    template: ChatTemplate
    config: RunConfig
    """Of the run that made it; the defaults where nobody knows it."""
    run: Path | None
    version: Version | None
    """The dataset version that it is compared on; None: the golden conversation."""

    def prompts(self, *, answers: bool) -> Prompts:
        """Held-out rows, or others of a version that has none, as tokens; their questions as
        well where `answers` are wanted."""
        for split in ("validation", "train"):
            rows, questions = self._rows(split)
            if rows:
                break
        if not rows:
            texts = golden.texts(self.template)
            rows = [self.template.tokenize(text)[0] for text in texts]
            questions = rows
        return Prompts(rows, questions if answers else [])

    @property
    def compared_on(self) -> str:
        """In words."""
        return self.version.reference if self.version is not None else "the golden conversation"

    def _rows(self, split: str) -> tuple[list[list[int]], list[list[int]]]:
        """The first rows of a split that fit, and the questions of those that ask."""
        rows: list[list[int]] = []
        questions: list[list[int]] = []
        for example in versions.read(self.version, split) if self.version is not None else ():
            ids = self._encoded(example)
            if ids is None:
                continue
            rows.append(ids)
            with suppress(MaskError):
                if not example.text:
                    questions.append(self.template.prompt_of(example))
            if len(rows) == _ROWS:
                break
        return rows, questions

    def _encoded(self, example: Example) -> list[int] | None:
        """None for a row that its training left out, too."""
        data = self.config.data
        try:
            ids = self.template.encode(example).ids
        except MaskError:
            if self.run is not None:
                raise
            return None
        if data.too_long == "truncate":
            return ids[: data.max_length]
        return ids if len(ids) <= data.max_length else None


def of(workspace: Workspace, request: Request) -> Subject:
    """The subject of a merge.

    Raises WorkbenchError when the adapter, its base or the rows that were named aren't there.
    """
    if request.run and not request.adapter:
        return _of_run(workspace, Path(request.run), request)
    adapter = files.read(Path(request.adapter))
    told, base = origin.of(adapter), Path(request.base)
    config = _config(told)
    holder = adapter.folder if golden.has_tokenizer(adapter.folder) else base
    tokens = config.model.new_tokens if holder == base else []
    template = ChatTemplate.load(holder, new_tokens=tokens)
    version = None
    if request.rows:
        version = versions.resolve(workspace, request.rows)
    elif told.dataset:
        with suppress(WorkbenchError):  # it is of another workspace
            version = versions.resolve(workspace, told.dataset)
    return Subject(adapter, told, base, template, config, None, version)


def _of_run(workspace: Workspace, run: Path, request: Request) -> Subject:
    adapter = files.read(result_folder(run))
    config = runs.load_config(run)
    return Subject(
        adapter=adapter,
        origin=origin.of(adapter),
        base=inputs.base_folder(run),
        template=inputs.load_template(run),
        config=config,
        run=run,
        version=versions.resolve(workspace, request.rows or config.data.dataset),
    )


def _config(told: Origin) -> RunConfig:
    """The config of the run that made the adapter, where its papers have it."""
    if told.config is not None:
        with suppress(WorkbenchError):
            return loading.parse(told.config, origin="The adapter's manifest")
    return RunConfig.model_validate({"data": {"max_length": _LONGEST, "too_long": "truncate"}})
