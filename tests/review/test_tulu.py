"""The human evaluation of Tülu 1, whole: the figures of one real study, from its own file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[3] / "shared" / "data" / "tulu1_annotations.xlsx"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the study is not on this machine")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The study's report, imported and read by the real commands: as JSON and as Markdown."""
    place = str(tmp_path_factory.mktemp("tulu"))

    def workbench(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "workbench", "--workspace", place, *arguments, "--json"]
        found: dict[str, Any] = json.loads(subprocess.check_output(command, timeout=240))
        return found

    taken = workbench("review", "import", str(FILE), "--name", "tulu")
    assert {name: taken[name] for name in ("judgements", "items", "annotators", "replaced")} == {
        "judgements": 1141,
        "items": 332,
        "annotators": 16,
        "replaced": 9,
    }
    report = workbench("review", "report", "tulu", "--markdown")
    return report, report["page"]


def test_wins_ties_and_losses(study: tuple[dict[str, Any], str]) -> None:
    """162/133/108 and .567 with Wilson's .518 to .615, 178/142/84 and .616, 166/99/69 and .645;
    the bootstrap over items of the first gave .529 to .607."""
    found = [
        (
            contest["candidate"],
            contest["baseline"],
            [contest["tally"][name] for name in ("wins", "ties", "losses")],
            round(contest["win_rate"]["value"], 3),
        )
        for contest in study[0]["analysis"]["contests"]
    ]
    assert found == [
        ("chatgpt", "tulu_65B", [162, 133, 108], 0.567),
        ("tulu_65B", "tulu_7B", [178, 142, 84], 0.616),
        ("tulu_65B", "tulu_human_only_65B", [166, 99, 69], 0.645),
    ]
    first = study[0]["analysis"]["contests"][0]
    assert [first["win_rate"]["low"], first["win_rate"]["high"]] == pytest.approx(
        [0.518, 0.615], abs=5e-4
    )
    assert [first["mean"]["low"], first["mean"]["high"]] == pytest.approx([0.529, 0.607], abs=3e-3)


def test_acceptability(study: tuple[dict[str, Any], str]) -> None:
    found = {each["system"]: each["share"]["value"] for each in study[0]["analysis"]["rated"]}
    assert found == pytest.approx(
        {"chatgpt": 0.908, "tulu_65B": 0.804, "tulu_7B": 0.688, "tulu_human_only_65B": 0.725},
        abs=5e-4,
    )


def test_strengths(study: tuple[dict[str, Any], str]) -> None:
    """Bradley and Terry's, by evalica 0.4.2 and choix 0.4.1 alike."""
    ranking = study[0]["analysis"]["rankings"]["preference"]
    found = {each["system"]: each["value"] for each in ranking["strengths"]}
    assert found == pytest.approx(
        {"chatgpt": 0.4702, "tulu_65B": 0.2006, "tulu_7B": -0.2734, "tulu_human_only_65B": -0.3974},
        abs=5e-5,
    )
    assert all(each["low"] < each["value"] < each["high"] for each in ranking["strengths"])


def test_agreement(study: tuple[dict[str, Any], str]) -> None:
    """Of which is better and of how clearly, by krippendorff 0.9.0 and evalica 0.4.2 alike."""
    preference = study[0]["analysis"]["agreement"][0]
    assert preference["units"] == 121
    assert preference["alpha"]["value"] == pytest.approx(0.3346, abs=5e-5)
    assert preference["alpha_ordinal"]["value"] == pytest.approx(0.3687, abs=5e-5)


def test_habits(study: tuple[dict[str, Any], str]) -> None:
    """Of all 1,150 rows 36.7 % preferred the first and 30.5 % the second."""
    position = study[0]["analysis"]["position"]["preference"]
    assert position["rate"]["value"] == pytest.approx(0.367 / (0.367 + 0.305), abs=3e-3)
    assert position["p"] < 0.05


def test_the_page_says_it_and_what_it_can_not_say(study: tuple[dict[str, Any], str]) -> None:
    page = study[1].replace("\\", "")
    for piece in (
        "# Review tulu",
        "| chatgpt | tulu_65B | 162/133/108 | 0.567 | 0.529–0.608 | 0.518–0.615 |",
        "| chatgpt | +0.4702 |",
        "| preference | alpha, ordinal | 121 | 0.3687 |",
        "9 judgements were replaced by a later one",
        "## What can't be concluded",
        "chatgpt and tulu_7B were never compared",
        "the output shown first was preferred more often than chance allows",
        "alpha is 0.369, below 0.667",
        "## Methods",
        "Wilson",
        "Bradley-Terry by maximum likelihood (choix)",
    ):
        assert piece in page
