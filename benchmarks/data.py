"""The data bench on 10,000, 100,000 and 1,000,000 rows: seconds and peak memory of each thing done.

    python benchmarks/data.py [ROWS …]

Rows have 100 words, drawn as often as words of a language are; one in twenty is an earlier one
with one to five words changed. Each figure is of a process of its own. Beside near-duplicates
stands text-dedup's method, MinHash and LSH of datasketch (`pip install datasketch`; left out where
it isn't there): the same shingles, permutations and bands, without proving the pairs it finds.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

ROWS = (10_000, 100_000, 1_000_000)
WORDS = 100
EVALUATION = 1000
PAGE = 40
SKETCHED = 10_000
"""Rows of datasketch at most: it takes a minute for these."""


def write_rows(path: Path, count: int) -> None:
    """Canonical lines, as those of a dataset version."""
    from workbench.data.example import Example, Message

    draw = random.Random(0)  # noqa: S311
    vocabulary = [f"w{number:x}" for number in range(50_000)]
    # Summed once: `choices` would do so for every row.
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(vocabulary))))
    kept: list[list[str]] = []
    with path.open("w") as stream:
        for number in range(count):
            if kept and draw.random() < 0.05:
                words = list(draw.choice(kept))
                for _ in range(draw.randint(1, 5)):
                    words[draw.randrange(WORDS)] = draw.choice(vocabulary)
            else:
                words = draw.choices(vocabulary, cum_weights=weights, k=WORDS)
                if len(kept) < 10_000:
                    kept.append(words)
            half = WORDS // 2
            turns = (("user", words[:half]), ("assistant", words[half:]))
            messages = tuple(Message(role, " ".join(part)) for role, part in turns)
            split = "validation" if number % (count // EVALUATION) == 0 else "train"
            task = "qa" if number % 3 else "sum"
            row = Example(messages, task=task, split=split, source=f"rows:{number + 1}")
            stream.write(row.to_line() + "\n")


def opening(path: Path) -> dict[str, float]:
    """The first page of a file that was never looked at, and of what is read of it first."""
    from workbench.data.browse import look
    from workbench.data.rows import open_rows

    begin = time.perf_counter()
    rows = open_rows(path)
    for number in range(PAGE):
        look(rows, number)
    return {"s": time.perf_counter() - begin}


def paging(path: Path) -> dict[str, float]:
    """The slowest of a hundred pages anywhere in the file, and the index that they need."""
    from workbench.data.browse import look
    from workbench.data.rows import open_rows

    begin = time.perf_counter()
    rows = open_rows(path)
    rows.index()
    indexed = time.perf_counter() - begin
    draw, slowest = random.Random(1), 0.0  # noqa: S311
    for _ in range(100):
        first = draw.randrange(len(rows) - PAGE)
        begin = time.perf_counter()
        for number in range(first, first + PAGE):
            look(rows, number)
        slowest = max(slowest, time.perf_counter() - begin)
    return {"s": slowest, "index": indexed}


def searching(query: str, sort: str) -> Callable[[Path], dict[str, float]]:
    """A search by worker processes: until the first rows are there, and until all are."""

    def search(path: Path) -> dict[str, float]:
        from workbench.data.search import Search, Wanted

        begin, first, count = time.perf_counter(), 0.0, 0
        for found in Search(Wanted(str(path), query, sort)).found():
            count += len(found.rows)
            if count and not first:
                first = time.perf_counter() - begin
        return {"s": time.perf_counter() - begin, "first": first, "rows": count}

    return search


def near_duplicates(path: Path) -> dict[str, float]:
    from workbench.data.curate import duplicates
    from workbench.data.table import Table

    begin = time.perf_counter()
    found = sum(1 for _ in duplicates.annotate(Table(path)))
    return {"s": time.perf_counter() - begin, "rows": found}


def contamination(path: Path) -> dict[str, float]:
    """Of the training rows by the validation rows, of which there are a thousand."""
    from workbench.data.curate import contamination
    from workbench.data.table import Table

    begin = time.perf_counter()
    found = sum(1 for _ in contamination.annotate(Table(path)))
    return {"s": time.perf_counter() - begin, "rows": found}


def datasketch(path: Path) -> dict[str, float]:
    from datasketch import MinHash, MinHashLSH

    from workbench.data.curate import duplicates
    from workbench.data.table import Table

    begin = time.perf_counter()
    lsh = MinHashLSH(params=(duplicates.BANDS, 4), num_perm=duplicates.PERMUTATIONS)
    found = 0
    for number, row in enumerate(Table(path)):
        sketch = MinHash(num_perm=duplicates.PERMUTATIONS)
        for shingle in duplicates.shingles(duplicates.text_of(row)):
            sketch.update(shingle.encode())
        if lsh.query(sketch):
            found += 1
        else:
            lsh.insert(number, sketch)
    return {"s": time.perf_counter() - begin, "rows": found}


DO: dict[str, Callable[[Path], dict[str, float]]] = {
    "open: first page": opening,
    "page: slowest of 100": paging,
    "filter: a rare word": searching("w9c3f", ""),
    "filter: task:qa response>250": searching("task:qa response>250", ""),
    "sort: -response": searching("", "-response"),
    "near-duplicates": near_duplicates,
    "contamination": contamination,
    "datasketch": datasketch,
}


def measure(name: str, path: Path) -> dict[str, float]:
    """What a process of its own says; its peak memory in MiB, and its workers' the largest."""
    command = [sys.executable, __file__, "--do", name, str(path)]
    return dict(json.loads(subprocess.check_output(command)))


def do(name: str, path: Path) -> None:
    result = DO[name](path)
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(each).ru_maxrss for each in who) / 1024
    print(json.dumps({**result, "MiB": peak}))


def shown(result: dict[str, float]) -> str:
    seconds = result["s"]
    parts = [f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"]
    parts += [
        f"{name} {1000 * result[name]:.0f} ms" for name in ("index", "first") if name in result
    ]
    parts += [f"{result['rows']:,.0f} rows"] if "rows" in result else []
    return ", ".join([*parts, f"{result['MiB']:.0f} MiB"])


def main(counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder, f"{count}.jsonl")
            write_rows(path, count)
            print(f"\n{count:,} rows, {path.stat().st_size / 1e6:.0f} MB", flush=True)
            for name in DO:
                if name == "datasketch" and (count > SKETCHED or find_spec(name) is None):
                    continue
                print(f"| {name} | {shown(measure(name, path))} |", flush=True)
            path.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--do"]:
        do(sys.argv[2], Path(sys.argv[3]))
    else:
        main([int(text) for text in sys.argv[1:]] or list(ROWS))
