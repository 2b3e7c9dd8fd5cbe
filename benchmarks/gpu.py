"""Tokens a second and peak memory of workbench and of TRL on a GPU, side by side.

Models with the shapes of Qwen2.5-0.5B and Llama-3.1-8B and random weights, in bfloat16 and with an
NF4 base, LoRA of rank 16 on all linear layers; eight rows of 2,048 random tokens a step, the second
half of each trained. All rows are of one length, so that nobody pads, and who packs gains nothing
by it. A contender is a process of its own.

    python benchmarks/gpu.py --tokenizer DIR [--only PATTERN] [--rounds 2] [--profile]

TRL is no dependency: `pip install trl==1.16.0 liger-kernel` first. unsloth takes part if `--only`
names it or `--unsloth SITE` says where it is: `unsloth_contender.py`.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import contenders, unsloth_contender
from benchmarks.memory import LARGE, make

Spec = dict[str, Any]
LENGTH, ROWS = 2048, 8
MODELS = {"8B": ("Llama-3.1-8B", 2), "0.5B": ("Qwen2.5-0.5B", 8)}
"""Shape, and rows at once."""
TRL: Spec = {"bf16": True, "gradient_checkpointing": False}
OURS: dict[str, Spec] = {
    "workbench": {},
    "workbench, layers compiled": {"compile": True},
    "workbench, nothing compiled": {"eager": True},
    "workbench, checkpointing": {"gradient_checkpointing": True},
}
THEIRS: dict[str, Spec] = {
    "TRL as it comes": {},
    "TRL": TRL,
    "TRL, liger-kernel": {**TRL, "use_liger_kernel": True},
    "TRL, liger-kernel, checkpointing": {"use_liger_kernel": True},
    "TRL, torch.compile": {**TRL, "torch_compile": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokenizer", type=Path, required=True, help="any; TRL wants one")
    parser.add_argument("--only", nargs="*", default=["*"], help="as '8B LoRA TRL*'")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--unsloth", type=Path, metavar="SITE", help="take part; a site folder")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of a contender")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="of workbench's, by kernel")
    args = parser.parse_args()
    if args.worker:
        spec = json.loads(args.worker)
        print(json.dumps(_make(spec) if "shape" in spec else _work(spec)))
        return
    found: dict[str, list[Spec]] = {}
    candidates = [*OURS, *THEIRS]
    if args.unsloth or any("unsloth" in pattern for pattern in args.only):
        candidates += unsloth_contender.CONTENDERS
    # In memory: a model of 8B is read for each contender.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for size, (shape, at_once) in MODELS.items():
            names = [
                f"{size} {method} {name}"
                for method in ("LoRA", "QLoRA")
                for name in candidates
                if any(fnmatch.fnmatch(f"{size} {method} {name}", p) for p in args.only)
            ]
            if not names:
                continue
            model = Path(folder) / size
            _apart({"shape": shape, "folder": str(model)}, args)
            for number in range(args.rounds):
                for name in names if number % 2 == 0 else names[::-1]:
                    spec = _spec(name, model, at_once, args)
                    _tell(name, _apart(spec, args), found)
            shutil.rmtree(model, ignore_errors=True)
    _print_table(found)


def _spec(name: str, model: Path, at_once: int, args: argparse.Namespace) -> Spec:
    _, method, contender = name.split(" ", 2)
    settings = (OURS | THEIRS | unsloth_contender.CONTENDERS)[contender]
    spec: Spec = {
        "name": contender,
        "settings": settings,
        "model": str(model),
        "tokenizer": str(args.tokenizer),
        "steps": args.steps,
        "length": LENGTH,
        "folder": str(model.parent),
        "quantised": method == "QLoRA",
        "at_once": at_once,
        "profile": args.profile,
    }
    return spec


def _make(spec: Spec) -> Spec:
    make(Path(spec["folder"]), LARGE[spec["shape"]], True)
    return {}


def _work(spec: Spec) -> Spec:
    if spec["name"].startswith(unsloth_contender.NAME):
        import unsloth  # type: ignore[import-not-found]  # noqa: F401
    import torch

    generator = torch.Generator().manual_seed(0)
    trained = [False] * (LENGTH // 2) + [True] * (LENGTH // 2)
    rows = [
        {"ids": torch.randint(0, 100_000, (LENGTH,), generator=generator).tolist()}
        | {"trained": trained}
        for _ in range((spec["steps"] + 1) * ROWS + 2)
    ]
    settings, at_once = dict(spec["settings"]), spec["at_once"]
    if spec["name"].startswith(contenders.OURS):
        if settings.pop("eager", False):
            from workbench.training import compiling

            compiling.problem = lambda device: "not wanted"  # type: ignore[assignment]
        spec["training"] = {"micro_batch": at_once, **settings}
        spec["settings"] = {"quantization": "nf4"} if spec["quantised"] else {}
        if spec["profile"]:
            spec["around"] = _profiled
    else:
        spec["settings"] = {
            **settings,
            "per_device_train_batch_size": at_once,
            "gradient_accumulation_steps": ROWS // at_once,
        }
        spec["load"] = {"dtype": torch.bfloat16, "device_map": {"": 0}}
        if spec["name"] in unsloth_contender.CONTENDERS:
            return unsloth_contender.work(spec, rows[2:], rows[:2])
        if spec["quantised"]:
            from transformers import BitsAndBytesConfig

            spec["load"]["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
    return contenders.work(spec, rows[2:], rows[:2])


@contextmanager
def _profiled() -> Iterator[None]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as told:
        yield
    table = told.key_averages().table(
        sort_by="self_cuda_time_total", row_limit=25, max_name_column_width=60
    )
    # The columns of the processor say nothing here.
    print("\n".join(line[:62] + line[-110:] for line in table.splitlines()), flush=True)


def _apart(spec: Spec, args: argparse.Namespace) -> Spec:
    """What a process of its own finds; `error` where it fails or takes too long."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--tokenizer", ".", "--worker", json.dumps(spec)]
    theirs = spec.get("name", "").startswith(unsloth_contender.NAME)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=unsloth_contender.environment(args.unsloth, Path(spec["folder"])) if theirs else None,
        # With the compilers that it starts, which would hold the pipe open.
        process_group=0,
    )
    try:
        output, _ = process.communicate(timeout=args.limit)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return {"error": f"took more than {args.limit:.0f} s"}
    *told, last = output.splitlines() or [""]
    # Not a line of a trainer's own, which is a dict of Python's.
    found: Spec = (
        json.loads(last) if last.startswith('{"') else {"error": f"ended {process.returncode}"}
    )
    print("\n".join(told), end="\n" if told else "", flush=True)
    return found | {"whole": time.perf_counter() - began}


def _tell(name: str, result: Spec, found: dict[str, list[Spec]]) -> None:
    if "error" in result:
        print(f"{name:45} {result['error']}", flush=True)
        return
    result["speed"] = result["tokens"] / result["seconds"]
    found.setdefault(name, []).append(result)
    print(
        f"{name:45} {result['speed']:8,.0f} tokens/s {result['peak'] / 2**30:6.2f} GiB  "
        f"{' '.join(f'{loss:.3f}' for loss in result['losses'])}  ({result['whole']:.0f} s)",
        flush=True,
    )


def _print_table(found: dict[str, list[Spec]]) -> None:
    """The median of each contender's rounds, and workbench's over it."""
    for name, results in found.items():
        size, method, _ = name.split(" ", 2)
        ours = found.get(f"{size} {method} {contenders.OURS}", results)
        cells = []
        for key, scale in (("speed", 1.0), ("peak", 2**30)):
            values = [result[key] / scale for result in results]
            ratios = [a[key] / b[key] for a, b in zip(ours, results, strict=False)]
            cells.append(f"{statistics.median(values):10,.2f} {statistics.median(ratios):6.2f}")
        print(f"{name:45}{'  '.join(cells)}")


if __name__ == "__main__":
    main()
