"""The rows: the cutoff, the template, packing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from workbench.config.advice.case import Case
from workbench.config.advice.rule import Found, Topic
from workbench.config.circumstances import TRAIN
from workbench.data.verdict_findings import LOST, LOST_SHARE

TOPIC = Topic("Rows and cutoff")

_STEP = 64
"""Cutoffs that are advised are multiples of it, in tokens."""
_UNEVEN = 1.5
"""Times as many tokens as the median that the 90th percentile has in uneven rows."""


def _up(tokens: int) -> int:
    return -(-tokens // _STEP) * _STEP


def _for_all(case: Case) -> int | None:
    """The smallest cutoff that no row is longer than, where the base's context and the memory
    have room for it."""
    longest = case.longest
    if longest is None:
        return None
    context = case.known.base.context if case.known.base else None
    if context is not None and longest > context:
        return None
    cutoff = min(_up(longest), context or _up(longest))
    share = case.share(case.foretold(data={"max_length": cutoff}))
    return None if share is not None and share > 1 else cutoff


def _for_most(case: Case) -> int | None:
    """The smallest cutoff over which there is 1 % of the rows at most."""
    if not case.lengths:
        return None
    cutoff = _up(max(lengths.percentile(0.99) for lengths in case.lengths))
    context = case.known.base.context if case.known.base else None
    if context is not None and cutoff > context:
        return None
    share = case.share(case.foretold(data={"max_length": cutoff}))
    return None if share is not None and share > 1 else cutoff


def _cutoffs(case: Case) -> str:
    """The lengths that a cutoff is chosen by, in words."""
    spread = [lengths.percentile(0.99) for lengths in case.lengths]
    return f"The 99th percentile is {max(spread):,} tokens, the longest row {case.longest:,}."


@TOPIC.rule(
    "too-long-rows-stop-the-start",
    "error",
    "data.max_length",
    when="data.too_long is refuse, all rows are used, and some have more than data.max_length "
    "tokens",
    why="The start is refused.",
    source="the dataset's verdict; data.too_long",
    mend="the smallest multiple of 64 that no row is over, if context and memory have room; else "
    "these rows are left out (too_long=drop)",
)
def _refused(case: Case) -> Iterator[Found]:
    cut = sum(kept.cut for kept in case.kept())
    if case.config.data.too_long != "refuse" or case.limited or not cut:
        return
    text = f"{_rows(cut)} over data.max_length, {case.config.data.max_length:,} tokens."
    yield Found(f"{text} {_cutoffs(case)}", *_whole_rows(case))


_SHORTER = "Cut the rows themselves into shorter ones, or take a base with room for them."


def _whole_rows(case: Case) -> tuple[tuple[str, ...], str]:
    """Settings under which no row is cut, and what to do where there are none."""
    if cutoff := _for_all(case):
        return (f"data.max_length={cutoff}",), ""
    # A row that is left out teaches nothing wrong; one that is cut teaches to break off.
    if _some_are_left(case, case.config.data.max_length):
        return ("data.too_long=drop",), ""
    return (), _SHORTER


def _some_are_left(case: Case, cutoff: int) -> bool:
    """Whether there are training rows that are no longer than a cutoff."""
    lengths = case.lengths_of(TRAIN)
    return lengths is None or lengths.at(cutoff, "drop").rows_kept > 0


def _rows(count: int) -> str:
    return f"{count:,} row is" if count == 1 else f"{count:,} rows are"


def _lost(case: Case) -> tuple[int, int]:
    """Rows that lose a part of their response by being cut, or all of it, and all rows."""
    kept = case.kept() if case.config.data.too_long == "truncate" else []
    return sum(k.partly_lost + k.wholly_lost for k in kept), sum(k.rows for k in kept)


def _loss(case: Case) -> str:
    """What is lost, in words."""
    kept = case.kept()
    cut, wholly = sum(k.cut for k in kept), sum(k.wholly_lost for k in kept)
    partly = sum(k.partly_lost for k in kept)
    tokens = sum(k.tokens - k.tokens_kept for k in kept)
    trained = sum(k.trained_tokens - k.trained_kept for k in kept)
    return (
        f"At {case.config.data.max_length:,} tokens {cut:,} of {sum(k.rows for k in kept):,} rows "
        f"are cut: {tokens:,} tokens are lost, {trained:,} of them trained; {partly:,} answers "
        f"lose their end, {wholly:,} are lost whole. {_cutoffs(case)}"
    )


@TOPIC.rule(
    "cutoff-loses-answers",
    ("error", "hint"),
    "data.max_length",
    when="rows are truncated, and over 1 % of them lose a part of their response or all of it; a "
    f"hint at up to 1 %, or where `accept` names {LOST}",
    why="An answer without its end teaches to break off: the end marker is gone.",
    source="the dataset's verdict; a cutoff at the 99th percentile is what peers advise",
    mend="the smallest multiple of 64 that no row is over, if context and memory have room; else "
    "longer rows are left out",
)
def _loses(case: Case) -> Iterator[Found]:
    lost, rows = _lost(case)
    refused = lost > LOST_SHARE * rows and LOST not in case.config.accept
    if lost:
        text = f"{_loss(case)}{' The start is refused.' if refused else ''}"
        yield Found(text, *_whole_rows(case), severity="error" if refused else "hint")


@TOPIC.rule(
    "cutoff-leaves-rows-out",
    "warning",
    "data.max_length",
    when="over 1 % of the rows are longer than data.max_length, and left out (too_long=drop)",
    why="What is only in long rows is then never learnt; a cutoff at the 99th percentile leaves "
    "out 1 %.",
    source="the dataset's verdict; LLaMA-Factory truncates, Axolotl and ms-swift drop",
    mend="the smallest multiple of 64 that no row is over, if context and memory have room; else "
    "the one that 1 % are over",
)
def _leaves_out(case: Case) -> Iterator[Found]:
    kept = case.kept() if case.config.data.too_long == "drop" else []
    cut, rows = sum(k.cut for k in kept), sum(k.rows for k in kept)
    if not rows or cut <= LOST_SHARE * rows:
        return
    tokens = sum(k.trained_tokens - k.trained_kept for k in kept)
    text = f"{cut:,} of {rows:,} rows are left out, and {tokens:,} trained tokens with them."
    cutoff = _for_all(case) or _for_most(case)
    fix = (f"data.max_length={cutoff}",) if cutoff else ()
    yield Found(f"{text} {_cutoffs(case)}", fix, "" if cutoff else _SHORTER)


@TOPIC.rule(
    "cutoff-above-context",
    "warning",
    "data.max_length",
    when="data.max_length, and the longest row where a verdict knows it, have more tokens than the "
    "base's context",
    why="What stands behind it in a row is at places that the base never saw.",
    source="max_position_embeddings of the base's config.json",
    mend="the context; rows over it are left out",
)
def _above_context(case: Case) -> Iterator[Found]:
    context = case.known.base.context if case.known.base else None
    cutoff, longest = case.config.data.max_length, case.longest
    if context is None or min(cutoff, longest or cutoff) <= context:
        return
    text = f"data.max_length is {cutoff:,} tokens, and the base was made for {context:,}."
    if longest:
        text += f" The longest row has {longest:,}."
    if longest and not _some_are_left(case, context):
        yield Found(text, do=_SHORTER)
        return
    fix = [f"data.max_length={context}"]
    if longest and case.config.data.too_long != "drop":
        fix.append("data.too_long=drop")
    yield Found(text, tuple(fix))


@TOPIC.rule(
    "no-training-rows",
    "error",
    "data.dataset",
    when="no row is left to train on",
    why="There is nothing to learn from.",
    source="the dataset version",
)
def _no_rows(case: Case) -> Iterator[Found]:
    if case.known.dataset and not case.rows:
        text = f"{case.known.dataset.reference} has no training row"
        if case.known.dataset.train:
            text += f" of at most {case.config.data.max_length:,} tokens"
        yield Found(f"{text}.", do="Raise data.max_length, or choose another version.")


@TOPIC.rule(
    "template-without-system",
    "error",
    "data.dataset",
    when="the rows have system turns, and the base's chat template doesn't write what they say",
    why="A row whose system turn is left out is refused, and with it the start.",
    source="the chat template, tried on a system turn; data/template.py",
)
def _no_system(case: Case) -> Iterator[Found]:
    dataset, template = case.known.dataset, case.known.template
    if dataset and template and template.chat and dataset.systems and not template.system:
        turns = "1 system turn" if dataset.systems == 1 else f"{dataset.systems:,} system turns"
        yield Found(
            f"{dataset.reference} has {turns}.",
            do="Put a template that writes them into chat_template.jinja of a copy of the base's "
            "folder, or import the rows with the system text in the first question.",
        )


@TOPIC.rule(
    "no-chat-template",
    "error",
    "model.base",
    when="the base has no chat template, and the rows are conversations",
    why="Conversations can't be written for it, and the start is refused.",
    source="chat_template.jinja and tokenizer_config.json of the base",
)
def _no_template(case: Case) -> Iterator[Found]:
    dataset, template = case.known.dataset, case.known.template
    if dataset is None or template is None or template.chat:
        return
    talks = dataset.train + dataset.validation - dataset.plain_texts
    if talks > 0:
        yield Found(
            f"{case.config.model.base} has no chat template, and {talks:,} rows are conversations.",
            do="Name the sibling that was tuned on conversations (-Instruct, -it), or put a "
            "template into chat_template.jinja of a copy of the base's folder.",
        )


@TOPIC.rule(
    "plain-texts-on-chat-model",
    "hint",
    "model.base",
    when="all rows are plain texts, and the base has a chat template",
    why="Trained on text alone a chat model forgets to answer; some conversations mixed in keep "
    "it, or a base that was never tuned on them has nothing to forget.",
    source="Scialom et al., Fine-tuned Language Models are Continual Learners, 2022: 1 % of "
    "rehearsal keeps earlier tasks",
)
def _plain_texts(case: Case) -> Iterator[Found]:
    dataset, template = case.known.dataset, case.known.template
    if dataset is None or template is None or not template.chat or not dataset.plain_texts:
        return
    if dataset.plain_texts >= dataset.train + dataset.validation:
        yield Found(
            f"All {dataset.plain_texts:,} rows are plain texts.",
            do="`workbench data mix` mixes conversations in.",
        )


@TOPIC.rule(
    "pad-ends-answers",
    "hint",
    "model.base",
    when="the tokenizer pads with a token that ends answers, or has no padding token",
    why="Elsewhere that masks the end of answers and makes a model that never stops. Not here: "
    "padding is told by its place, and every answer's end is trained. Mind it in other trainers.",
    source="TRL issue 1623, Unsloth issue 416; data/masking.py, training/batches.py",
)
def _pad(case: Case) -> Iterator[Found]:
    if case.known.template and case.known.template.pad_ends:
        yield Found(
            "The base pads with a token that ends answers.", do="Nothing needs to be done here."
        )


@TOPIC.rule(
    "packing-off",
    "hint",
    "training.packing",
    when="packing is off, batches have several rows, and their lengths are uneven: the 90th "
    "percentile over 1.5 times the median",
    why="Padded to the longest of its batch, a row costs what that one costs. Packed rows see none "
    "of each other here, and a step has the same examples and the same update.",
    source="training/batches.py; TRL pull request 3526: 3.7x on uneven rows",
    mend="on",
)
def _packing(case: Case) -> Iterator[Found]:
    lengths = case.lengths_of(TRAIN)
    if case.config.training.packing or lengths is None or case.rows_at_once == 1:
        return
    middle, high = lengths.percentile(0.5), lengths.percentile(0.9)
    if high > _UNEVEN * middle:
        text = f"Half of the rows have up to {middle:,} tokens, a tenth over {high:,}."
        yield Found(text, ("training.packing=true",))


def split_command(case: Case, share: str = "0.1") -> str:
    """The command that makes a version with rows held out."""
    name = case.known.dataset.reference if case.known.dataset else case.config.data.dataset
    return f"`workbench data split {shlex.quote(name)} --validation {share}`"
