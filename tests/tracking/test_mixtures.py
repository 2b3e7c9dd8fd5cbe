"""A mixture in a config: made with the run, found again, and the run is of its version."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from workbench.config import loading
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.planning import known
from workbench.reporting import report
from workbench.tracking import manifest, mixtures, repeating, runs
from workbench.workspace import Workspace


def made(workspace: Workspace, name: str, rows: int, held_out: int = 2) -> Version:
    examples = [
        Example(
            (Message("user", f"{name} {n}: why?"), Message("assistant", f"{name} says {n}")),
            task=name,
            split="validation" if n < held_out else "train",
            source=f"{name}:{n}",
        )
        for n in range(rows)
    ]
    return versions.create(workspace, name, examples, sources=[], steps=[])


@pytest.fixture
def parts(workspace: Workspace) -> tuple[Version, Version]:
    return made(workspace, "chat", 32), made(workspace, "qa", 12)


def config(base: Path, mixture: Any = "chat=0.75, qa=0.25", **data: Any) -> RunConfig:
    body = {"mixture": mixture, **data}
    return RunConfig.model_validate({"name": "both", "model": {"base": str(base)}, "data": body})


def taken(version: Version) -> Counter[str]:
    return Counter(example.task for example in versions.read(version, "train"))


def refused(workspace: Workspace, config: RunConfig) -> str:
    with pytest.raises(WorkbenchError) as told:
        runs.check_inputs(workspace, config)
    return str(told.value)


def test_a_run_is_of_the_version_that_is_mixed_for_it(
    workspace: Workspace, parts: tuple[Version, Version], tiny_model: Path
) -> None:
    said: list[str] = []
    asked = config(tiny_model, mixture_rows=60)
    folder = runs.create(workspace, asked, command=None, say=said.append)
    version = versions.resolve(workspace, "both-mix")
    assert taken(version) == {"chat": 45, "qa": 15}
    own = runs.load_config(folder)
    # What a repeat trains on, whatever becomes of the names.
    assert own.data.dataset == version.reference
    assert (own.data.mixture, own.data.mixture_rows) == ({}, None)
    shares = {parts[0].reference: 0.75, parts[1].reference: 0.25}
    assert manifest.read(folder)["mixture"] == shares
    assert manifest.read(folder)["dataset"]["sha256"] == version.sha256
    text = report.write(workspace, folder).read_text()
    assert f"mixed of {parts[0].reference}=0.75, {parts[1].reference}=0.25" in text
    assert said[-1] == f"The mixture is {version.reference}, 64 rows."
    # The same once more, written otherwise: nothing is made anew.
    again = config(tiny_model, {"qa": 0.25, parts[0].reference: 0.75}, mixture_rows=60)
    before = len(list(workspace.tasks.iterdir()))
    second = runs.create(workspace, again, command=None, say=said.append)
    assert runs.load_config(second).data.dataset == version.reference
    assert said[-1] == f"The mixture is made already: {version.reference}."
    assert len(list(workspace.tasks.iterdir())) == before
    # A new version of a part is another mixture, and the old run stays what it was.
    made(workspace, "qa", 30)
    third = runs.create(workspace, asked, command=None, say=said.append)
    assert runs.load_config(third).data.dataset != version.reference
    fourth = repeating.create(workspace, folder, command=None, say=said.append)
    assert manifest.read(fourth)["dataset"] == manifest.read(folder)["dataset"]
    assert manifest.read(fourth)["mixture"] == shares
    named = [(told["for"], told["sha256"]) for told in manifest.read(fourth)["other_datasets"]]
    assert named == [("mixed", part.sha256) for part in sorted(parts, key=lambda p: p.reference)]


def test_the_command_beside_it_makes_the_same_version(
    cli: Cli, workspace: Workspace, parts: tuple[Version, Version], tiny_model: Path
) -> None:
    asked = config(tiny_model, mixture_rows=40)
    asked = asked.model_copy(update={"training": asked.training.model_copy(update={"seed": 3})})
    mixture = mixtures.of(workspace, asked)
    assert mixtures.find(workspace, mixture) is None
    done = cli(*shlex.split(mixture.command)[1:])
    assert done.returncode == 0, done.stderr
    found = mixtures.find(workspace, mixture)
    assert found is not None and found.name == "both-mix"
    other = asked.model_copy(update={"training": asked.training.model_copy(update={"seed": 4})})
    assert mixtures.find(workspace, mixtures.of(workspace, other)) is None


def test_what_can_not_be_mixed_is_refused_by_its_path(
    workspace: Workspace, parts: tuple[Version, Version], tiny_model: Path
) -> None:
    text = refused(workspace, config(tiny_model, "chatt=1, qa=2, other=3"))
    assert "data.mixture.chatt: There is no dataset chatt. Did you mean chat" in text
    assert "data.mixture.other: There is no dataset other." in text
    twice = refused(workspace, config(tiny_model, {"qa": 1, parts[1].reference: 2}))
    assert f"data.mixture.{parts[1].reference}: {parts[1].reference} is named twice." in twice
    made(workspace, "held", 2, held_out=2)
    none = refused(workspace, config(tiny_model, "held=1, qa=2"))
    assert "data.mixture: There is no source held@" in none


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["data.mixture=a=1, b=2", "data.dataset=c"], r"data\.mixture: it stands in place of data"),
        (["data.mixture=a=1"], r"data\.mixture: a mixture is of two versions at least"),
        (["data.mixture=a=1, b=0"], r"data\.mixture: a weight is a number above 0.* b is 0"),
        (["data.mixture=a=1, b=-2"], r"of b is -2"),
        (["data.mixture=a=1, a=2"], r"a has two weights"),
        (["data.mixture=a, b"], r"write it as NAME=WEIGHT, NAME=WEIGHT"),
        (["data.mixture=[a, b]"], r"write it as NAME=WEIGHT, NAME=WEIGHT"),
        (["data.mixture_rows=9"], r"data\.mixture_rows: it counts rows of data\.mixture"),
        (["data.mixture=a=1,b=1,c=1", "data.mixture_rows=2"], r"2 rows are too few for the 3"),
    ],
)
def test_what_is_no_mixture_is_told_at_once(settings: list[str], told: str) -> None:
    with pytest.raises(loading.ConfigError, match=told):
        loading.default_config(settings)


def test_a_file_names_the_line_of_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data:\n  mixture:\n    chat: 0.7\n    qa: yes\n", encoding="utf-8")
    with pytest.raises(loading.ConfigError, match=r"line 2, data\.mixture: true and .* for qa"):
        loading.load(path)
    path.write_text("data:\n  mixture:\n    chat: 0.7\n    qa: much\n", encoding="utf-8")
    with pytest.raises(loading.ConfigError, match=r"line 4, data\.mixture\.qa: .*number"):
        loading.load(path)


def test_the_shares_are_shown_before_anything_is_made(
    cli: Cli, workspace: Workspace, parts: tuple[Version, Version], tiny_model: Path
) -> None:
    mixture = "{chat: 0.75, qa: 0.25}"
    settings = ["--set", f"data.mixture={mixture}", "--set", "data.mixture_rows=80"]
    new = cli("config", "new", "both", *settings, "--set", f"model.base={tiny_model}")
    assert new.returncode == 0, new.stderr
    assert "data.dataset" not in new.stdout
    checked = cli("config", "check", "both")
    assert checked.returncode == 0, checked.stderr
    lines = [line.split() for line in checked.stdout.splitlines()]
    assert [parts[0].reference, "30", "75.0", "%", "60", "2.00"] in lines
    assert [parts[1].reference, "10", "25.0", "%", "20", "2.00"] in lines
    found = json.loads(cli("config", "check", "both", "--json").stdout)["exposure"]
    assert [part["taken"] for part in found["parts"]] == [60, 20]
    assert not list(workspace.datasets.glob("both-mix*"))
    # Once it is made, by what it really holds.
    asked = loading.load(workspace.configs / "both.yaml")
    mixtures.make(workspace, mixtures.of(workspace, asked), lambda text: None)
    found = json.loads(cli("config", "check", "both", "--json").stdout)["exposure"]
    assert {task["task"]: task["rows"] for task in found["tasks"]} == {"chat": 60, "qa": 20}


def test_what_is_known_of_a_mixture_that_is_not_made(
    workspace: Workspace, parts: tuple[Version, Version], tiny_model: Path
) -> None:
    asked = config(tiny_model, mixture_rows=40)
    facts = known.gather(workspace, asked)
    assert facts.dataset is not None
    assert (facts.dataset.reference, facts.dataset.train, facts.dataset.validation) == (
        "both-mix",
        40,
        4,
    )
    tasks = {name: (of.rows, of.different) for name, of in facts.dataset.tasks.items()}
    assert tasks == {"chat": (30, 30), "qa": (10, 10)}
    (unknown,) = facts.unknown
    assert mixtures.of(workspace, asked).command in unknown and "verdict both-mix" in unknown
    mixtures.make(workspace, mixtures.of(workspace, asked), lambda text: None)
    facts = known.gather(workspace, asked)
    assert facts.dataset is not None and facts.dataset.train == 40
    assert facts.dataset.reference.startswith("both-mix@")
