"""Answers a second of workbench and of a plain `generate` row by row, side by side.

All answer the same prompts of a file of questions greedily, by the same model in one process, and
take turns within each round. Printed are, for each, the median over the rounds of tokens a second
by the clock and by processor time, with its ratio to the plain one in the same round; and of how
many rows the tokens are the same.

    python benchmarks/generation.py --model DIR --data FILE.jsonl [--field question] [--rows 32]
        [--max-new-tokens 128] [--rounds 3] [--batch 8 32] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from workbench.training import start_up  # noqa: F401

# isort: split

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from workbench.data.example import Message
from workbench.data.template import ChatTemplate
from workbench.evaluation.answers import Prompt, Sampling, prompts
from workbench.evaluation.generate import Budget, generate, settings
from workbench.training.model import quieten

PLAIN = "plain generate, row by row"
Texts = list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--field", default="question")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    quieten()
    if args.threads:
        torch.set_num_threads(args.threads)
    template = ChatTemplate.load(args.model)
    model: Any = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype))
    model.eval()
    with args.data.open(encoding="utf-8") as stream:
        said = [json.loads(line)[args.field] for line in islice(stream, args.rows)]
    asked = prompts([template.prompt_ids([Message("user", text)]) for text in said])
    sampling = Sampling(args.max_new_tokens)
    contenders: dict[str, Callable[[], Texts]] = {
        PLAIN: lambda: _plain(model, template, asked, sampling)
    }
    for rows in args.batch:
        contenders[f"workbench, {rows} rows at once"] = lambda rows=rows: _ours(
            model, template, asked, sampling, rows
        )
    _compare(contenders, args.rounds, template)


def _plain(model: Any, template: ChatTemplate, asked: list[Prompt], sampling: Sampling) -> Texts:
    """As anybody would write it."""
    chosen = GenerationConfig(**settings(template, sampling))
    texts = []
    for prompt in asked:
        ids = torch.tensor([prompt.ids])
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=chosen
        )
        texts.append(template.decode(output[0, ids.shape[1] :].tolist()))
    return texts


def _ours(
    model: Any, template: ChatTemplate, asked: list[Prompt], sampling: Sampling, rows: int
) -> Texts:
    budget = Budget.of(model, rows)
    found = {p.key: a.text for p, a in generate(model, template, asked, sampling, budget)}
    return [found[prompt.key] for prompt in asked]


def _compare(
    contenders: dict[str, Callable[[], Texts]], rounds: int, template: ChatTemplate
) -> None:
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    said: dict[str, Texts] = {}
    for number in range(rounds):
        # Whoever is first meets a cooler machine.
        order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in order:
            wall, processor = time.perf_counter(), time.process_time()
            said[name] = contenders[name]()
            took[name].append((time.perf_counter() - wall, time.process_time() - processor))
            print(f"  round {number + 1}  {name:30} {took[name][-1][0]:7.1f} s", flush=True)
    tokens = {name: sum(len(template.tokenize(t)[0]) for t in said[name]) for name in said}
    print(f"\n{'':30} {'tokens/s':>9} {'×':>6} {'a CPU s':>9} {'×':>6}  same answers")
    for name, times in took.items():
        cells = []
        for kind in (0, 1):
            speed = statistics.median(tokens[name] / time[kind] for time in times)
            pairs = zip(took[PLAIN], times, strict=True)
            cells.append((speed, statistics.median(p[kind] / t[kind] for p, t in pairs)))
        same = sum(a == b for a, b in zip(said[PLAIN], said[name], strict=True))
        figures = " ".join(f"{speed:9.1f} {ratio:6.2f}" for speed, ratio in cells)
        print(f"{name:30} {figures}  {same}/{len(said[name])}")


if __name__ == "__main__":
    main()
