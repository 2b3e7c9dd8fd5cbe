"""The adapter: rank, scale, modules, variants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from workbench.config import experts
from workbench.config.advice.case import Case
from workbench.config.advice.rule import Found, Topic
from workbench.config.circumstances import TRAIN
from workbench.config.lora import ALL_LINEAR
from workbench.config.parts import part_of
from workbench.config.trained import trained_tensors
from workbench.errors import WorkbenchError

TOPIC = Topic("Adapter")

_SCALES = (0.25, 4.0)
_RANKS = (8, 64)
_HIGH_RANK = 64
_LARGEST_RANK = 256
_ALPHAS = 4096
"""The bound of lora.alpha."""


def _alpha(case: Case, rank: int | None = None) -> int:
    """The alpha that gives a scale of 2."""
    lora = case.config.lora
    rank = rank or lora.rank
    return max(1, round(2 * (math.sqrt(rank) if lora.rslora else rank)))


def _unusual_scale(case: Case) -> bool:
    return not _SCALES[0] <= case.scale <= _SCALES[1]


@TOPIC.rule(
    "scale-out-of-the-ordinary",
    "warning",
    "lora.alpha",
    when="a scale (alpha/rank; with rsLoRA alpha/sqrt(rank)) under 0.25 or over 4",
    why="The update is multiplied by it, so it acts on the step's size as the learning rate does. "
    "LoRA Without Regret keeps alpha at 32 at ranks up to 512, the one well-known exception.",
    source="defaults of 14 libraries: alpha/rank from 0.25 (QLoRA, 64/16) to 4 (ms-swift, 8/32)",
    mend="the alpha that makes it 2",
)
def _scale(case: Case) -> Iterator[Found]:
    lora = case.config.lora
    if case.is_lora and _unusual_scale(case):
        divisor = f"sqrt({lora.rank})" if lora.rslora else f"{lora.rank}"
        text = f"The adapter's scale is {lora.alpha}/{divisor} = {case.scale:.3g}."
        yield Found(text, (f"lora.alpha={_alpha(case)}",))


@TOPIC.rule(
    "alpha-against-rank",
    "hint",
    "lora.alpha",
    when="lora.alpha is not twice lora.rank, without rsLoRA, where the scale is in 0.25 to 4",
    why="Twice the rank is what most take with a rate of 2e-4; another scale wants another rate.",
    source="2 x rank: LLaMA-Factory, TRL, AutoTrain, LitGPT; 1 x rank: PEFT, Unsloth",
    mend="twice the rank",
)
def _alpha_rank(case: Case) -> Iterator[Found]:
    lora = case.config.lora
    plain = case.is_lora and not lora.rslora and not _unusual_scale(case)
    if plain and lora.alpha != 2 * lora.rank and not _is_high(case):
        text = f"alpha {lora.alpha} is {lora.alpha / lora.rank:.3g} times the rank {lora.rank}."
        yield Found(text, (f"lora.alpha={_alpha(case)}",))


def _is_high(case: Case) -> bool:
    """Whether the rule of high ranks speaks, whose fix sets alpha, too."""
    return case.is_lora and case.config.lora.rank >= _HIGH_RANK and not case.config.lora.rslora


def _trained_tokens(case: Case) -> int | None:
    """Of all training rows; None where nobody measured them."""
    lengths = case.lengths_of(TRAIN)
    return lengths.trained_tokens if lengths else None


def _is_too_small(case: Case) -> bool:
    """Whether the adapter has fewer numbers than there are trained tokens."""
    tokens = _trained_tokens(case)
    return bool(tokens and case.trained and case.trained.parameters < tokens)


@TOPIC.rule(
    "rank-too-low",
    "hint",
    "lora.rank",
    when="lora.rank under 8",
    why="8 to 64 are usual; a lower rank saves little memory and may lack room for what is to be "
    "learnt.",
    source="defaults: H2O 4, PEFT and LLaMA-Factory 8, TRL 16, QLoRA and Unsloth's command line 64",
    mend="16, alpha along with it",
)
def _low_rank(case: Case) -> Iterator[Found]:
    if case.is_lora and case.config.lora.rank < _RANKS[0] and not _is_too_small(case):
        text = f"Rank {case.config.lora.rank}."
        yield _if_it_fits(case, text, {"rank": 16}, _rank(case, 16))


def _if_it_fits(case: Case, text: str, values: dict[str, Any], fix: tuple[str, ...]) -> Found:
    """What is found, with a fix that takes more memory where that is there."""
    share = case.share(case.foretold(lora=values))
    if fix and (share is None or share <= 1 or (case.share(case.forecast) or 0) > 1):
        return Found(text, fix)
    return Found(text, do="It takes more memory than is free: make room first, or leave it.")


def _rank(case: Case, rank: int) -> tuple[str, str]:
    return (f"lora.rank={rank}", f"lora.alpha={min(_ALPHAS, _alpha(case, rank))}")


@TOPIC.rule(
    "rank-high",
    "hint",
    "lora.rank",
    when="lora.rank over 64, unless half of it would have fewer numbers than there are trained "
    "tokens",
    why="8 to 64 are usual; a higher rank pays where the data is larger than the adapter, and "
    "costs memory, time and disk everywhere.",
    source="Zhang et al., When Scaling Meets LLM Finetuning, ICLR 2024: more adapter parameters "
    "help little; LoRA Without Regret, 2025: up to 256 for large sets",
    mend="64, alpha along with it",
)
def _high(case: Case) -> Iterator[Found]:
    rank, tokens = case.config.lora.rank, _trained_tokens(case)
    if not case.is_lora or rank <= _RANKS[1]:
        return
    text = f"Rank {rank}"
    if case.trained:
        numbers = case.trained.parameters
        text += f": {numbers:,} trained parameters"
        if tokens is not None:
            text += f" for {tokens:,} trained tokens"
            if numbers / 2 < tokens:
                return
    yield Found(f"{text}.", _rank(case, _RANKS[1]))


@TOPIC.rule(
    "high-rank-without-rslora",
    "hint",
    "lora.rslora",
    when="lora.rank of 64 or more without rsLoRA",
    why="With alpha/rank the adapter's gradients shrink as the rank grows; alpha/sqrt(rank) keeps "
    "them. In PEFT's own comparison rsLoRA at rank 64 did best, 51.3 % against 47.4 % (their "
    "scales differ, too).",
    source="rsLoRA, 2023 (Kalajdzievski); PEFT, method_comparison/MetaMathQA; LoRA Without Regret, "
    "2025, does well without at up to 512",
    mend="rsLoRA, with the alpha that makes the scale 2",
)
def _rslora(case: Case) -> Iterator[Found]:
    if _is_high(case):
        rank = case.config.lora.rank
        alpha = round(2 * math.sqrt(rank))
        text = f"Rank {rank} with a scale of alpha/rank, {case.scale:.3g}."
        yield Found(text, ("lora.rslora=true", f"lora.alpha={alpha}"))


@TOPIC.rule(
    "adapter-smaller-than-data",
    "hint",
    "lora.rank",
    when="fewer trained parameters than trained tokens in the training rows (where a verdict "
    "counted them)",
    why="An adapter with fewer numbers than the data has trained tokens may run out of room: its "
    "loss then falls behind full fine-tuning's.",
    source="LoRA Without Regret, 2025, and Thinking Machines' LoRA primer: parameters >= trained "
    "tokens, roughly",
    mend="the lowest rank of 32, 64, 128, 256 that has room; none for larger sets",
)
def _too_small(case: Case) -> Iterator[Found]:
    tokens, lora = _trained_tokens(case), case.config.lora
    if not case.is_lora or not _is_too_small(case) or tokens is None or case.trained is None:
        return
    text = f"{case.trained.parameters:,} trained parameters for {tokens:,} trained tokens."
    a_rank = case.trained.parameters / lora.rank
    wide = [r for r in (32, 64, 128, _LARGEST_RANK) if r > lora.rank and a_rank * r >= tokens]
    fits = [rank for rank in wide if _has_room(case, rank, tokens)]
    if fits:
        yield Found(text, _rank(case, fits[0]))
    else:
        yield Found(text, do="training.method=full has room for all of it, where memory does.")


def _has_room(case: Case, rank: int, tokens: int) -> bool:
    """Whether an adapter of this rank has as many numbers as tokens, and memory has room."""
    changed = case.with_values(lora={"rank": rank})
    if changed is None or case.known.base is None:
        return False
    if trained_tensors(changed, case.known.base, case.known.new_ids).parameters < tokens:
        return False
    share = case.share(case.foretold(lora={"rank": rank}))
    return share is None or share <= 1


@TOPIC.rule(
    "target-modules-match-nothing",
    "error",
    "lora.target_modules",
    when="none of the base's modules has a name in lora.target_modules",
    why="There would be nothing to put an adapter on, and the start is refused.",
    source="the names in the base's safetensors headers",
    mend="all-linear",
)
def _no_targets(case: Case) -> Iterator[Found]:
    if case.is_lora and case.known.base and (told := _refusal(case, whole=False)):
        reason = told.message.partition("can't be used: ")[2] or told.message
        yield Found(f"{reason} {told.hint}", _all_linear(case))


@TOPIC.rule(
    "modules-to-save-match-nothing",
    "error",
    "lora.modules_to_save",
    when="a name in lora.modules_to_save is none of the base's modules",
    why="The start is refused.",
    source="the names in the base's safetensors headers",
    mend="none of them",
)
def _no_whole(case: Case) -> Iterator[Found]:
    if case.is_lora and not _refusal(case, whole=False) and (told := _refusal(case, whole=True)):
        yield Found(told.message, ("lora.modules_to_save=",))


def _refusal(case: Case, *, whole: bool) -> WorkbenchError | None:
    """Why the modules can't be had: of those with an adapter, or with those trained `whole`."""
    if case.trained or case.known.base is None:
        return None
    config = case.config
    if not whole:
        changed = case.with_values(lora={"modules_to_save": []})
        config = changed or config
    try:
        trained_tensors(config, case.known.base, case.known.new_ids)
    except WorkbenchError as error:
        about = "lora.modules_to_save" if whole else "lora.target_modules"
        return error if error.message.startswith(about) else None
    return None


@TOPIC.rule(
    "target-module-unknown",
    "warning",
    "lora.target_modules",
    when="some of the names in lora.target_modules are none of the base's modules, and others are",
    why="PEFT passes over a name that matches nothing as long as another one matches: part of the "
    "adapter that was asked for is missing.",
    source="PEFT: inject_adapter raises only where no module matches",
    mend="the names that match",
)
def _unknown_target(case: Case) -> Iterator[Found]:
    wanted, base = case.config.lora.target_modules, case.known.base
    if not case.is_lora or base is None or not isinstance(wanted, list) or not case.trained:
        return
    modules = {weight.module for weight in base.weights if not base.is_expert(weight)}
    found = experts.named(wanted, base.family).modules
    absent = [name for name in found if not any(_is_named(m, name) for m in modules)]
    kept = [name for name in wanted if name not in absent]
    if absent and kept:
        names = ", ".join(sorted(absent))
        there = ", ".join(sorted({w.own for w in base.linear}))
        text = f"The base has no module {names}; its linear layers are {there}."
        yield Found(text, (f"lora.target_modules={', '.join(kept)}",))


def _is_named(module: str, name: str) -> bool:
    return module == name or module.endswith(f".{name}")


@TOPIC.rule(
    "attention-only",
    "hint",
    "lora.target_modules",
    when="only modules of attention get an adapter",
    why="An adapter on attention alone learns less than one on the MLPs, even with a rank that "
    "gives it as many parameters; on all linear layers it does best.",
    source="LoRA Without Regret, 2025; QLoRA, 2023: all linear layers match full fine-tuning",
    mend="all-linear",
)
def _attention_only(case: Case) -> Iterator[Found]:
    if not case.is_lora:
        return
    wanted = case.config.lora.target_modules
    only = wanted == "attention"
    if case.trained and case.known.base:
        layers = {weight.module for weight in case.known.base.linear}
        has_mlp = any(part_of(module) == "mlp" for module in layers)
        parts = {part_of(module) for module in case.trained.adapted}
        only = parts == {"attention"} and has_mlp and not case.trained.experts
    if only:
        named = wanted if isinstance(wanted, str) else ", ".join(wanted)
        text = f"{named}: no MLP gets an adapter."
        yield _if_it_fits(case, text, {"target_modules": ALL_LINEAR}, _all_linear(case))


def _all_linear(case: Case) -> tuple[str, ...]:
    changed = case.with_values(lora={"target_modules": ALL_LINEAR})
    return ("lora.target_modules=all-linear",) if changed else ()


@TOPIC.rule(
    "dropout-turns-off-fast-path",
    "hint",
    "lora.dropout",
    when="dropout on an adapter that could do without PEFT's own forward: no quantisation, no DoRA",
    why="With dropout each adapter goes through PEFT's own layer and keeps an input of its own, "
    "instead of one fused product. Against overfitting fewer epochs do more.",
    source="training/fast_lora.py; PEFT's default is 0; peers: 0 to 0.1",
    mend="0",
)
def _dropout(case: Case) -> Iterator[Found]:
    lora = case.config.lora
    if not case.is_lora or not lora.dropout or lora.dora or case.quantised:
        return
    text = f"Dropout of {lora.dropout:g}."
    now, without = case.forecast, case.foretold(lora={"dropout": 0.0})
    if now and without and now.total > without.total:
        more = (now.total - without.total) / 2**20
        text = f"Dropout of {lora.dropout:g} takes {more:,.0f} MiB by the forecast."
    yield Found(text, ("lora.dropout=0",))


@TOPIC.rule(
    "dora-is-slower",
    "hint",
    "lora.dora",
    when="lora.dora",
    why="In PEFT's comparison DoRA took 26 % more time than LoRA at the same rank, and was no "
    "better (46.9 % against 47.8 %); its paper finds a gain at low ranks.",
    source="PEFT, method_comparison/MetaMathQA (Llama-3.2-3B, rank 32); DoRA, 2024 (Liu et al.)",
    mend="off",
)
def _dora(case: Case) -> Iterator[Found]:
    if case.is_lora and case.config.lora.dora:
        yield Found("lora.dora is on.", ("lora.dora=false",))


@TOPIC.rule(
    "adapter-in-bfloat16",
    "hint",
    "lora.dtype",
    when="lora.dtype of bfloat16",
    why="bfloat16 has 8 bits of precision: an update under 1/256 of a weight is often none at all.",
    source="PEFT: autocast_adapter_dtype holds adapters in float32, half precision gives slightly "
    "worse loss; TRL casts QLoRA's to bfloat16",
    mend="float32",
)
def _bfloat16(case: Case) -> Iterator[Found]:
    if not case.is_lora or case.config.lora.dtype != "bfloat16":
        return
    text, fix = "The adapter's weights are in bfloat16.", ("lora.dtype=float32",)
    now, other = case.forecast, case.foretold(lora={"dtype": "float32"})
    if now and other and other.total > now.total:
        saved = (other.total - now.total) / 2**20
        text = f"The adapter's weights are in bfloat16, which saves {saved:,.0f} MiB."
        if (case.share(other) or 0) > 1:
            return
    yield Found(text, fix)
