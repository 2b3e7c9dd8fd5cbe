"""A run once more, from its manifest: bit for bit on a processor, with the very same inputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.copies import RUN, copy_of
from tests.trained import Trained
from workbench.data import versions
from workbench.errors import WorkbenchError
from workbench.redaction import HIDDEN
from workbench.tracking import curve_comparison, manifest, repeating, runs
from workbench.verbs import runs_repeat
from workbench.workspace import Workspace

Copy = tuple[Workspace, Path, Path]


@pytest.fixture
def copy(trained_run: Trained, tmp_path: Path) -> Copy:
    return copy_of(trained_run, tmp_path)


def repeat(copy: Copy, **more: Any) -> Path:
    return repeating.create(copy[0], copy[1], command="x", say=lambda text: None, **more)


def refusal(copy: Copy, **more: Any) -> WorkbenchError:
    before = sorted(copy[0].runs.iterdir())
    with pytest.raises(WorkbenchError) as caught:
        repeat(copy, **more)
    assert sorted(copy[0].runs.iterdir()) == before
    return caught.value


def test_a_repeat_is_the_run_bit_for_bit(copy: Copy, trained_run: Trained) -> None:
    """On another day, with more processors at hand and from another folder of the same base."""
    workspace, run, base = copy
    elsewhere = base.rename(base.with_name("moved"))
    manifest.update(run, date="2024-07-26")
    place = ("--workspace", workspace.root)
    done = trained_run.cli("runs", "repeat", RUN, "--base", elsewhere, *place)
    again = workspace.runs / "small-0002"
    made, first = manifest.read(again), manifest.read(run)
    assert f"{RUN} and small-0002, finished" in done.stdout
    assert "training loss    40 steps, to step 40: bit for bit the same" in done.stdout
    assert "weights          bit for bit the same" in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert made["repeats"] == {"run": RUN, "micro_batch": 4, "threads": 1}
    assert made["date"] == "2024-07-26" and made["tokens"] == first["tokens"]
    assert made["base"]["files"] == first["base"]["files"]
    weights = "adapter_model.safetensors"
    assert made["adapter"][weights] == first["adapter"][weights]
    found = trained_run.json("runs", "repeat", RUN, "--compare", *place)
    assert found["repeat"] == "small-0002" and found["repeated"] and found["weights"]["equal"]
    assert found["training"]["equal"] and found["training"]["compared"] == 40
    assert found["validation"]["equal"] and found["validation"]["compared"] == 3
    assert found["bit_for_bit_expected"] and found["tolerance"] == 0


def test_a_version_that_is_not_there_is_named_with_its_hash(copy: Copy) -> None:
    workspace, run, _ = copy
    told = manifest.read(run)["dataset"]
    shutil.rmtree(workspace.datasets / "numbers")
    error = refusal(copy)
    assert f"numbers@{told['version']}" in error.message and told["sha256"] in error.message
    assert "40 rows" in error.message


def test_rows_that_were_changed_are_not_trained_on(copy: Copy) -> None:
    version = versions.resolve(copy[0], "numbers")
    version.data_path.write_text(version.data_path.read_text().replace("Is 7", "Is 8"))
    assert version.sha256 in refusal(copy).message


def test_a_base_that_is_gone_or_another_is_named_with_its_hash(copy: Copy) -> None:
    _, run, base = copy
    digest = manifest.read(run)["base"]["files"]["model.safetensors"]
    moved = base.rename(base.with_name("moved"))
    gone = refusal(copy)
    assert str(base) in gone.message and f"model.safetensors: SHA-256 {digest}" in gone.message
    assert "--base FOLDER" in gone.hint
    (moved / "model.safetensors").open("ab").write(b" ")
    other = refusal(copy, base=str(moved))
    assert f"of model.safetensors was {digest} and is " in other.message


def test_the_config_of_the_manifest_is_what_is_repeated(copy: Copy) -> None:
    _, run, _ = copy
    path = run / runs.CONFIG
    text = path.read_text()
    for spoilt in (text.replace("learning_rate: 0.005", "learning_rate: 0.5"), text[:200]):
        path.write_text(spoilt)
        said: list[str] = []
        again = repeating.create(copy[0], run, command=None, say=said.append)
        assert runs.load_config(again).training.learning_rate == 0.005
        assert f"{path} is not what it was" in said[0]


def test_a_secret_of_the_config_is_taken_from_its_file_alone(copy: Copy) -> None:
    _, run, _ = copy
    path, made = run / runs.CONFIG, manifest.read(run)
    prompt = "Is hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567 a number?"
    text = path.read_text().replace("sample_prompts: []", f"sample_prompts: ['{prompt}']")
    path.write_text(text)
    made["config"]["evaluation"]["sample_prompts"] = [prompt]
    manifest.update(run, config=made["config"])
    kept = manifest.read(run)["config"]["evaluation"]["sample_prompts"]
    assert kept == [f"Is {HIDDEN} a number?"]
    assert runs.load_config(repeat(copy)).evaluation.sample_prompts == [prompt]
    path.unlink()
    assert "doesn't keep the secrets of its config" in refusal(copy).message


def test_curves_that_part_are_told_by_the_first_step_that_differs(copy: Copy) -> None:
    _, run, _ = copy
    other = Path(shutil.copytree(run, run.with_name("small-0002")))
    log = other / runs.LOG
    changed = {7: 1 + 2**-52, 12: 1.004, 30: 1.02}
    lines = []
    for line in log.read_text().splitlines():
        body = json.loads(line)
        if body["type"] == "step":
            body["loss"] *= changed.get(body["step"], 1.0)
            if body["step"] > 38:
                continue
        lines.append(json.dumps(body))
    log.write_text("\n".join(lines) + "\n")
    found = curve_comparison.compare(run, other, 0.01)
    curve = found["training"]
    assert (curve["compared"], curve["last"], curve["alone"]) == (38, 38, (2, 0))
    assert not curve["equal"] and curve["first_apart"]["step"] == 7
    assert curve["furthest"]["step"] == curve["first_beyond"]["step"] == 30
    assert curve["furthest"]["difference"] == pytest.approx(0.02 / 1.02)
    assert not found["repeated"] and runs_repeat.status(found) == 1
    assert curve_comparison.compare(run, other, 0.02)["repeated"]
    # On one machine without a GPU equality to the bit is owed, and nothing less is enough.
    strict = curve_comparison.compare(run, other)
    assert strict["tolerance"] == 0 and strict["training"]["first_beyond"]["step"] == 7
    made = manifest.read(other)
    made["starts"][0]["environment"] |= {"device": "NVIDIA H100", "threads": 8}
    manifest.update(other, starts=made["starts"])
    loose = curve_comparison.compare(run, other)
    assert loose["tolerance"] == curve_comparison.TOLERANCE
    assert "NVIDIA H100: GPUs add in no fixed order" in loose["why_not"][0]


def test_what_a_comparison_shows_fits_80_columns(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run, _ = copy
    other = Path(shutil.copytree(run, run.with_name("small-0002")))
    log = other / runs.LOG
    log.write_text(log.read_text().replace('"loss":0.0', '"loss":0.1'))
    made = manifest.read(other)
    made["adapter"]["adapter_model.safetensors"] = "0" * 64
    made["starts"][0]["environment"]["packages"]["torch"] = "9.9"
    manifest.update(other, adapter=made["adapter"], starts=made["starts"])
    runs_repeat.show(curve_comparison.compare(run, other))
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert (
        "not the same" in shown
        and "first beyond the tolerance at step" in shown
        and "0" * 64 in shown
    )
    assert "It does not repeat, within 0.01 of each loss. No equality to the bit is owed" in shown
    assert " and 9.9." in " ".join(shown.split())


def test_runs_without_a_step_in_common_are_not_compared(copy: Copy) -> None:
    _, run, _ = copy
    other = Path(shutil.copytree(run, run.with_name("small-0002")))
    (other / runs.LOG).write_text("")
    with pytest.raises(WorkbenchError, match="no step in common"):
        curve_comparison.compare(run, other)
