"""A run held against its manifest: what is the same, what has changed, what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.tracking.copies import RUN, copy_of
from tests.trained import Trained
from workbench.data import versions
from workbench.files import sha256_file
from workbench.jobs.progress import untold
from workbench.redaction import redacted
from workbench.tracking import manifest, verifying
from workbench.tracking.verifying import AROUND, CHANGED, MISSING, SAME, UNRECORDED, Line
from workbench.training import verify_job
from workbench.verbs import runs_verify
from workbench.workspace import Workspace

Copy = tuple[Workspace, Path, Path]


@pytest.fixture
def copy(trained_run: Trained, tmp_path: Path) -> Copy:
    return copy_of(trained_run, tmp_path)


def lines(copy: Copy) -> list[Line]:
    found, _ = verify_job.look(copy[0], copy[1], untold)
    return found


def differing(copy: Copy) -> list[tuple[str, str, str]]:
    """Part, name and state of what is not the same, but for what is around the run."""
    return [
        (line.part, line.name, line.state)
        for line in lines(copy)
        if line.state != SAME and line.part != AROUND
    ]


def test_a_run_that_nobody_touched_is_what_it_was(trained_run: Trained, tmp_path: Path) -> None:
    """By the command, with the rows encoded anew in a process of its own."""
    workspace, run, _ = copy_of(trained_run, tmp_path)
    shutil.rmtree(workspace.cache)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    shown = trained_run.json("runs", "verify", RUN, "--workspace", workspace.root)
    assert shown["unchanged"] and shown["run"] == RUN and shown["notices"] == []
    parts = {line["part"] for line in shown["lines"]}
    wanted = {"run", "config", "dataset", "base", "tokenizer", "tokens", "result", "log", AROUND}
    assert parts == wanted
    made = manifest.read(run)
    tokens = {line["name"].split()[0]: line for line in shown["lines"] if line["part"] == "tokens"}
    for split in ("train", "validation"):
        assert tokens[split]["was"] == tokens[split]["now"] == made["tokens"][split]["sha256"]
    # Nothing in the run's folder was touched, and no cache was taken for the rows.
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    assert not (workspace.cache / "tokens").exists()


def test_each_thing_that_was_changed_is_told_with_both_values(copy: Copy) -> None:
    _, run, base = copy
    (base / "model.safetensors").open("ab").write(b" ")
    (run / "adapter" / "adapter_model.safetensors").open("ab").write(b" ")
    (run / "adapter" / "tokenizer.json").unlink()
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("learning_rate: 0.005", "learning_rate: 0.5"))
    log = run / "train.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"step":7,', b'"step":8,', 1))
    assert differing(copy) == [
        ("config", "training.learning_rate", CHANGED),
        ("base", "model.safetensors", CHANGED),
        ("result", "adapter/adapter_model.safetensors", CHANGED),
        ("result", "adapter/tokenizer.json", MISSING),
        ("log", f"train.jsonl (to event {manifest.read(run)['ended']['log']['seq']})", CHANGED),
    ]
    found = {line.name: line for line in lines(copy)}
    weights = found["model.safetensors"]
    assert weights.was == manifest.read(run)["base"]["files"]["model.safetensors"]
    assert weights.now == sha256_file(base / "model.safetensors")
    rate = found["training.learning_rate"]
    assert (rate.was, rate.now) == ("0.005", "0.5")


def test_rows_that_were_changed_are_told_and_not_encoded(copy: Copy) -> None:
    workspace, _, _ = copy
    version = versions.resolve(workspace, "numbers")
    version.data_path.write_text(version.data_path.read_text().replace("Is 7", "Is 8"))
    assert differing(copy) == [
        ("dataset", version.reference, CHANGED),
        ("tokens", "train (32 rows, 1,536 tokens)", MISSING),
        ("tokens", "validation (8 rows, 394 tokens)", MISSING),
    ]


def test_a_version_that_has_another_name_now_is_found_by_its_content(copy: Copy) -> None:
    workspace, _, _ = copy
    version = versions.resolve(workspace, "numbers")
    about = version.folder / "version.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "name": "renamed"}))
    (workspace.datasets / "numbers").rename(workspace.datasets / "renamed")
    assert differing(copy) == []


def test_a_template_that_renders_otherwise_gives_other_tokens(copy: Copy) -> None:
    _, _, base = copy
    template = base / "chat_template.jinja"
    template.write_text(template.read_text().replace("user", "user") + "\n")
    states = {(part, name): state for part, name, state in differing(copy)}
    assert states["base", "chat_template.jinja"] == CHANGED
    assert states["tokenizer", "chat_template"] == CHANGED
    assert ("tokenizer", "tokenizer") not in states


def shown(copy: Copy, capsys: pytest.CaptureFixture[str], **asked: bool) -> str:
    """What the command prints."""
    found, notices = verify_job.look(copy[0], copy[1], untold)
    body = {**verifying.found(found), "lines": [line.to_json() for line in found]}
    result = {"run": RUN, "notices": notices, "strict": False, "all": False, **body, **asked}
    runs_verify.show(result)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if len(line) > 80 and "/" not in line] == []
    assert runs_verify.status(result) == int(not result["unchanged"] or bool(asked))
    return printed


def test_what_is_missing_is_told_by_its_hash(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, run, base = copy
    made = manifest.read(run)
    shutil.rmtree(base)
    shutil.rmtree(workspace.datasets)
    found = {line.name: line for line in lines(copy) if line.state == MISSING}
    assert found["model.safetensors"].was == made["base"]["files"]["model.safetensors"]
    assert found["model.safetensors"].now == verifying.ABSENT
    reference = f"numbers@{made['dataset']['version']}"
    assert found[reference].was == made["dataset"]["sha256"]
    printed = shown(copy, capsys)
    assert f"! The base model folder {base} doesn't exist." in printed
    assert "is not what it was" in printed


def test_packages_code_driver_and_git_that_changed_are_told_and_are_no_failure(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run, _ = copy
    made = manifest.read(run)
    around = made["starts"][0]["environment"]
    around["packages"] |= {"torch": "1.0", "vllm": "2.0"}
    around["other_packages"] |= {"textual": "0.1"}
    around["workbench"]["sha256"] = "0" * 64
    around["host"] = "node-7"
    around["nvidia"] = {"driver": "999.1", "gpus": [{"name": "H100", "uuid": "x"}]}
    git = {"folder": str(run / "nowhere"), "commit": "1" * 40, "dirty": False, "changes": None}
    manifest.update(run, starts=made["starts"], git=git)
    found = lines(copy)
    assert verifying.found(found) == {"unchanged": True, "same_around": False}
    told = {line.name: (line.state, line.was) for line in found}
    assert told["torch"] == (CHANGED, "1.0") and told["vllm"] == (MISSING, "2.0")
    assert told["textual"] == (CHANGED, "0.1") and told["host"] == (CHANGED, "node-7")
    assert told["driver"] == (CHANGED, "999.1") and told["GPUs"] == (CHANGED, "H100")
    assert told["workbench's code"] == (CHANGED, "0" * 64)
    assert told[f"git commit of {run / 'nowhere'}"] == (MISSING, "1" * 40)
    assert "! changed      torch: 1.0 -> " in shown(copy, capsys)
    assert "only what is around it has changed" in shown(copy, capsys, strict=True)


def test_a_run_of_an_earlier_release_says_what_it_never_recorded(copy: Copy) -> None:
    _, run, _ = copy
    made = manifest.read(run)
    files = {name: made["adapter"][name] for name in ("adapter_model.safetensors",)}
    template = {"sha256": made["template"]["sha256"]}
    for start in made["starts"]:
        for name in ("workbench", "host", "other_packages"):
            del start["environment"][name]
    manifest.update(
        run, tokens=None, ended=None, template=template, adapter=files, starts=made["starts"]
    )
    assert differing(copy) == [
        ("tokens", "train (32 rows, 1,536 tokens)", UNRECORDED),
        ("tokens", "validation (8 rows, 394 tokens)", UNRECORDED),
        ("log", "train.jsonl", UNRECORDED),
    ]
    assert all(line.state in (SAME, UNRECORDED) for line in lines(copy) if line.part == AROUND)


def test_a_run_that_never_started_has_nothing_to_be_held_against(
    copy: Copy,
) -> None:
    _, run, _ = copy
    made = manifest.read(run)
    gone = dict.fromkeys(("starts", "template", "tokens", "adapter", "ended", "step"))
    base = {name: made["base"][name] for name in ("name", "revision")}
    manifest.update(run, **gone, base=base)
    (run / "train.jsonl").unlink()
    states = {state for _, _, state in differing(copy)}
    assert states == {UNRECORDED}
    assert manifest.read(run) == redacted(manifest.read(run))
