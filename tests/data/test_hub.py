"""Data sets of the hub without a network: a cache as `datasets` itself writes it, and the hub's
answers where only it could give them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest

from workbench.data import hub, revising, versions
from workbench.data import recipe as recipes
from workbench.data.importing import Options, import_files, recipe_of
from workbench.data.replay import make
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds OWNER/NAME at COMMIT, with two splits."""
    folder = tmp_path / "files"
    folder.mkdir()
    for split, count in (("train", 9), ("test", 3)):
        rows = [{"question": f"{split} {n}?", "answer": str(n)} for n in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    made = tmp_path / "made"
    datasets.load_dataset(str(folder), cache_dir=str(made))
    (inner,) = (path.parent for path in made.glob("*/*/*/*/dataset_info.json"))
    cache = tmp_path / "cache"
    place = cache / "owner___name" / "default" / "0.0.0" / COMMIT
    shutil.copytree(inner, place)
    for path in place.glob("*.arrow"):
        path.rename(path.with_name(f"name-{path.name.rpartition('-')[2]}"))
    about = json.loads((place / "dataset_info.json").read_text())
    about |= {"config_name": "default", "dataset_name": "name"}
    (place / "dataset_info.json").write_text(json.dumps(about))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    return cache


def test_a_split_in_the_cache_is_imported_without_a_network_and_its_commit_is_kept(
    workspace: Workspace, cache: Path
) -> None:
    options = Options(validation_files=("hub:owner/name#test",), task="qa")
    version = import_files(workspace, ["hub:owner/name"], "made", options)
    assert version.splits == {"train": 9, "validation": 3}
    assert next(versions.read(version)).source == "owner/name/train:row 1"
    sources = revising.recipe_of(version).to_json()["sources"]
    assert [(s["hub"], s["part"], s["revision"]) for s in sources] == [
        ("owner/name", "train", COMMIT),
        ("owner/name", "test", COMMIT),
    ]
    body = {**revising.recipe_of(version).to_json(), "name": "again"}
    assert make(workspace, recipes.parse(body, "it")).sha256 == version.sha256
    body["sources"][0]["revision"] = OTHER
    with pytest.raises(WorkbenchError) as caught:
        make(workspace, recipes.parse(body, "it"))
    assert f"has it at {COMMIT}, not at {OTHER}" in caught.value.message


def test_what_can_t_be_had_is_refused_in_words_and_in_seconds(cache: Path) -> None:
    began = time.monotonic()
    with pytest.raises(WorkbenchError) as caught:
        hub.find("owner/other")
    assert "the hub can't be reached, and it is not in this machine's cache" in str(caught.value)
    with pytest.raises(WorkbenchError, match="has no split dev: "):
        hub.find("owner/name", part="dev")
    with pytest.raises(WorkbenchError, match="owner/name can't be"):
        hub.find("owner/name", config="other")
    assert time.monotonic() - began < 10


def test_with_a_network_the_commit_that_the_hub_names_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def load(name: str, config: str | None, revision: str | None) -> dict[str, datasets.Dataset]:
        asked.append((name, config, revision))
        return {"only": datasets.Dataset.from_list([{"text": "A text", "bad": float("nan")}])}

    info = SimpleNamespace(sha=COMMIT)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *a, **more: info)
    monkeypatch.setattr(datasets, "load_dataset", load)
    found = hub.find("owner/name", "main", revision="v1")
    assert (found.commit, found.part, asked) == (COMMIT, "only", [("owner/name", "main", COMMIT)])
    (row,) = hub.read("owner/name", found)
    assert (row.place, row.value) == ("owner/name/only:row 1", {"text": "A text", "bad": None})

    def scripted(*args: object, **more: object) -> None:
        raise RuntimeError("Dataset scripts are no longer supported, but found name.py")

    monkeypatch.setattr(datasets, "load_dataset", scripted)
    with pytest.raises(WorkbenchError, match="needs code of its own to be read, which is never"):
        hub.find("owner/name")


@pytest.mark.parametrize(
    "text", ["hub:", "hub:name", "hub:a/b/c", "hub:../x", "hub:a/b c", "hub:a/b@"]
)
def test_what_names_no_data_set_is_refused_at_once(text: str) -> None:
    with pytest.raises(WorkbenchError, match="names no data set of the hub"):
        recipe_of([text], "made", Options())


def test_a_name_may_have_config_revision_and_split() -> None:
    assert hub.parse("hub:a/b:main@v1#test") == hub.Spec("a/b", "main", "v1", "test")
    assert hub.parse("hub:a/b@refs/convert/parquet") == hub.Spec("a/b", "", "refs/convert/parquet")
