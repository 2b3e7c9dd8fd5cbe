"""Recipes: what a dataset version is made of, and by which steps, as YAML.

The same sources and steps give the same rows, and so the same version, wherever they are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from workbench.data import repairs
from workbench.data.curate import checks, duplicates
from workbench.data.mapping import Mapping
from workbench.data.opening import check_encoding
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error
from workbench.workspace import check_name

PERSONAL = "personal-data"
"""The check whose findings are redacted."""


_REDACTED = ("key", "email", "phone", "card", "iban", "ssn", "id", "birth-date", "ip", "mac")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _licence(text: str) -> str:
    if text != text.strip() or not text.isprintable() or len(text) > 200:
        raise ValueError("a licence is an identifier on one line, such as apache-2.0")
    return text


Licence = Annotated[str, AfterValidator(_licence)]


class FileSource(_Model):
    """A file, or a folder that `datasets` saved."""

    path: Path
    sha256: str | None = None
    """What the file was, or all files of the folder, when the version was made; None: any."""
    bytes: int | None = None
    split: Literal["train", "validation"] = "train"
    task: str = ""
    """The task of every row; empty: the row's own."""
    license: Licence = ""
    """As whoever imported it declared, such as `mit`; empty: not declared."""
    encoding: str = ""
    """Of a file of text; empty: UTF-8, or what its byte-order mark says."""
    mapping: Mapping | None = None
    """Which fields are what; None: as they are recognised."""


class HubSource(_Model):
    """A split of a data set of the Hugging Face hub."""

    hub: str
    """`OWNER/NAME`."""
    config: str = ""
    """Empty: the only one, or the one that the data set has as its default."""
    part: str = ""
    """The split of the data set; empty: `train`, or the only one."""
    revision: str | None = None
    """The commit; None: the newest, whose commit the version's recipe then names."""
    split: Literal["train", "validation"] = "train"
    task: str = ""
    license: Licence = ""
    mapping: Mapping | None = None


class DatasetSource(_Model):
    """The rows of another version, as they are there."""

    dataset: str
    """`NAME@VERSION`."""


_KINDS_OF_SOURCE: dict[str, type[_Model]] = {
    "path": FileSource,
    "hub": HubSource,
    "dataset": DatasetSource,
}
"""By the field that every source of the kind has, and no other one."""


def _kind_of_source(source: Any) -> str | None:
    """Which kind it is, so that only what is wrong with one of that kind is told."""
    if isinstance(source, dict):
        found = (kind for name, kind in _KINDS_OF_SOURCE.items() if name in source)
        return next((kind.__name__ for kind in found), None)
    return type(source).__name__


Source = Annotated[
    Annotated[FileSource, Tag("FileSource")]
    | Annotated[HubSource, Tag("HubSource")]
    | Annotated[DatasetSource, Tag("DatasetSource")],
    Discriminator(
        _kind_of_source,
        custom_error_type="source",
        custom_error_message="A source has a `path`, a `hub` or a `dataset`",
    ),
]
RowSource = FileSource | HubSource
"""Sources of rows that have yet to become examples."""


class _Step(_Model):
    off: bool = False
    """Passed over, as if it weren't there."""

    @property
    def title(self) -> str:
        """What a waterfall and a removed row call it."""
        return str(self.step).replace("-", " ")  # type: ignore[attr-defined]

    @property
    def parameters(self) -> dict[str, Any]:
        """How it is done."""
        return self.model_dump(mode="json", exclude={"step", "off"}, exclude_defaults=True)


class Repair(_Step):
    """Mend rows that can't be examples as they are. It stands before all other steps, since the
    rows are mended as they are read."""

    step: Literal["repair"] = "repair"
    kinds: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of repairs; each is named, so that one that is new changes no recipe."""


class Cut(_Step):
    """Cut plain texts at the ends of paragraphs."""

    step: Literal["cut"] = "cut"
    most: Annotated[int, Field(gt=0)]
    """Characters or tokens of a piece."""
    model: str = ""
    """The base model whose tokens are counted; empty: characters are."""


class StripEndMarkers(_Step):
    """Take another template's end markers off the responses."""

    step: Literal["strip-end-markers"] = "strip-end-markers"


class ExactDuplicates(_Step):
    """Leave out rows that came before, word for word, in the same split."""

    step: Literal["exact-duplicates"] = "exact-duplicates"
    keep: tuple[str, ...] = ()
    """Ids of rows that stay all the same, each as often as it is there."""


Similarity = Annotated[float, Field(ge=duplicates.LOWEST, le=1)]
"""A Jaccard similarity of rows, as the check `near-duplicates` counts it."""


class Split(_Step):
    """Hold out some rows for validation."""

    step: Literal["split"] = "split"
    share: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: int = 0
    by: str = "prompt"
    """What is never on both sides: rows with the same `prompt`, or with the same value of an
    extra field, given by its name."""
    near_duplicates: Similarity | None = None
    """Rows that are alike to this degree are never on both sides either; None: they may be."""
    stratify: Literal["task"] | None = None
    """Hold the share in each task."""

    @property
    def parameters(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"step", "off"}, exclude_none=True)


class Leakage(_Step):
    """Leave out training rows that ask what a validation row asks."""

    step: Literal["leakage"] = "leakage"
    near_duplicates: Similarity | None = None
    """And those that are alike to a validation row to this degree; None: they stay."""
    keep: tuple[str, ...] = ()
    """Ids of rows that stay all the same."""


class Drop(_Step):
    """Leave out the rows that a check flags."""

    step: Literal["drop"] = "drop"
    check: str
    options: dict[str, Any] = {}
    kinds: tuple[str, ...] = ()
    """Of the findings; empty: all."""
    keep: tuple[str, ...] = ()
    """Ids of rows that stay all the same."""

    @property
    def title(self) -> str:
        return f"drop {', '.join(self.kinds) or self.check}"


class Remove(_Step):
    """Leave out rows that a person named."""

    step: Literal["remove"] = "remove"
    rows: tuple[str, ...]
    """Ids."""
    reason: str = "a person removed it"


class Edit(_Step):
    """Rows as a person rewrote them."""

    step: Literal["edit"] = "edit"
    rows: dict[str, dict[str, Any]]
    """By the id of the row before: `messages` or `text`, and `task` where it changes."""


class Redact(_Step):
    """Put placeholders, such as `[EMAIL_1]`, in place of personal data."""

    step: Literal["redact"] = "redact"
    kinds: tuple[str, ...] = _REDACTED
    """Of the findings; dates and links, which seldom are personal, have to be asked for."""
    options: dict[str, Any] = {}
    """Of the check `personal-data`."""


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rows = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""What is counted of them has 32 bits."""


class Mix(_Step):
    """Take so many training rows of each task or source; `mix.plan` says how many."""

    step: Literal["mix"] = "mix"
    by: Literal["task", "source"] = "task"
    weights: dict[str, Positive] = {}
    """Of each task or source its share, in any unit. A source is named by its dataset, with or
    without the version, or its file."""
    temperature: Positive = 1.0
    cap: Rows | None = None
    """Rows of a task or source that count, and that are taken, at most."""
    rows: Rows | None = None
    """Training rows of the mixture; None: as many as count."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_way(self) -> Mix:
        if self.weights and (self.temperature != 1 or self.cap is not None):
            raise ValueError("weights are the shares themselves: give no temperature and no cap")
        return self


Step = Annotated[
    Repair
    | Cut
    | StripEndMarkers
    | ExactDuplicates
    | Split
    | Leakage
    | Drop
    | Remove
    | Edit
    | Redact
    | Mix,
    Field(discriminator="step"),
]


def _some(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    # Once each is one: pydantic's own `min_length` counts those alone that are.
    if not sources:
        raise ValueError("a recipe has at least one source")
    return sources


class Recipe(_Model):
    """All that a version is made from."""

    v: Literal[1] = 1
    name: str
    sources: Annotated[tuple[Source, ...], AfterValidator(_some)]
    skip_bad: bool = False
    """Leave out rows that can't be examples, and keep them aside with their reasons."""
    steps: tuple[Step, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `version.json` and the YAML file hold it; what is as by default is left out."""
        steps = [
            {"step": step.step, **step.model_dump(mode="json", exclude_defaults=True)}
            for step in self.steps
        ]
        return {
            "v": self.v,
            **self.model_dump(mode="json", exclude_defaults=True, exclude={"v", "steps"}),
            "steps": steps,
        }

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.to_json(), sort_keys=False, allow_unicode=True)


def parse(body: Any, origin: str) -> Recipe:
    """The recipe that plain data describes.

    Raises WorkbenchError with everything that is wrong with it, by field, and `origin`.
    """
    try:
        recipe = TypeAdapter(Recipe).validate_python(body)
    except ValidationError as error:
        problems = "\n".join(f"  {_where(e['loc'])}: {e['msg']}" for e in error.errors())
        raise WorkbenchError(f"{origin} is no recipe:\n{problems}") from error
    check_name(recipe.name, "dataset")
    for source in recipe.sources:
        if isinstance(source, FileSource):
            check_encoding(source.encoding)
    for number, step in enumerate(recipe.steps):
        if isinstance(step, Repair):
            _check_repair(step, number, origin)
        if isinstance(step, Drop | Redact):
            check = checks.get(step.check if isinstance(step, Drop) else PERSONAL)
            checks.options_of(check, step.options)
            checks.check_kinds(check, step.kinds)
    return recipe


def _check_repair(step: Repair, number: int, origin: str) -> None:
    unknown = [name for name in step.kinds if name not in repairs.NAMES]
    if unknown:
        raise WorkbenchError(
            f"There is no repair {unknown[0]!a}.", f"There are {', '.join(repairs.NAMES)}."
        )
    if number:
        raise WorkbenchError(
            f"{origin} repairs rows in step {number + 1}.",
            "Rows are mended as they are read: `repair` is the first step.",
        )


def load(path: Path) -> Recipe:
    """The recipe in a YAML file. Raises WorkbenchError as `parse` does."""
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"{path} is no YAML: {reason}") from error
    except RecursionError as error:
        raise WorkbenchError(
            f"{path} is no YAML that can be read: it is nested too deep."
        ) from error
    return parse(body, str(path))


def _where(place: tuple[int | str, ...]) -> str:
    """`steps[2].share` of a place in the data; the name of a kind in it says nothing."""
    parts = [
        f"[{part + 1}]" if isinstance(part, int) else f".{part}"
        for part in place
        if part not in {kind.__name__ for kind in _KINDS_OF_SOURCE.values()}
    ]
    return "".join(parts).removeprefix(".") or "it"
