from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Cli
from workbench.cli import main
from workbench.data import card, data_card, mixing, revising, tokens, versions
from workbench.data.curate import checks, looking
from workbench.data.importing import Options, import_files
from workbench.data.recipe import Drop, Mix, Redact
from workbench.data.replay import make
from workbench.data.template import ChatTemplate
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.jobs.progress import untold
from workbench.workspace import Workspace

WriteRows = Callable[..., Path]


def pair(number: int, text: str = "What is it?", **more: Any) -> dict[str, Any]:
    return {"prompt": f"{text} {number}", "completion": f"It is {number}.", **more}


def read(version: Version) -> str:
    return (version.folder / card.NAME).read_text("utf-8")


def front(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    return dict(yaml.safe_load(head))


def look(workspace: Workspace, version: Version, name: str) -> None:
    check = checks.get(name)
    looking.look(workspace, version, check, check.Options(), untold)


@pytest.fixture
def version(workspace: Workspace, write_rows: WriteRows) -> Version:
    lines = [*(pair(n) for n in range(19)), pair(3), {"prompt": "?"}, pair(20, "ann@example.org")]
    options = Options(task="qa", licenses={"": "mit"}, skip_bad=True)
    return import_files(workspace, [write_rows(*lines)], "made", options)


def test_a_version_has_a_card_that_says_where_its_rows_are_from(version: Version) -> None:
    text = read(version)
    assert front(text) == {
        "license": "mit",
        "pretty_name": version.reference,
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": "data.jsonl"}],
    }
    assert re.search(r"^- rows\.jsonl; licence mit; sha256 [0-9a-f]{64}; bytes \d+", text, re.M)
    assert "| exact duplicates | 21 | 20 | 0 |  |" in text
    assert "| exact duplicates |  | 1 |" in text
    assert "| read | there is no response" in text
    train, held_out = version.splits["train"], version.splits["validation"]
    assert f"| qa | train | {train} | {train} |" in text
    assert f"| qa | validation | {held_out} | {held_out} |" in text
    assert "| assistant | 20 |" in text
    assert "- personal-data: not looked for in this version" in text
    assert str(version.folder) not in text and str(version.folder.parents[2]) not in text


def test_the_recipe_in_it_makes_the_version_beside_its_files(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.data import recipe as recipes

    text = read(version).split("## How to make it again")[1]
    body = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    (tmp_path / "again.yaml").write_text(body)
    monkeypatch.chdir(tmp_path)
    again = make(Workspace(tmp_path / "other"), recipes.load(tmp_path / "again.yaml"))
    assert again.sha256 == version.sha256


def test_a_check_that_has_looked_is_in_it(workspace: Workspace, version: Version) -> None:
    look(workspace, version, "personal-data")
    text = read(version)
    assert "| personal-data |  | 1 | 1 email |" in text
    assert "- personal-data: not" not in text and "- quality: not" in text
    clean = make(workspace, revising.with_step(version, Redact()))
    assert "gave way to placeholders: 1" in read(clean)
    assert b"ann@example" not in (clean.folder / card.NAME).read_bytes()
    # The steps of what it was made from are in it, too.
    assert "| exact duplicates | 21 | 20 | 0 |  |" in read(clean)
    dropped = make(workspace, revising.with_step(version, Drop(check="personal-data")))
    assert "| drop personal-data | email | 1 |" in read(dropped)


def test_tokens_are_in_it_once_they_are_counted(version: Version, tiny_model: Path) -> None:
    assert "Not counted" in read(version)
    template = ChatTemplate.load(tiny_model)
    counts = tokens.count(versions.read(version), version.rows, template)
    about = {"base": "/home/me/base", "revision": None, "template": template.fingerprint()}
    data_card.keep_tokens(version, {**counts, **about})
    text = read(version)
    assert "Of base, chat template" in text and "Not counted" not in text
    row = f"| all | {version.rows} | {counts['all']['tokens']:,} |"
    assert row in text


def test_licences_are_as_declared_and_never_guessed(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    first = write_rows(*(pair(n) for n in range(9)), name="a.jsonl")
    second = write_rows(*(pair(n, "Why?") for n in range(9)), name="b.jsonl")
    made = import_files(
        workspace, [first, second], "both", Options(licenses={str(first): "cc-by-4.0"})
    )
    assert "license" not in front(read(made))
    assert "- Licences as declared: cc-by-4.0, not declared" in read(made)
    # The same rows are the same version: what is declared later is put down in it.
    options = Options(licenses={str(first): "cc-by-4.0", "": "mit"})
    again = import_files(workspace, [first, second], "both", options)
    assert again.folder == made.folder
    assert front(read(made))["license"] == ["cc-by-4.0", "mit"]
    assert [s.model_dump()["license"] for s in revising.recipe_of(again).sources] == [
        "cc-by-4.0",
        "mit",
    ]
    versions.verify(again)
    with pytest.raises(WorkbenchError, match="is no licence"):
        import_files(workspace, [first], "a", Options(licenses={"": "mit\nand more"}))


def test_a_mixture_says_what_its_parts_are_made_of(
    workspace: Workspace, write_rows: WriteRows
) -> None:
    made = [
        import_files(
            workspace,
            [write_rows(*(pair(n, name) for n in range(12)), name=f"{name}.jsonl")],
            name,
            Options(licenses={"": licence}, task=name),
        )
        for name, licence in (("why", "mit"), ("who", "apache-2.0"))
    ]
    mixed = make(workspace, mixing.recipe_of("mixed", made, Mix(cap=5)))
    text = read(mixed)
    assert front(text)["license"] == ["apache-2.0", "mit"]
    assert f"{made[0].reference} was made from\n\n- why.jsonl; licence mit" in text
    assert "| mix | 5 of the" in text
    shutil.rmtree(made[0].folder)
    gone = data_card.refresh(mixed)
    assert gone["licences"] == ["apache-2.0", "not declared"]
    assert f"{made[0].reference}: it is no longer in the workspace" in read(mixed)


def test_nothing_from_the_data_is_markup(workspace: Workspace, write_rows: WriteRows) -> None:
    task = "<b>[x](y)</b>|`*_#"
    rows = [pair(n, task=task) for n in range(5)]
    path = write_rows(*rows, name="a|<i>\x1b[31m.jsonl")
    made = import_files(workspace, [path], "made")
    text = read(made).split("## How to make it again")[0]
    assert "\x1b" not in text and "\\\\x1b\\[31m" in text
    assert r"| \<b\>\[x\]\(y\)\</b\>\|\`\*\_\# |" in text
    assert "<b>" not in text and "<i>" not in text


def test_a_version_of_before_gets_its_card_when_it_is_asked_for(
    cli: Cli, workspace: Workspace, version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads((version.folder / "statistics.json").read_text())
    for name in (card.NAME, "statistics.json"):
        (version.folder / name).unlink()
    assert main(["--workspace", str(workspace.root), "data", "card", "made"]) == 0
    assert f"# {version.reference}" in capsys.readouterr().out
    assert "licence mit" in read(version)
    assert json.loads((version.folder / "statistics.json").read_text()) == kept
    found = json.loads(cli("data", "card", "made", "--json").stdout)
    assert found["licences"] == ["mit"] and found["statistics"] == kept


def test_a_card_in_a_folder_that_can_t_be_written_is_still_told(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = read(version)
    (version.folder / "statistics.json").unlink()
    monkeypatch.setattr("workbench.data.data_card.write_text", full)
    monkeypatch.setattr("workbench.data.statistics.write_json", full)
    assert data_card.refresh(version)["statistics"]["parts"]
    assert read(version) == before
    version.data_path.write_text("{}\n")
    with pytest.raises(WorkbenchError, match="were changed"):
        data_card.refresh(version)


def test_the_verb_takes_a_licence_for_each_file(
    cli: Cli,
    workspace: Workspace,
    write_rows: WriteRows,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_rows(*(pair(n, name) for n in range(9)), name=name)
    how = ("data", "import", "a.jsonl", "b.jsonl")
    wrong = ["--workspace", str(workspace.root), *how, "--license", "b=mit"]
    assert main(wrong) != 0
    assert "b is none of the files" in capsys.readouterr().err
    done = cli(*how, "--license", "a.jsonl=cc0-1.0", "--license", "mit", "--json")
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    assert front((folder / card.NAME).read_text())["license"] == ["cc0-1.0", "mit"]
