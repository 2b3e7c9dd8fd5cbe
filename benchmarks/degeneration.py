"""How often the marks of degeneration speak on real responses, where the real data is.

.venv/bin/python -m benchmarks.degeneration
"""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.data.curate.real_data import EVERY, MODELS, real
from workbench.data.curate.responses import without_end_marks
from workbench.degeneration import measures
from workbench.degeneration.marks import RULES, beside, marks

_DRAWS, _TOGETHER = 500, 8
_WHISPER = 2.4


def main() -> None:
    people: Counter[str] = Counter()
    rows = 0
    for name in (*EVERY, "gsm8k_test"):
        found = [(row.instruction, without_end_marks(row.response)) for row in real(name)]
        counts = Counter(mark.name for asked, said in found for mark in marks(said, prompt=asked))
        compressed = sum(measures.compression(said) > _WHISPER for _, said in found)
        random = Random(0)  # noqa: S311 - a draw, not a secret
        draws = (random.sample([said for _, said in found], _TOGETHER) for _ in range(_DRAWS))
        alike = sum(any(beside(texts)) for texts in draws)
        print(f"{name}: {len(found):,} responses, {dict(counts)}")
        print(f"  above Whisper's {_WHISPER}: {compressed}; draws that open alike: {alike}")
        if name != MODELS:
            people += counts
            rows += len(found)
    print(f"\nof {rows:,} responses of people:")
    for rule in RULES:
        print(f"  {rule:12} {people[rule]:4} ({people[rule] / rows:.2%})")


if __name__ == "__main__":
    main()
