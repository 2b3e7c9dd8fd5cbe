"""How well per-example losses tell mislabelled rows: responses of real rows are swapped, and found.

Of `--rows` rows of a file 5 % get the response of another of them, never one that is the same. A
version is made of them and the default base trained on it with LoRA, by the commands that a person
gives; then each score says which rows are the worst 10 %, and two things are printed: how many of
the planted ones are among them, and the area under the ROC curve, the chance that a planted row is
ranked above another one. The dataset, the run and `planted.json` stay, to be looked at.

    WORKBENCH_HOME=ws python benchmarks/planted_noise.py ag_news.jsonl [--epochs 4 --seed 1 …]

Rows of three kinds are taken: prompt and completion (T0), question and answer (GSM8K), instruction
and instances (Self-Instruct).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from statistics import fmean, median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from workbench.learning.courses import Courses, neighbours
from workbench.learning.learnt import OfRun
from workbench.learning.log import Losses
from workbench.workspace import Workspace

NOISE, WORST = 0.05, 0.1
END = "<|endoftext|>"
TRIES = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--longest", type=int, default=2000, help="characters of a row")
    parser.add_argument("--cut", type=int, help="characters of a prompt that are kept")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step")
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base", default="default")
    parser.add_argument("--run", type=Path, help="tell of this one, trained before, alone")
    args = parser.parse_args()
    if args.run:
        tell(args.run)
        return
    pairs, planted = plant(read(args.file, args.longest, args.cut), args.rows, args.seed)
    run = train(args, pairs)
    workspace = Workspace.find(None)
    folder = workspace.runs / run
    rows = sorted(_rows_of(workspace, folder, planted))
    (folder / "planted.json").write_text(json.dumps(rows))
    print(f"{run}: {len(pairs)} rows, {len(rows)} planted", flush=True)
    tell(folder)


def read(path: Path, longest: int, cut: int | None = None) -> list[tuple[str, str]]:
    """Prompt, its first `cut` characters, and response of each row that has no more than `longest`
    of both."""
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "instances" in row:
            first = row["instances"][0]
            pair = "\n\n".join(filter(None, (row["instruction"], first["input"]))), first["output"]
        elif "question" in row:
            pair = row["question"], row["answer"]
        else:
            pair = row["prompt"], row["completion"]
        prompt, response = (text.removesuffix(END).strip() for text in pair)
        prompt = prompt[:cut]
        if response and len(prompt) + len(response) <= longest:
            pairs.append((prompt, response))
    return list(dict(pairs).items())


def plant(
    pairs: list[tuple[str, str]], count: int, seed: int
) -> tuple[list[tuple[str, str]], list[int]]:
    """`count` rows, and the places among them, from 0, of those that have another's response.

    They hand theirs round among themselves, each to one whose own is another.
    """
    rng = random.Random(seed)  # noqa: S311
    rows = rng.sample(pairs, min(count, len(pairs)))
    # An even number: of two labels an odd one can't go round.
    wanted = max(2, 2 * round(NOISE * len(rows) / 2))
    for _ in range(TRIES):
        chosen = rng.sample(range(len(rows)), wanted)
        responses = [rows[place][1] for place in chosen]
        given = responses[1:] + responses[:1]
        if all(own != other for own, other in zip(responses, given, strict=True)):
            break
    else:
        sys.exit("Too few of the responses differ.")
    for place, response in zip(chosen, given, strict=True):
        rows[place] = rows[place][0], response
    return rows, chosen


def train(args: argparse.Namespace, pairs: list[tuple[str, str]]) -> str:
    """Import the rows and train on them. Returns the run's name."""
    name = f"planted-{args.file.stem.lower().replace('_', '-')[:30]}-{args.seed}"
    settings = {
        "model.base": args.base,
        "data.max_length": 2048,
        "training.epochs": args.epochs,
        "training.batch_size": args.batch,
        "training.accumulation": 1,
        "training.learning_rate": args.rate,
        "training.rehearsal": "false",
        "evaluation.samples": 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        data, config = Path(folder) / "rows.jsonl", Path(folder) / "planted.yaml"
        lines = [json.dumps({"prompt": p, "completion": r}) for p, r in pairs]
        data.write_text("".join(f"{line}\n" for line in lines))
        config.write_text(f"name: {name}\n")
        made = _workbench("data", "import", data, "--name", name, "--validation", 0.02)
        settings["data.dataset"] = made["reference"]
        sets = [f"--set={field}={value}" for field, value in settings.items()]
        return str(_workbench("train", config, "--wait", *sets)["id"])


def tell(run: Path) -> None:
    """Print which share of a run's planted rows each score has among its worst."""
    planted = {row - 1 for row in json.loads((run / "planted.json").read_text())}
    losses = OfRun.read(run).losses()
    losses.read()
    for name, score in scores(losses).items():
        order = sorted(score, key=lambda row: -score[row])
        worst = set(order[: round(WORST * len(order))])
        found = f"{len(worst & planted)} of {len(planted & score.keys())}"
        print(f"{name:44} {found:10} {area(order, planted):.3f}")
    courses = Courses(losses)
    never = set(courses.never_learnt)
    print(f"never learnt: {len(never)} of {len(courses)} rows, {len(never & planted)} planted")


def area(order: list[int], planted: set[int]) -> float:
    """The chance that a planted row comes before another one, in an order from the worst on."""
    before = others = 0
    for row in order:
        if row in planted:
            before += len(order) - len(planted.intersection(order)) - others
        else:
            others += 1
    return before / max(1, others * len(planted.intersection(order)))


def scores(losses: Losses) -> dict[str, dict[int, float]]:
    """By the name of a score, that of each row, from 0: the higher, the worse."""
    epochs = sorted(losses.epochs)
    whole, first, last = (_only(losses, some) for some in (epochs, epochs[:1], epochs[-1:]))
    alone = _only(losses, epochs, unprompted=False)
    found = {place: course for place in whole.order if (course := whole.of(place))}
    mean = {place: course.mean for place, course in found.items()}
    then = {e: _less(_finite(losses, e), losses.steps[e], 16) for e in epochs}
    return {
        "loss of the first epoch": _finite(losses, epochs[0]),
        "loss of the last epoch": _finite(losses, epochs[-1]),
        "mean loss": mean,
        "confidence, the lowest": {place: -c.confidence for place, c in found.items()},
        "mean loss over that of rows as long": _less(mean, losses.tokens, 32),
        "mean loss over the usual one then": {
            place: fmean(of[place] for of in then.values() if place in of) for place in mean
        },
        "hardness of the first epoch": _hardness(first),
        "hardness of the last epoch": _hardness(last),
        "hardness by the loss alone": _hardness(alone),
        "hardness, which workbench shows": _hardness(whole),
    }


def _only(losses: Losses, epochs: list[int], *, unprompted: bool = True) -> Courses:
    part = copy(losses)
    if not unprompted:
        part.unprompted = None
    part.epochs = {epoch: losses.epochs[epoch] for epoch in epochs}
    return Courses(part)


def _hardness(courses: Courses) -> dict[int, float]:
    return {place: c.hardness for place in courses.order if (c := courses.of(place))}


def _finite(losses: Losses, epoch: int) -> dict[int, float]:
    return {n: loss for n, loss in enumerate(losses.epochs[epoch]) if math.isfinite(loss)}


def _less(score: dict[int, float], by: Sequence[int], least: int) -> dict[int, float]:
    """A score less the median of the rows that are near each one by a number."""
    left = {}
    for group in neighbours(list(score), by, least):
        usual = median(score[place] for place in group)
        left.update((place, score[place] - usual) for place in group)
    return left


def _rows_of(workspace: Workspace, run: Path, planted: list[int]) -> list[int]:
    """The rows of the run's version, from 1, that were lines `planted`, from 0, of the file."""
    made = json.loads((run / "manifest.json").read_text())["dataset"]
    data = workspace.datasets / made["name"] / made["version"] / "data.jsonl"
    lines = {place + 1 for place in planted}
    rows = map(json.loads, data.read_text(encoding="utf-8").splitlines())
    return [
        number
        for number, row in enumerate(rows, 1)
        if row["split"] == "train" and int(row["source"].rpartition(":")[2]) in lines
    ]


def _workbench(*words: object) -> Any:
    command = [sys.executable, "-m", "workbench", *map(str, words), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stdout)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
