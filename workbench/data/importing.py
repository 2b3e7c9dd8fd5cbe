"""From raw files to a dataset version: read, check, clean, split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.data import dataset_info, hub, split
from workbench.data.curate import duplicates
from workbench.data.mapping import Mapping
from workbench.data.opening import check_encoding, suffix_of
from workbench.data.raw import check_there
from workbench.data.recipe import (
    Cut,
    ExactDuplicates,
    FileSource,
    HubSource,
    Leakage,
    Recipe,
    Repair,
    RowSource,
    Split,
    Step,
    StripEndMarkers,
    parse,
)
from workbench.data.replay import make
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import user_path
from workbench.jobs.progress import Tell, untold
from workbench.workspace import Workspace, check_name

Origin = Path | str
"""A file, or `hub:OWNER/NAME…`, or `dataset_info.json:NAME`."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an import is done."""

    validation_share: float = 0.1
    """About this share of the rows is held out, by prompt; 0 holds none out."""
    validation_files: tuple[Origin, ...] = ()
    """Files whose rows are the validation split; then none are held out by share."""
    seed: int = 0
    split_by: str = "prompt"
    """What is never on both sides: rows with the same prompt, or with the same value of an extra
    field, given by its name."""
    stratify: str = ""
    """`task` holds the share in each task; empty: in all rows."""
    near_duplicates_together: bool = True
    """Rows that say almost the same are never on both sides."""
    task: str = ""
    """The task of every row; empty: the row's own `task` field."""
    licenses: dict[str, str] = field(default_factory=dict)
    """Of each file, by its path as given, the licence that a person declares; under an empty path
    that of all the others."""
    skip_bad: bool = False
    """Leave out rows that can't be examples, and keep them aside with their reasons."""
    repairs: tuple[str, ...] = ()
    """Names of the repairs that rows may be mended by."""
    mapping: Mapping | None = None
    """Which fields are what, in every file; None: as they are recognised."""
    encoding: str = ""
    """Of every file of text; empty: UTF-8, or what its byte-order mark says."""
    cut: int = 0
    """Cut plain texts into pieces of at most so many characters, or tokens; 0: don't."""
    cut_model: str = ""
    """The base model whose tokens `cut` counts; empty: it counts characters."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for another process."""
        return {
            **asdict(self),
            "validation_files": [str(file) for file in self.validation_files],
            "mapping": self.mapping and self.mapping.model_dump(exclude_defaults=True),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Options:
        """The inverse of `to_json`."""
        mapped = body["mapping"]
        return cls(
            **{
                **body,
                "validation_files": tuple(body["validation_files"]),
                "repairs": tuple(body["repairs"]),
                "mapping": None if mapped is None else Mapping.model_validate(mapped),
            }
        )


def import_files(
    workspace: Workspace,
    origins: Sequence[Origin],
    name: str,
    options: Options | None = None,
    tell: Tell = untold,
) -> Version:
    """Make a version of the dataset `name` from files, and return it. Raises as `make` does."""
    return make(workspace, recipe_of(origins, name, options or Options()), tell)


def recipe_of(origins: Sequence[Origin], name: str, options: Options) -> Recipe:
    """What an import does, as a recipe.

    Raises WorkbenchError for what can be told before a file is read.
    """
    _check(name, options)
    held_out = options.validation_files
    sources = [
        *(_source(origin, split.TRAIN, options) for origin in origins),
        *(_source(origin, split.VALIDATION, options) for origin in held_out),
    ]
    recipe = Recipe(
        name=name,
        sources=tuple(sources),
        skip_bad=options.skip_bad,
        steps=tuple(_steps(options)),
    )
    parse({"name": name, "sources": [{"dataset": "x"}], "steps": recipe.to_json()["steps"]}, "it")
    return recipe


def _steps(options: Options) -> Iterator[Step]:
    if options.repairs:
        yield Repair(kinds=options.repairs)
    if options.cut:
        yield Cut(most=options.cut, model=options.cut_model)
    yield StripEndMarkers()
    yield ExactDuplicates()
    alike = duplicates.THRESHOLD if options.near_duplicates_together else None
    if options.validation_files:
        yield Leakage(near_duplicates=alike)
        return
    yield Split(
        share=options.validation_share,
        seed=options.seed,
        by=options.split_by,
        near_duplicates=alike if options.validation_share else None,
        stratify="task" if options.stratify else None,
    )
    yield Leakage()


def _check(name: str, options: Options) -> None:
    check_name(name, "dataset")
    if not 0 <= options.validation_share < 1:
        raise WorkbenchError("The validation share must be at least 0 and below 1.")
    if options.stratify not in ("", "task"):
        raise WorkbenchError(f"A split is stratified by task, not by {options.stratify}.")
    if options.validation_files and (options.stratify or options.split_by != "prompt"):
        raise WorkbenchError(
            "With validation files there is nothing to split, by a field or by task.",
            "Leave out the validation files, or the options of the split.",
        )
    if options.cut < 0:
        raise WorkbenchError("A piece of a text has at least one character or token.")
    if not options.task.isprintable():
        raise WorkbenchError(f"The task {options.task!a} has signs that can't be shown.")


def _source(origin: Origin, side: str, options: Options) -> RowSource:
    """What an origin names. Raises WorkbenchError when it isn't there, and for a licence that is
    none."""
    licence = options.licenses.get(str(origin), options.licenses.get("", ""))
    about: dict[str, Any] = {"split": side, "task": options.task, "license": licence}
    try:
        return _named(origin, about, options)
    except ValidationError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise WorkbenchError(f"{licence!a} is no licence: {told}.") from error


def _named(origin: Origin, about: dict[str, Any], options: Options) -> RowSource:
    if isinstance(origin, Path) or user_path(origin).exists():
        if dataset_info.is_one(path := user_path(origin)):
            return _entry(path, "", about, options)
        return _file(path, about, options)
    if origin.startswith(hub.PREFIX):
        spec = hub.parse(origin)
        return _of_hub(spec, {**about, "mapping": options.mapping}, options)
    file, _, named = origin.rpartition(":")
    if dataset_info.is_one(path := user_path(file)):
        return _entry(path, named, about, options)
    return _file(user_path(origin), about, options)


def _file(path: Path, about: dict[str, Any], options: Options) -> FileSource:
    check_there(path)
    encoding = check_encoding(options.encoding)
    if encoding and (path.is_dir() or suffix_of(path) == ".parquet"):
        raise WorkbenchError(f"{path} is no file of text: --encoding is for those.")
    found = {"path": path, "encoding": encoding, "mapping": options.mapping, **about}
    return FileSource.model_validate(found)


def _of_hub(spec: hub.Spec, about: dict[str, Any], options: Options) -> HubSource:
    if options.encoding:
        raise WorkbenchError("--encoding is for files, not for data sets of the hub.")
    named = {name: getattr(spec, name) for name in ("hub", "config", "part", "revision")}
    return HubSource.model_validate({**named, **about})


def _entry(path: Path, name: str, about: dict[str, Any], options: Options) -> RowSource:
    if options.mapping:
        raise WorkbenchError("dataset_info.json says itself which field is what, so no --map.")
    entry = dataset_info.entry(path, name)
    about = {**about, "mapping": entry.mapping}
    if entry.spec:
        return _of_hub(entry.spec, about, options)
    return _file(entry.path, about, options)
