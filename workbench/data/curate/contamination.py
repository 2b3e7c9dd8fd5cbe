"""Contamination: training rows that hold a row of an evaluation set, whose score then says less.

Evaluation rows are those of the validation split, and all rows of the datasets that are named:
an import holds a tenth out, so that a set which is imported whole has rows of both splits. What
is compared of a row is what it asks, its user turns: that leaks, and an answer alone is seldom
its own. Plain text is compared whole. Rows with the same words are taken for one.

The default rule, `coverage`, looks for half of a text in pairs of words: between edits more of
these are left than of longer n-grams. What pairs say by chance is taken out by weight: each
counts by its rarity in the training rows, and by 1/n² in each of n evaluation rows that have it,
so that the instructions and examples which rows of a set share count for next to nothing. Of
GSM8K's questions with 5, 15 and 30 % of the words deleted, replaced or inserted, in other text,
it finds 99.8, 98 and 75 %, and flags 2 of the 7,473 rows that GSM8K trains on. N-grams of five
words that cover half, each counting the same, find 100, 92 and 17 %, and flag 5.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeVar

from workbench.data.curate.findings import Finding, Other, Part, Span, parts
from workbench.data.curate.grams import END, WORD, Index, Words, joined
from workbench.data.curate.overlap import Overlap, of_grams, whole
from workbench.data.example import Example
from workbench.data.split import TRAIN, VALIDATION
from workbench.errors import WorkbenchError
from workbench.jobs.progress import Tell, untold, watched

NAME = "contamination"
VERSION = 2
KINDS = ("contamination",)
_TURN = 5
"""A text of fewer words must be a whole turn: "And why is that?" is in many rows."""
_OWN = 4
"""Of the n-grams that tell a text from the others of its set, so many must be there at least:
half of "The thin layer of rock on Earth's surface is", after ten lines of examples that all
texts have, is an everyday phrase."""
_COMMON = 20
"""An n-gram of more evaluation rows counts for none: for each it would be less than a 400th."""
_SAMPLE = 50_000
"""Training rows that rarity is counted in, evenly spaced."""
_BATCH = 512
"""Rows that are compared at once."""
_SHORT_GRAM = 2
"""Texts that must be whole are found by pairs of words, whatever the rule."""
_STRETCH = 2
"""In words of a row, as a multiple of a text's: insertions between any two make no more."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rule:
    """When a training row holds a text. Words are told apart without case and punctuation, by
    all of the rules."""

    gram: int
    """Words of an n-gram."""
    share: float | None
    """The least share of the text that a row must hold; None where one n-gram is enough."""
    short: int = 0
    """A text of so many words, or of no n-gram, must be there whole; 0 for no such rule."""
    least_gram: int | None = None
    """Where n-grams are no longer than all but one in twenty of a set's texts: the least."""
    weighed: bool = False
    """Whether rare n-grams count for more, and only those that are close to each other."""
    of_words: bool = False
    """Whether the share is that of words, not of n-grams, and a row must hold more than it."""


RULES = {
    "coverage": Rule(2, 0.5, short=15, weighed=True),
    "gpt3": Rule(13, None, short=7, least_gram=8),
    "palm": Rule(8, 0.7),
    "tulu3": Rule(8, 0.5, of_words=True),
    "datatrove": Rule(12, None),
}
"""Where they come from:

`coverage`: ours. Weights by rarity and short texts whole are ideas of allenai/decon, whose 20
tokens are some 15 words.
`gpt3`: any 13 words in a row, or fewer where a set's texts are short, but 8 (Brown et al. 2020,
arXiv:2005.14165, appendix C).
`palm`: 70 % of the 8-grams (Chowdhery et al. 2022, arXiv:2204.02311, section 8), in one row; in
the paper in all of the training data together, so that no row could be named.
`tulu3`: more than 50 % of the words, each in an 8-gram that the row has too (Lambert et al. 2024,
arXiv:2411.15124; allenai/open-instruct, `decontamination/search.py`).
`datatrove`: any 12 words in a row (huggingface/datatrove, `pipeline/decont/n_grams.py`); there
of the answers as well, or of them alone.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What is compared, and how. Raises WorkbenchError for a rule that there isn't, and for a
    threshold that it can't have."""

    rule: str = "coverage"
    """`coverage`, `gpt3`, `palm`, `tulu3` or `datatrove`."""
    threshold: float | None = None
    """The least share of a text, where it isn't to be the rule's own."""
    against: tuple[str, ...] = ()
    """Evaluation sets beside the validation split: `NAME@VERSION`."""
    responses: bool = False
    """Whether responses of evaluation rows are looked for too, where they aren't short: a leaked
    summary may stand alone, and "Yes" is anyone's."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise WorkbenchError(f"There is no rule {self.rule}.", f"There are {', '.join(RULES)}.")
        if self.threshold is None:
            return
        if RULES[self.rule].share is None:
            raise WorkbenchError(
                f"The rule {self.rule} has no threshold: one n-gram is enough for it.",
                "Leave the threshold out, or take another rule.",
            )
        if not 0 < self.threshold <= 1:
            raise WorkbenchError(
                f"The threshold must be above 0 and at most 1, not {self.threshold}.",
                "0.5 asks for half of a text.",
            )


_DEFAULT = Options()


def annotate(
    rows: Sequence[Example],
    options: Options = _DEFAULT,
    *,
    tell: Tell = untold,
    others: Mapping[str, Sequence[Example]] = MappingProxyType({}),
) -> Iterator[Finding]:
    """The training rows that hold an evaluation row, in order, each with the one that it holds
    the most of; a row that holds others elsewhere has a finding for each.

    Rows are read three times, in order, and none is kept: `rows` need not be in memory. The same
    rows give the same findings.
    """
    sets = {"": rows, **others}
    words = Words()
    texts = list(_texts(sets, options.responses, words, tell))
    if not texts:
        return
    finder = _Finder(texts, options, words)
    finder.weigh(rows, tell)
    for batch in _batches(enumerate(watched(rows, "comparing", tell))):
        for number, example, held in finder.held(batch):
            for text, overlap in _apart(held):
                evaluated = sets[text.dataset][text.row]
                yield _finding(number, example, text, evaluated, overlap, options.rule)


@dataclass(frozen=True, slots=True)
class _Text:
    """What is compared of an evaluation row."""

    dataset: str
    """Empty for that of the training rows."""
    row: int
    side: str
    """`prompt`, `response` or `text`."""
    words: array[int]
    """By number, with END after each turn."""

    def __len__(self) -> int:
        return len(self.words) - self.words.count(END)


def _texts(
    sets: Mapping[str, Sequence[Example]], responses: bool, words: Words, tell: Tell
) -> Iterator[_Text]:
    """The texts of all evaluation rows, each with the first row that has it."""
    known: set[bytes] = set()
    for dataset, rows in sets.items():
        phase = f"reading {dataset}" if dataset else "reading validation rows"
        for row, example in enumerate(watched(rows, phase, tell)):
            if not dataset and example.split != VALIDATION:
                continue
            for side, turns in _sides(example, responses).items():
                text = _Text(dataset, row, side, words.learn(turn.text for turn in turns))
                held = text.words.tobytes()
                if len(text) and held not in known:
                    known.add(held)
                    yield text


def _sides(example: Example, responses: bool) -> dict[str, list[Part]]:
    """What is compared of an evaluation row, by its name."""
    if example.text:
        return {"text": list(parts(example))}
    prompt = [part for part in parts(example) if part.role == "user"]
    response = [part for part in parts(example) if part.role == "assistant"]
    return {"prompt": prompt, "response": response} if responses else {"prompt": prompt}


@dataclass(frozen=True, slots=True)
class _Group:
    """Texts that are looked for by n-grams of one length."""

    texts: list[_Text]
    index: Index
    wholly: Any
    """Of each text, whether every word must be there."""
    needed: Any
    """Of each text, the share of its n-grams that a row must hold to be looked at closer."""


class _Finder:
    """Finds what rows hold of some texts."""

    def __init__(self, texts: Sequence[_Text], options: Options, words: Words) -> None:
        self._rule = RULES[options.rule]
        self._least = options.threshold or self._rule.share or 0.0
        self._words = words
        self._turns: dict[bytes, _Text] = {}
        groups: dict[int, list[_Text]] = defaultdict(list)
        grams = _grams(texts, self._rule)
        for text in texts:
            gram = grams[text.dataset]
            if not self._is_short(text, gram):
                groups[gram].append(text)
            elif text.side == "response":
                continue
            elif len(text) < _TURN:
                self._turns[text.words.tobytes()] = text
            else:
                groups[_SHORT_GRAM].append(text)
        self._groups = [self._group(texts, gram) for gram, texts in groups.items()]

    def _is_short(self, text: _Text, gram: int) -> bool:
        return self._rule.short > 0 and len(text) <= max(self._rule.short, gram - 1)

    def _group(self, texts: list[_Text], gram: int) -> _Group:
        import numpy as np

        common = _COMMON if self._rule.weighed else len(texts)
        index = Index([text.words for text in texts], gram, common)
        wholly = np.array([self._is_short(text, gram) for text in texts])
        # A share of words can't be told from that of n-grams: one of these is a candidate.
        needed = np.full(len(texts), 0 if self._rule.of_words else self._least)
        if self._rule.weighed:
            needed = np.clip(_OWN / np.maximum(index.own(), 1), self._least, 1)
            wholly |= needed == 1
        return _Group(texts, index, wholly, np.where(wholly, 1, needed) - _ROUNDING)

    def weigh(self, rows: Sequence[Example], tell: Tell) -> None:
        """Let n-grams count by their rarity, where the rule has it so."""
        if not self._rule.weighed:
            return
        spaced = range(0, len(rows), max(1, -(-len(rows) // _SAMPLE)))
        for group in self._groups:
            sample = (rows[place] for place in watched(spaced, "rarity", tell))
            trained = (self._read(row) for row in sample if row.split == TRAIN)
            group.index.weigh([joined(turns) for turns in batch] for batch in _batches(trained))

    def held(
        self, rows: Iterable[tuple[int, Example]]
    ) -> Iterator[tuple[int, Example, list[tuple[_Text, Overlap]]]]:
        """The training rows that hold texts, each with these and what it holds of them, the
        most first."""
        trained = [(number, example) for number, example in rows if example.split == TRAIN]
        turns = [self._read(example) for _, example in trained]
        joint = [joined(of) for of in turns]
        found = [self._short_turns(of) for of in turns]
        for group in self._groups:
            for row, text in group.index.near(joint, group.needed):
                overlap = self._proved(group, text, joint[row])
                if overlap is not None:
                    found[row].append((group.texts[text], overlap))
        for (number, example), held in zip(trained, found, strict=True):
            if held:
                held.sort(key=lambda one: -round(one[1].share, 9))
                yield number, example, held

    def _read(self, example: Example) -> list[array[int]]:
        return [self._words.read(part.text) for part in parts(example)]

    def _short_turns(self, turns: Iterable[array[int]]) -> list[tuple[_Text, Overlap]]:
        """The texts that are a turn of few words."""
        found = []
        start = 0
        for turn in turns:
            words = len(turn) - 1
            if words < _TURN and (text := self._turns.get(turn.tobytes())) is not None:
                here = [range(start, start + words)]
                found.append((text, Overlap(1.0, here, [range(words)])))
            start += len(turn)
        return found

    def _proved(self, group: _Group, number: int, row: array[int]) -> Overlap | None:
        words = group.texts[number].words
        if group.wholly[number]:
            return whole(words, row)
        overlap = of_grams(
            words,
            row,
            group.index.gram,
            group.index.weights(number, words),
            within=_STRETCH * len(words) if self._rule.weighed else None,
            of_words=self._rule.of_words,
        )
        least = self._least if self._rule.of_words else group.needed[number]
        return overlap if overlap is not None and overlap.share > least else None


def _grams(texts: Iterable[_Text], rule: Rule) -> dict[str, int]:
    """How many words an n-gram has, by dataset: what all but one in twenty texts have, within
    the bounds of the rule."""
    lengths: dict[str, list[int]] = defaultdict(list)
    for text in texts:
        lengths[text.dataset].append(len(text))
    least = rule.least_gram or rule.gram
    return {
        dataset: min(rule.gram, max(least, sorted(of)[len(of) // 20]))
        for dataset, of in lengths.items()
    }


_Item = TypeVar("_Item")


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _apart(held: Iterable[tuple[_Text, Overlap]]) -> Iterator[tuple[_Text, Overlap]]:
    """Of texts whose words in a row overlap, which are versions of one, only the first."""
    taken: list[range] = []
    for text, overlap in held:
        here = overlap.stretch
        if all(here.stop <= other.start or other.stop <= here.start for other in taken):
            taken.append(here)
            yield text, overlap


def _finding(
    row: int, example: Example, text: _Text, evaluated: Example, overlap: Overlap, rule: str
) -> Finding:
    here = _spans(parts(example), overlap.here, rule)
    there = _spans(_sides(evaluated, True)[text.side], overlap.there, rule)
    other = Other(text.row, text.dataset, there)
    reason = _reason(text, overlap, RULES[rule])
    return Finding(row, KINDS[0], reason, min(1.0, overlap.share), here, other)


def _reason(text: _Text, overlap: Overlap, rule: Rule) -> str:
    of = f"row {text.row + 1:,} of {text.dataset}"
    what = f"the {text.side} of {of if text.dataset else f'validation row {text.row + 1:,}'}"
    if sum(map(len, overlap.there)) == len(text):
        return f"all of {what} is in it"
    if rule.share is None:
        return f"{max(map(len, overlap.there))} words on end of {what} are in it"
    share = f"{min(99, int(100 * overlap.share + _ROUNDING))} % of {what} is in it"
    return f"{share}, by the weight of its rare words" if rule.weighed else share


def _spans(of: Iterable[Part], runs: Iterable[range], label: str) -> tuple[Span, ...]:
    """The characters of runs of words, as these are counted in an Overlap."""
    words: list[tuple[str, int, int]] = []
    for part in of:
        words += [(part.where, *word.span()) for word in WORD.finditer(part.text)]
        words.append((part.where, len(part.text), len(part.text)))
    return tuple(
        Span(words[run.start][0], words[run.start][1], words[run.stop - 1][2], label)
        for run in runs
    )
