"""What ranks tell each other, in two real processes, and how their work is shared out."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests.training import two_ranks
from workbench.training.ranks import Ranks, share


def test_two_ranks_agree_and_tell_the_first(tmp_path: Path) -> None:
    first, second = two_ranks.run("tests.training.in_two_ranks", tmp_path)
    assert first["ranks"] == [0, 2, 0, 2] and second["ranks"] == [1, 2, 1, 2]
    assert first["asked"] == second["asked"] == [1, 1, 25]
    assert first["gathered"] == [[0.0, 1.0, 2.0], [7.0]] and second["gathered"] == []
    assert first["states"] == [len(torch.get_rng_state())] * 2
    assert first["sum"] == second["sum"] == [3.0, 1.0]
    message, cause = first["missing"]
    assert "rank 1 had not come to: the checkpoint" in message and cause == "lost_rank"


def test_one_process_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    ranks = Ranks.join()
    values = torch.tensor([2.0, 3.0])
    ranks.sum(values)()
    ranks.wait_for_all("nobody")
    assert (ranks.first, ranks.count, ranks.agree([0, 7])) == (True, 1, [0, 7])
    assert [part.tolist() for part in ranks.gather(values)] == [[2.0, 3.0]]
    ranks.leave()


def test_one_rank_has_the_work_in_its_order() -> None:
    assert share([3, 9, 1], 1) == [[0, 1, 2]]


def test_work_is_shared_evenly_and_always_in_the_same_way() -> None:
    choice = random.Random(0)
    for _ in range(200):
        weights = [choice.randrange(1, 1000) for _ in range(choice.randrange(1, 40))]
        ranks = choice.randrange(2, 9)
        shares = share(weights, ranks)
        assert shares == share(weights, ranks)
        done = [place for places in shares for place in places if place is not None]
        assert sorted(done) == list(range(len(weights)))
        # As many for each: a rank without rows takes part with none.
        assert {len(places) for places in shares} == {-(-len(weights) // ranks)}
        totals = [sum(weights[p] for p in places if p is not None) for places in shares]
        assert max(totals) - min(totals) <= max(weights)
        # What goes on at the same time is alike: the heaviest of a turn is no lighter than any
        # of the next.
        turns = [[weights[p] for p in turn if p is not None] for turn in zip(*shares, strict=True)]
        assert all(min(a) >= max(b) for a, b in pairwise(turns))
