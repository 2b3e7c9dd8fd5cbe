"""What a manifest has before the first step, how it is closed, and that no secret is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.polling import eventually
from tests.trained import Trained
from workbench.config.schema import RunConfig
from workbench.data.importing import import_files
from workbench.errors import NewerRelease, WorkbenchError
from workbench.files import sha256_file
from workbench.jobs.closing import close, log_end
from workbench.jobs.ending import Ending
from workbench.jobs.events import Finished, Notice
from workbench.jobs.log import LogWriter, read_all
from workbench.tracking import manifest, runs
from workbench.tracking.finding import MANIFEST
from workbench.workspace import Workspace

TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"


@pytest.fixture
def create(
    workspace: Workspace, write_rows: Callable[..., Path], tiny_model: Path
) -> Callable[..., Path]:
    """Makes a run that isn't started."""
    rows = ({"prompt": f"{n}?", "completion": str(n)} for n in range(10))
    import_files(workspace, [write_rows(*rows)], "numbers")

    def make(command: str = "workbench train x", **sections: object) -> Path:
        body = {"model": {"base": str(tiny_model)}, "data": {"dataset": "numbers"}, **sections}
        config = RunConfig.model_validate(body)
        return runs.create(workspace, config, command=command, say=lambda text: None)

    return make


def test_no_secret_of_config_command_or_environment_is_in_a_manifest(
    create: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_API_KEY", "words-that-nobody-knows")
    prompts = [f"What is {TOKEN}?", "And words-that-nobody-knows?", "Who is it?"]
    folder = create(
        f"workbench train x --set 'hub.token=a b' --password 'c d' {TOKEN}",
        evaluation={"sample_prompts": prompts},
    )
    text = (folder / MANIFEST).read_text()
    for secret in (TOKEN, "words-that-nobody-knows", "a b", "c d"):
        assert secret not in text
    made = manifest.read(folder)
    assert made["config"]["evaluation"]["sample_prompts"] == [
        "What is ***?",
        "And ***?",
        "Who is it?",
    ]
    assert made["command"] == "workbench train x --set 'hub.token=***' --password *** ***"
    # Nor does anything that is added later.
    manifest.update(folder, extra={"url": "https://me:pass-word@host/x"})
    assert manifest.read(folder)["extra"] == {"url": "https://me:***@host/x"}
    # What is trained is what was asked for.
    assert runs.load_config(folder).evaluation.sample_prompts == prompts


def test_before_the_first_step_a_manifest_has_what_the_run_is_made_of(trained_run: Trained) -> None:
    made = manifest.read(trained_run.run)
    first_step = next(
        r.time for r in read_all(trained_run.run / runs.LOG) if r.event.type == "step"
    )
    assert made["created"] < made["starts"][0]["time"] < first_step
    assert made["seeds"] == {"training.seed": 0}
    assert made["template"].keys() == {"sha256", "tokenizer", "chat_template"}
    template = trained_run.base / "chat_template.jinja"
    assert made["template"]["chat_template"] == sha256_file(template)
    assert made["tokens"]["train"]["rows"] == 32 and made["tokens"]["validation"]["rows"] == 8
    assert made["tokens"]["train"]["trained_tokens"] == 32 * 3  # `ok` and the end marker
    around = made["starts"][0]["environment"]
    assert around["workbench"] == manifest.code()
    assert around["host"] and around["threads"] >= 1
    assert around["other_packages"]["textual"] and "torch" not in around["other_packages"]


def test_at_the_end_a_manifest_says_how_and_has_the_hashes_of_what_was_made(
    trained_run: Trained,
) -> None:
    made, log = manifest.read(trained_run.run), trained_run.run / runs.LOG
    ended = made["ended"]
    assert (ended["status"], ended["text"], ended["cause"]) == ("finished", "Finished.", "")
    last = list(read_all(log))[-1]
    assert isinstance(last.event, Finished)
    assert ended["log"] == {
        "seq": last.seq,
        "bytes": log.stat().st_size,
        "sha256": sha256_file(log),
    }
    adapter = trained_run.run / "adapter"
    assert all(sha256_file(adapter / n) == digest for n, digest in made["adapter"].items())


def test_a_run_that_fails_closes_its_manifest_too(
    create: Callable[..., Path], tiny_model: Path
) -> None:
    folder = create()
    (tiny_model / "tokenizer.json").write_text("{}")
    runs.start(folder)
    eventually(lambda: "ended" in manifest.read(folder), 120)
    ended = manifest.read(folder)["ended"]
    assert ended["status"] == "failed" and "tokenizer.json" in ended["text"]
    assert ended["log"]["seq"] == list(read_all(folder / runs.LOG))[-1].seq


def test_a_log_s_end_is_that_of_its_last_whole_line(tmp_path: Path) -> None:
    log, record = tmp_path / "train.jsonl", tmp_path / "record.json"
    with LogWriter(log) as writer:
        for n in range(3):
            writer.write(Notice(f"{n}"))
    whole = log_end(log)
    assert (whole.seq, whole.bytes) == (2, log.stat().st_size)
    with log.open("ab") as stream:
        stream.write(b'{"v":1,"seq":3')
    assert log_end(log) == whole
    record.write_text('{"kept": 1}')
    close(record, log, replace(Ending("failed", "x"), text=f"The hub refused {TOKEN}."))
    told = json.loads(record.read_text())
    assert told["kept"] == 1 and told["ended"]["log"]["sha256"] == whole.sha256
    assert told["ended"]["text"] == "The hub refused ***."
    # One that isn't there is not made.
    close(tmp_path / "none.json", log, Ending("finished", "Finished."))
    assert not (tmp_path / "none.json").exists()


def test_a_manifest_that_no_release_wrote_so_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "small-0001"
    folder.mkdir()
    with pytest.raises(WorkbenchError, match="small-0001 is half-written: it has no"):
        manifest.read(folder)
    (folder / MANIFEST).write_text('{"v": 1, "run": "small-0001", "created": 1, "config": {}}')
    with pytest.raises(WorkbenchError, match="has no dataset"):
        manifest.read(folder)
    (folder / MANIFEST).write_text('{"v": 7}')
    with pytest.raises(NewerRelease, match="its version is 7, and this release knows 1"):
        manifest.read(folder)
    (folder / MANIFEST).write_text('{"v": 1, "ru')
    with pytest.raises(WorkbenchError, match="not valid JSON"):
        manifest.read(folder)
    assert [path.name for path in folder.iterdir()] == [MANIFEST]
