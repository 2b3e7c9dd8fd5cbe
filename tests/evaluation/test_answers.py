"""Answers on disk: a line each, known by all that decides them, whatever becomes of the writer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.polling import eventually
from tests.trained import ANSWER, Trained
from workbench.errors import WorkbenchError
from workbench.evaluation.answers import Answer, AnswerFile, Sampling, prompts
from workbench.evaluation.job import evaluate
from workbench.evaluation.request import Request, read_request, read_scores
from workbench.files import write_json
from workbench.jobs.control import Control
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import LogWriter
from workbench.jobs.state import JobState, describe
from workbench.jobs.tasks import REQUEST

IDENTITY = {"model": {"a": "1"}, "sampling": {"max_new_tokens": 4}}
SAID = Answer("ü\u2028 \ud800", 3, stopped=True, seconds=0.5)


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "cache", IDENTITY)
    assert file.read() == {}
    with file.appending() as append:
        append("one", SAID)
        append("two", Answer("", 0, stopped=False))
    assert file.read() == {"one": SAID, "two": Answer("", 0, stopped=False)}
    assert file.read()["one"].seconds == 0.5
    head, *rest = file.path.read_text().splitlines()
    assert json.loads(head)["identity"] == IDENTITY and len(rest) == 2


@pytest.mark.parametrize(
    "torn", [b"{", b'{"row": "thr', b'{"row": "three", "text": "x"}\n', b"\xff\n"]
)
def test_half_a_line_spoils_no_other(tmp_path: Path, torn: bytes) -> None:
    file = AnswerFile(tmp_path, IDENTITY)
    with file.appending() as append:
        append("one", SAID)
    with file.path.open("ab") as stream:
        stream.write(torn)
    with file.appending() as append:
        append("two", SAID)
    assert file.read() == {"one": SAID, "two": SAID}


def test_what_is_changed_has_another_file(tmp_path: Path) -> None:
    files = [
        AnswerFile(tmp_path, IDENTITY),
        AnswerFile(tmp_path, {**IDENTITY, "model": {"a": "2"}}),
        AnswerFile(tmp_path, {**IDENTITY, "sampling": {"max_new_tokens": 5}}),
    ]
    with files[0].appending() as append:
        append("one", SAID)
    assert [len(file.read()) for file in files] == [1, 0, 0]
    assert AnswerFile(tmp_path, dict(reversed(IDENTITY.items()))).id == files[0].id


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WorkbenchError, match=r"Could not write .*file/"),
        AnswerFile(tmp_path / "file", IDENTITY).appending(),
    ):
        pass


def test_a_prompt_is_known_by_its_tokens_and_not_by_its_place() -> None:
    first = prompts([[1, 2], [3], [1, 2]])
    again = prompts([[3], [1, 2], [1, 2], [12]])
    assert len({prompt.key for prompt in first}) == 3
    assert {p.key for p in first} < {p.key for p in again}
    assert Sampling(1, seed=1).seed_of("a") != Sampling(1, seed=2).seed_of("a")


def test_a_request_says_only_what_is_asked_for(tmp_path: Path) -> None:
    plain = Request(rows=3, max_new_tokens=4)
    assert plain.to_json() == {"rows": 3, "max_new_tokens": 4}
    wanted = Request(3, 4, temperature=0.5, runs=("b-0002",), models=("/m",), seed=1)
    write_json(tmp_path / "request.json", wanted.to_json())
    assert read_request(tmp_path) == wanted


# --- with a run that is trained ---------------------------------------------------------------


class Place:
    """A copy of the workspace with a finished run, which a test may change."""

    def __init__(self, trained_run: Trained, folder: Path) -> None:
        self.root = Path(shutil.copytree(trained_run.pristine, folder / "ws"))
        shutil.rmtree(self.root / "cache" / "answers")
        self.run = self.root / "runs" / "small-0001"

    def cli(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", "workbench", *map(str, arguments)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=self.root.parent,
            env={**os.environ, "WORKBENCH_HOME": str(self.root)},
            timeout=240,
        )
        assert not check or result.returncode == 0, result.stderr
        return result

    def evaluate(self, **wanted: Any) -> dict[str, Any]:
        """What the job does, in this process."""
        number = 1 + len(list((self.run / "evaluations").iterdir()))
        folder = self.run / "evaluations" / f"{number:02d}"
        folder.mkdir()
        write_json(folder / REQUEST, Request(**wanted).to_json())
        with LogWriter(folder / EVENTS) as log:
            evaluate(folder, log, Control())
        return read_scores(folder)

    def lines(self) -> dict[str, list[str]]:
        """The answers so far, by the id of their file."""
        folder = self.root / "cache" / "answers"
        return {p.stem: p.read_text().splitlines()[1:] for p in sorted(folder.glob("*.jsonl"))}

    def outputs(self, name: str) -> list[dict[str, Any]]:
        text = (self.run / "evaluations" / name / "outputs.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def place(trained_run: Trained, tmp_path: Path) -> Place:
    return Place(trained_run, tmp_path)


def test_an_evaluation_that_was_killed_goes_on_where_it_was(place: Place) -> None:
    settings = place.run / "config.yaml"
    text = settings.read_text()
    assert "batch_size: 8" in text, "one row at a time: some are through, others are not"
    settings.write_text(text.replace("batch_size: 8", "batch_size: 1"))
    place.cli("eval", "--rows", 6, "--max-new-tokens", 400, "--detach")
    folder = place.run / "evaluations" / "02"
    eventually(lambda: any(len(lines) >= 2 for lines in place.lines().values()))
    state = JobState.read(folder)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    eventually(lambda: describe(folder)[0] not in ("running", "starting", "not started"))
    assert not (folder / "outputs.jsonl").exists()
    before = place.lines()
    scores = place.evaluate(rows=6, max_new_tokens=400)
    after = place.lines()
    assert set(scores["answers"].values()) == set(after) and len(after) == 2
    for id, lines in before.items():
        complete = [line for line in lines if line.endswith("}")]
        assert after[id][: len(complete)] == complete
    for lines in after.values():
        rows = [json.loads(line)["row"] for line in lines if line.endswith("}")]
        assert len(rows) == len(set(rows)) == 6, "each is answered once"
    assert [row["stopped"]["adapter"] for row in place.outputs("03")] == [True] * 6


def test_other_settings_are_never_mixed_with_what_is_known(place: Place) -> None:
    first = place.evaluate(rows=2, max_new_tokens=5)
    again = place.evaluate(rows=3, max_new_tokens=5)
    warm = {"rows": 2, "max_new_tokens": 5, "temperature": 0.9, "seed": 3}
    drawn = place.evaluate(**warm)
    assert first["answers"] == again["answers"]
    assert not set(first["answers"].values()) & set(drawn["answers"].values())
    assert sorted(map(len, place.lines().values())) == [2, 2, 3, 3]
    # Times are those of the first making: nothing was made again.
    assert place.outputs("03")[:2] == place.outputs("02")
    place.evaluate(**warm, fresh=True)
    assert sorted(map(len, place.lines().values())) == [3, 3, 4, 4]
    texts = [[row["outputs"] for row in place.outputs(name)] for name in ("04", "05")]
    assert texts[0] == texts[1], "the same seed draws the same"
    assert drawn["generation"]["temperature"] == 0.9 and drawn["generation"]["seed"] == 3


def test_runs_and_a_merged_model_are_measured_together(place: Place) -> None:
    other = Path(shutil.copytree(place.run, place.root / "runs" / "small.v2-0002"))
    nothing = json.loads((other / "adapter" / "adapter_config.json").read_text())
    nothing["lora_alpha"] = 0
    (other / "adapter" / "adapter_config.json").write_text(json.dumps(nothing))
    merged = place.root.parent / "merged"
    place.cli("export", "merged", "small-0001", "--to", merged)

    said = place.cli("eval", "small-0001", "small.v2-0002", "--model", merged, "--json").stdout
    scores = json.loads(said)
    systems = scores["systems"]
    assert list(systems) == ["base", "small-0001", "small.v2-0002", "merged"]
    alone = read_scores(place.run / "evaluations" / "01")["systems"]
    assert systems["small-0001"] == alone["adapter"] and systems["base"] == alone["base"]
    assert systems["small.v2-0002"] == systems["base"], "an adapter that adds nothing"
    assert systems["merged"]["loss"]["value"] == pytest.approx(alone["adapter"]["loss"]["value"])
    for row in place.outputs("02"):
        texts = row["outputs"]
        assert texts["merged"] == texts["small-0001"] == ANSWER
        assert texts["base"] == texts["small.v2-0002"] != ANSWER
        assert row["tokens"]["merged"] == len(ANSWER) and row["stopped"]["merged"]
        assert row["tokens"]["base"] == 24 and not row["stopped"]["base"]
        assert all(seconds > 0 for seconds in row["seconds"].values())


def test_a_model_with_other_tokens_is_refused(trained_run: Trained, tmp_path: Path) -> None:
    other = Path(shutil.copytree(trained_run.base, tmp_path / "other"))
    (other / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    result = trained_run.cli("eval", "--model", other, check=False)
    assert result.returncode == 2 and "another tokenizer or chat template" in result.stderr
