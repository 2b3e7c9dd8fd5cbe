"""What annotators are asked: which of two is better, a rubric of theirs, or accept or reject."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.config import yaml_reading
from workbench.errors import WorkbenchError

KINDS = ("pairwise", "rubric", "accept")
SCALE = (1, 2, 3, 4, 5)
PAIRWISE = ("left", "right", "tie")
ACCEPT = ("accept", "reject")
_MOST_REASONS = 8
"""A key each, from 2 to 9."""

EXAMPLE = """\
kind: rubric
instructions: Judge the answer alone, not the prompt.
criteria:
  helpful:
    question: Does it do what was asked?
    anchors: {1: not at all, 3: in part, 5: all of it}
  correct:
    question: Is what it says true?
    anchors: {1: mostly wrong, 5: no mistake}
"""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question of a rubric, answered from 1 to 5."""

    name: str
    question: str = ""
    anchors: Mapping[int, str] = field(default_factory=dict)
    """What a point of the scale means, for those that are described."""


@dataclass(frozen=True, slots=True)
class Form:
    """The questions of a session."""

    kind: str = "pairwise"
    instructions: str = ""
    criteria: tuple[Criterion, ...] = ()
    """Of a rubric, in the order in which they are asked."""
    reasons: tuple[str, ...] = ()
    """Of accept or reject: what may be wrong, one key each."""

    @property
    def pairs(self) -> bool:
        """Whether two outputs are shown, not one."""
        return self.kind == "pairwise"

    def check(self, choice: str, ratings: Mapping[str, int], reason: str) -> None:
        """Raises WorkbenchError for what is no answer to this form."""
        known = (*self.choices, "skip")
        if choice not in known:
            raise WorkbenchError(f"{choice!r} is no verdict.", f"Use one of {', '.join(known)}.")
        wanted = {criterion.name for criterion in self.criteria} if choice == "rated" else set()
        if set(ratings) != wanted:
            named = ", ".join(sorted(wanted)) or "none"
            raise WorkbenchError(f"The ratings must be of these criteria: {named}.")
        for name, value in ratings.items():
            if value not in SCALE:
                raise WorkbenchError(f"{name} is {value!r}; a rating is from 1 to 5.")
        if reason and (choice != "reject" or reason not in self.reasons):
            raise WorkbenchError(
                f"{reason!r} is no reason of this review.", f"There are: {', '.join(self.reasons)}."
            )

    @property
    def choices(self) -> tuple[str, ...]:
        """The verdicts besides `skip`."""
        return {"pairwise": PAIRWISE, "rubric": ("rated",), "accept": ACCEPT}[self.kind]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Form:
        criteria = tuple(
            Criterion(each["name"], each["question"], _by_point(each["anchors"]))
            for each in body["criteria"]
        )
        return cls(body["kind"], body["instructions"], criteria, tuple(body["reasons"]))


PAIRS = Form()
ACCEPT_OR_REJECT = Form(
    "accept",
    reasons=("wrong", "not what was asked", "incomplete", "repeats itself", "badly written"),
)


def of_kind(kind: str) -> Form:
    """The form of a kind that needs no file. Raises WorkbenchError for `rubric`, which does."""
    if kind == "rubric":
        raise WorkbenchError(
            "A rubric is a file of yours.", f"Name it with --form; such as:\n\n{EXAMPLE}"
        )
    return ACCEPT_OR_REJECT if kind == "accept" else PAIRS


def read(path: Path) -> Form:
    """A form from a YAML file, as in `EXAMPLE`, or the same in TOML.

    Raises WorkbenchError that names the file and the field.
    """
    text = yaml_reading.file_text(path)
    if path.suffix.lower() == ".toml":
        try:
            body = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise WorkbenchError(f"{path} is not valid TOML: {error}.") from error
    else:
        body, _ = yaml_reading.read(text, origin=str(path))
    return _form(body, f"{path}:")


def _form(body: Mapping[str, Any], where: str) -> Form:
    unknown = sorted(set(map(str, body)) - {"kind", "instructions", "criteria", "reasons"})
    if unknown:
        raise WorkbenchError(
            f"{where} there is no field {', '.join(unknown)}.",
            "There are: kind, instructions, criteria, reasons.",
        )
    kind = body.get("kind", "rubric" if "criteria" in body else "pairwise")
    if kind not in KINDS:
        raise WorkbenchError(f"{where} `kind` must be one of {', '.join(KINDS)}.")
    if ("criteria" in body) != (kind == "rubric"):
        raise WorkbenchError(f"{where} `criteria` are of a rubric, and a rubric needs them.")
    if "reasons" in body and kind != "accept":
        raise WorkbenchError(f"{where} `reasons` are of the kind `accept`.")
    return Form(
        kind=kind,
        instructions=_text(body.get("instructions", ""), f"{where} `instructions`"),
        criteria=tuple(_criteria(body["criteria"], where)) if kind == "rubric" else (),
        reasons=_reasons(body.get("reasons"), where) if kind == "accept" else (),
    )


def _criteria(given: Any, where: str) -> list[Criterion]:
    if not isinstance(given, dict) or not given:
        raise WorkbenchError(f"{where} `criteria` must be `NAME: {{question, anchors}}` pairs.")
    found = []
    for name, entry in given.items():
        place = f"{where} criteria.{name}"
        entry = {} if entry is None else {"question": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or set(entry) - {"question", "anchors"}:
            raise WorkbenchError(f"{place} must have `question` and `anchors`, no others.")
        anchors = entry.get("anchors", {})
        if not isinstance(anchors, dict):
            raise WorkbenchError(f"{place}: `anchors` must be `POINT: text` pairs.")
        try:
            points = _by_point(anchors)
        except ValueError:
            points = {0: ""}
        if not set(points) <= set(SCALE):
            raise WorkbenchError(f"{place}: `anchors` are for the points 1 to 5.")
        question = _text(entry.get("question", ""), f"{place}: `question`")
        found.append(Criterion(_text(str(name), place), question, points))
    return found


def _by_point(anchors: Mapping[Any, Any]) -> dict[int, str]:
    return {int(point): str(text) for point, text in anchors.items()}


def _reasons(given: Any, where: str) -> tuple[str, ...]:
    if given is None:
        return ACCEPT_OR_REJECT.reasons
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > _MOST_REASONS:
        raise WorkbenchError(f"{where} `reasons` must be a list of {_MOST_REASONS} at most.")
    return tuple(_text(reason, f"{where} `reasons`: each") for reason in given)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise WorkbenchError(f"{what} must be a text.")
    return value.strip()
