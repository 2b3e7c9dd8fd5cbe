from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import many_runs
from tests.conftest import Cli
from workbench.errors import WorkbenchError
from workbench.tracking import column_names, notes, run_query
from workbench.tracking.listing import Line, Listing
from workbench.workspace import Workspace


@pytest.fixture
def lines(workspace: Workspace) -> list[Line]:
    """Six runs of known configs, the newest first."""
    settings: list[dict[str, object]] = [
        {"name": "a", "lora__rank": 8, "model__base": "org/SmolLM2-135M"},
        {"name": "b", "lora__rank": 16, "training__learning_rate": 2e-4},
        {"name": "c", "lora__rank": 64, "data__dataset": "qa@aaaa11112222"},
        {"name": "d", "lora__rank": 16, "data__dataset": "qa-long@bbbb11112222"},
        {"name": "e", "lora__dora": True, "lora__rank": 32, "training__max_steps": 7},
        {"name": "f", "lora__rank": 4, "lora__target_modules": ["q_proj", "v_proj"]},
    ]
    states = ("finished", "finished", "failed", "stopped", "finished", "finished")
    for number, (given, status) in enumerate(zip(settings, states, strict=True), 1):
        usual = {"data__dataset": "chat@cccc11112222", "model__base": "default"}
        rest = {"training__learning_rate": 1e-4, "lora__dora": False}
        many_runs.run(workspace, number, seed=number, status=status, **{**usual, **rest, **given})
    folders = {folder.name: folder for folder in workspace.runs.iterdir()}
    for path in workspace.runs.glob("*/notes.json"):
        path.unlink()
    notes.tag(folders["a-0001"], ["good", "paper"])
    notes.add(folders["b-0002"], "The tokenizer was wrong")
    notes.archive(folders["f-0006"])
    _write_scores(folders["a-0001"], 0.2, 0.5)
    _write_scores(folders["b-0002"], 0.2, 0.4)
    for name in ("c-0003", "f-0006"):
        for path in folders[name].glob("evaluations/*/metrics.json"):
            path.unlink()
    return Listing(workspace).look()


def _write_scores(run: Path, base: float, own: float) -> None:
    place = run / "evaluations" / "01"
    place.mkdir(parents=True, exist_ok=True)
    body = {
        name: {"rouge_l": {"value": value, "low": 0.0, "high": 1.0, "n": 9}}
        for name, value in (("base", base), ("adapter", own))
    }
    (place / "metrics.json").write_text(json.dumps({"systems": body}))


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("", "edcba"),
        ("state:ended", "edcba"),
        ("state:going", ""),
        ("state:finished", "eba"),
        ("-state:finished", "dc"),
        ("base:smol", "a"),
        ("tag:good", "a"),
        ("tag:goo", ""),
        ("#goo", "a"),
        ("-tag:good state:finished", "eb"),
        ("tag:none", "edcb"),
        ("lora.r>=16", "edcb"),
        ("lora.r>=16 lora.r<32", "db"),
        ("rank:16", "db"),
        ("lora.rank!=16", "eca"),
        ("lr=2e-4", "b"),
        ("lr=0.0002", "b"),
        ("lora.dora:true", "e"),
        ("max_steps:none", "dcba"),
        ("max_steps=7", "e"),
        ("dataset:qa", "c"),
        ("dataset:qa@aaaa", "c"),
        ("dataset:qa@bbbb", ""),
        ("dataset:chat -tag:good", "eb"),
        ("rougeL>0.3", "ba"),
        ("ROUGE-L>0.45", "a"),
        ("base.rouge_l<0.3", "ba"),
        ("rouge_l:none", "edc"),
        ("-rouge_l>0.45", "edcb"),
        ("tokenizer", "b"),
        ('"tokenizer was"', "b"),
        ('"was tokenizer"', ""),
        ("note:wrong", "b"),
        ("qa", "dc"),
        ("archived:yes", "f"),
        ("archived:no state:stopped", "d"),
        ("started>2020-01-01 started<2021-01-01", ""),
        ("age>1s", "edcba"),
    ],
)
def test_a_query_finds(lines: list[Line], where: str, found: str) -> None:
    assert "".join(line.id[0] for line in run_query.select(lines, where)) == found


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("lora.rnak>16", "No run has lora.rnak.\nDid you mean lora.rank"),
        ("loss<low", "loss<low compares loss with no number"),
        ("loss< 1", "loss< is no comparison"),
        ('"tokenizer was', "isn't closed"),
        ("dtype:auto", "Several fields of the config end with dtype.\nName model.dtype or"),
        ("modules:x", "No run has modules"),
        ("started>yesterday", "started>2026-11-20"),
    ],
)
def test_what_is_no_query_is_refused_in_words(lines: list[Line], where: str, said: str) -> None:
    with pytest.raises(WorkbenchError) as refusal:
        run_query.select(lines, where)
    assert said in str(refusal.value)


def test_runs_are_sorted_by_any_column_and_those_without_a_value_are_last(
    lines: list[Line],
) -> None:
    def order(sort: str) -> str:
        return "".join(line.id[0] for line in run_query.select(lines, sort=sort))

    assert order("lora.r") == "adbec" or order("lora.r") == "abdec"
    assert order("-lora.rank")[0] == "c"
    assert order("-rougeL") == "abedc"
    assert order("rougeL") == "baedc"
    assert order("run") == "abcde"
    assert order("-started") == "edcba"
    validation = [
        line.summary.best_validation_loss
        for line in run_query.select(lines, sort="validation loss")
    ]
    assert validation == sorted(v for v in validation if v is not None)


def test_columns_are_asked_for_by_the_names_that_people_use(lines: list[Line]) -> None:
    asked = "run, lora.r, Validation Loss, rougeL, base.rougeL, target_modules, lr"
    found = column_names.parse(asked, lines)
    assert [column.name for column in found] == [
        "run",
        "lora.rank",
        "validation_loss",
        "rouge_l",
        "base.rouge_l",
        "lora.target_modules",
        "training.learning_rate",
    ]
    (first,) = (line for line in lines if line.id == "a-0001")
    assert [column.text(first) for column in found][3:5] == ["0.5000", "0.2000"]
    (put_away,) = (line for line in lines if line.id == "f-0006")
    assert found[5].text(put_away) == "q_proj,v_proj" and found[3].text(put_away) == "–"


def test_the_verb_lists_what_is_asked_for(lines: list[Line], cli: Cli) -> None:
    asked = ("--where", "lora.r>=16 state:finished", "--sort=-lora.r", "--columns", "lora.r,rougeL")
    told = json.loads(cli("runs", "list", *asked, "--json").stdout)
    assert [(run["run"], run["lora.rank"]) for run in told] == [("e-0005", 32), ("b-0002", 16)]
    assert told[1]["rouge_l"] == 0.4
    shown = cli("runs", *asked).stdout.splitlines()
    assert shown[0].split() == ["lora.rank", "rouge_l"] and shown[2].split() == ["16", "0.4000"]
    wrong = cli("runs", "list", "--where", "lora.rnak>3")
    assert wrong.returncode == 2 and "Did you mean lora.rank" in wrong.stderr
    assert cli("runs", "list", "--columns", "nonsense").returncode == 2


def test_columns_are_kept_for_a_person_and_nothing_else_of_the_settings_changes(
    lines: list[Line], cli: Cli, tmp_path: Path
) -> None:
    own = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    settings = tmp_path / "config" / "workbench" / "settings.toml"
    settings.parent.mkdir(parents=True)
    written = '# mine\ntheme = "nord"  # dark\nruns_columns = [\n  "run",\n]\nmouse = false\n'
    settings.write_text(written)
    assert cli("runs", "list", **own).stdout.splitlines()[0] == "run"
    told = cli("runs", "columns", "run,lora.r,tags", "--json", **own)
    assert json.loads(told.stdout)["chosen"] == ["run", "lora.rank", "tags"]
    kept = written.replace('[\n  "run",\n]', '["run", "lora.rank", "tags"]')
    assert settings.read_text() == kept
    assert cli("runs", "list", **own).stdout.split("\n")[0].split() == ["run", "lora.rank", "tags"]
    assert cli("runs", "columns", "--usual", **own).returncode == 0
    assert settings.read_text() == '# mine\ntheme = "nord"  # dark\nmouse = false\n'
    settings.write_text("theme = 3")
    assert cli("runs", "columns", "run", **own).returncode == 2
    assert settings.read_text() == "theme = 3"


def test_archived_runs_are_hidden_until_they_are_asked_for_and_all_is_still_there(
    lines: list[Line], cli: Cli, workspace: Workspace
) -> None:
    def ids(*arguments: str) -> str:
        return "".join(r["id"][0] for r in json.loads(cli("runs", *arguments, "--json").stdout))

    files = sorted(path.name for path in (workspace.runs / "a-0001").rglob("*"))
    assert ids("list") == "edcba" and ids("list", "--archived") == "f"
    assert cli("runs", "archive", "a-0001", "nothing").returncode == 2
    assert ids("list") == "edcba"
    assert cli("runs", "archive", "a-0001", "b").returncode == 0
    assert ids("list") == "edc" and ids("list", "--all") == "fedcba"
    assert ids("list", "--archived", "--tag", "good") == "a"
    assert sorted(path.name for path in (workspace.runs / "a-0001").rglob("*")) == files
    assert cli("runs", "unarchive", "a-0001").returncode == 0
    assert ids() == "edca"
