"""What is wrong with one output of a model, or with several beside each other.

A mark has the figure that it rests on; `RULES` has each limit with its source. Those that are
`ours` were chosen so that they stay silent on real responses: `docs/monitor.md` has how often they
don't. A note (`opening`, `cut`, `refusal`) is no degeneration: it may be
just what is wanted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbench.data.curate import echoes, refusals, repetition
from workbench.data.curate.habits import edges
from workbench.data.curate.responses import is_empty
from workbench.data.curate.words import quoted
from workbench.degeneration import measures
from workbench.text import visible

FEWEST_WORDS = 20
"""Of a text that rep-4 and distinct-n say something about: `yes yes` is half a repetition."""
REP_4 = 1 / 3
GOPHER = 2.0
"""Times Gopher's limits, as the check of a dataset's responses has it."""
COMPRESSION = 3.0
DISTINCT_1 = 0.2
DISTINCT_2 = 0.33
DISTINCT_WINDOW = 50
"""Words: distinct-n falls with the length of a text, so it is that of the worst 50 in a row."""
LOOP_TIMES = 3
LOOP_CHARACTERS = 20
OPENING_OUTPUTS = 3
OPENING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Rule:
    """What a mark stands for."""

    name: str
    letter: str
    """Upper case for degeneration, lower case for a note."""
    what: str
    limit: str
    source: str

    @property
    def note(self) -> bool:
        """Whether it may be just what is wanted."""
        return self.letter.islower()


@dataclass(frozen=True, slots=True)
class Mark:
    """Something wrong with an output, or worth a note."""

    name: str
    """That of its rule."""
    reason: str
    """One line, with its figure; what it quotes of the output has its control characters shown."""
    value: float | None = None

    @property
    def rule(self) -> Rule:
        return RULES[self.name]

    @property
    def letter(self) -> str:
        return self.rule.letter

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "letter": self.letter, "note": self.rule.note}


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("empty", "E", "says nothing", "no word, no sign", "the check of responses"),
        Rule(
            "loop",
            "L",
            "a phrase is repeated to the end",
            f"{LOOP_TIMES} times, {LOOP_CHARACTERS} characters",
            "ours: Holtzman et al. 2020 show the loop, without a limit; no real response has one",
        ),
        Rule(
            "repeated",
            "R",
            "runs of four words that were there before",
            f"rep-4 above {REP_4:.2f}, from {FEWEST_WORDS} words",
            "measure: Welleck et al. 2020; limit ours: beyond every worked sum of GSM8K",
        ),
        Rule(
            "gopher",
            "G",
            "Gopher's rules against repetition",
            f"{GOPHER:g} times its limits, from {repetition.FEWEST_WORDS} words",
            "Rae et al. 2021, table A1; the factor is that of the check of responses",
        ),
        Rule(
            "compressible",
            "Z",
            "compresses too well",
            f"{COMPRESSION:g} times, of the best {measures.WINDOW} bytes",
            "measure: Radford et al. 2022 (Whisper), limit 2.4; ours: 1.1 % of GSM8K is above that",
        ),
        Rule(
            "few-words",
            "D",
            "the same few words",
            f"distinct-1 below {DISTINCT_1:g} or distinct-2 below {DISTINCT_2:g} in "
            f"{DISTINCT_WINDOW} words, from {FEWEST_WORDS}",
            "measure: Li et al. 2016; limits ours: below all but a few real responses",
        ),
        Rule(
            "echo",
            "P",
            "repeats its prompt",
            "all of the prompt's words at its beginning, or nothing else than 80 %",
            "the check of responses",
        ),
        Rule(
            "leak",
            "K",
            "a token of a chat template, or the next turn",
            "one",
            "ours: <|…|>, [INST], ### Response:, a turn's role alone on a line; not what the "
            "prompt has, too",
        ),
        Rule(
            "broken",
            "X",
            "control characters, or bytes that are no text",
            "one",
            "Unicode: categories Cc and Cs, U+FFFD; not the last one of a cut answer",
        ),
        Rule(
            "opening",
            "t",
            "opens as other answers do",
            f"4 or 8 words in {OPENING_OUTPUTS} answers and {OPENING_SHARE:.0%} of them, unless "
            "their references do so, too",
            "ours, after the check of responses",
        ),
        Rule(
            "cut",
            "c",
            "ends at the longest length, not by itself",
            "no end token",
            "the generation itself",
        ),
        Rule(
            "refusal",
            "f",
            "opens with a refusal",
            "by its first words",
            "the check of responses",
        ),
    )
}

_LEAK = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>"
    r"|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[PAD\]"
    r"|^#{2,3} (?:Instruction|Response|Input|Human|Assistant|User|System):"
    r"|^(?:USER|ASSISTANT|Human|Assistant):(?=\s)"
    r"|^(?:system|user|assistant)$",
    re.MULTILINE,
)
_BROKEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ufffe\uffff\ud800-\udfff]")


def marks(
    text: str, *, prompt: str = "", stopped: bool | None = None, tokens: int | None = None
) -> tuple[Mark, ...]:
    """What is wrong with one output, in the order of `RULES`.

    `stopped` is whether it ended by itself, None where that isn't known; `tokens` is how many it
    has. A text of 2,000 words takes some 30 ms.
    """
    found = [*_of_text(text, prompt, stopped)]
    if stopped is False:
        length = f"at {tokens:,} tokens" if tokens else "at the longest length"
        found.append(Mark("cut", f"still going on {length}", tokens))
    if refused := refusals.refusal(text):
        start, end, kind = refused
        found.append(Mark("refusal", f"{kind}: “{_quoted(text[start:end])}”"))
    return tuple(found)


def beside(texts: Sequence[str], references: Sequence[str] = ()) -> list[tuple[Mark, ...]]:
    """What is wrong with each of several outputs to different prompts only beside the others: that
    they open with the same words. `references` are what the data answers, if it is known."""
    keys = [_openings(text) for text in texts]
    counts = Counter(key for found in keys for key in found)
    usual = Counter(key for reference in references for key in _openings(reference))
    least = max(OPENING_OUTPUTS, OPENING_SHARE * len(texts))
    shared = {
        key
        for key, count in counts.items()
        if count >= least and not (references and usual[key] >= OPENING_SHARE * len(references))
    }
    return [
        next(((_opening(key, counts[key], len(texts)),) for key in found if key in shared), ())
        for found in keys
    ]


def letters(found: Sequence[Mark]) -> str:
    """The marks of an output in a cell: `LRZc`; `·` without one."""
    return "".join(mark.letter for mark in found) or "·"


def degenerate(found: Sequence[Mark]) -> bool:
    """Whether any of the marks is more than a note."""
    return any(not mark.rule.note for mark in found)


def _of_text(text: str, prompt: str, stopped: bool | None) -> Iterator[Mark]:
    if is_empty(text):
        yield Mark("empty", f"only “{_quoted(text)}”" if text.strip() else "nothing at all")
        return
    yield from _repeating(text)
    if prompt and (echo := echoes.echo(prompt, text)):
        yield Mark("echo", f"{echo[2]:.0%} of the prompt's words", echo[2])
    yield from _leaked(text, prompt)
    # The bytes of a last character may have been cut with the rest.
    whole = text if stopped else text.rstrip("\ufffd")
    if broken := _BROKEN.findall(whole):
        kinds = ", ".join(f"U+{ord(sign):04X}" for sign in sorted(set(broken))[:3])
        reason = f"{len(broken):,} control or broken characters: {kinds}"
        yield Mark("broken", reason, float(len(broken)))


def _repeating(text: str) -> Iterator[Mark]:
    loop = measures.loop(text)
    if loop and loop.times >= LOOP_TIMES and loop.times * len(loop.phrase) >= LOOP_CHARACTERS:
        times = f"{loop.times:,.1f}".removesuffix(".0")
        yield Mark("loop", f"“{_quoted(loop.phrase)}” {times} times to the end", loop.times)
    words = measures.words(text)
    if len(words) >= FEWEST_WORDS and (rep := measures.rep(words, 4)) > REP_4:
        yield Mark("repeated", f"rep-4 {rep:.2f}", rep)
    if worst := repetition.worst(text, GOPHER):
        rule = visible(worst.rule, one_line=True)
        yield Mark("gopher", f"{worst.share:.0%} of its {rule}", worst.share)
    if (ratio := measures.compression(text)) > COMPRESSION:
        yield Mark("compressible", f"{ratio:.1f} times by zlib", ratio)
    if len(words) >= FEWEST_WORDS:
        yield from _few_words(words)


def _few_words(words: list[str]) -> Iterator[Mark]:
    starts = range(0, max(1, len(words) - DISTINCT_WINDOW // 2), DISTINCT_WINDOW // 2)
    windows = [words[start : start + DISTINCT_WINDOW] for start in starts]
    one, two = (min(measures.distinct(window, n) for window in windows) for n in (1, 2))
    if one < DISTINCT_1 or two < DISTINCT_2:
        reason = f"distinct-1 {one:.2f}, distinct-2 {two:.2f}"
        yield Mark("few-words", reason, one)


def _leaked(text: str, prompt: str) -> Iterator[Mark]:
    found = [leak[0] for leak in _LEAK.finditer(text) if leak[0] not in prompt]
    if found:
        more = f", and {len(found) - 1:,} more" if len(found) > 1 else ""
        yield Mark("leak", f"“{_quoted(found[0])}” of a chat template{more}", float(len(found)))


def _openings(text: str) -> list[str]:
    """The words that a text opens with, more of them first."""
    return [edge.words for edge in edges(text) if not edge.closing]


def _opening(words: str, count: int, of: int) -> Mark:
    reason = f"{count} of {of} answers open with “{_quoted(words)}”"
    return Mark("opening", reason, count / of)


def _quoted(text: str) -> str:
    return visible(quoted(text), one_line=True)
