"""The real lm-evaluation-harness with local tasks, on the tiny model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trained import Trained
from workbench.errors import WorkbenchError
from workbench.files import write_json
from workbench.harness import request, task_files
from workbench.harness.request import Request
from workbench.jobs import progress
from workbench.jobs.control import Control, Stopped
from workbench.jobs.events import Progress
from workbench.jobs.launch import EVENTS
from workbench.jobs.log import LogWriter, read_all
from workbench.jobs.tasks import REQUEST

CHOICE = """\
task: colour
dataset_path: json
dataset_kwargs: {data_files: {test: colour.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{thing}} is"
doc_to_choice: "{{choices}}"
doc_to_target: label
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
ASKED = """\
task: asked
dataset_path: json
dataset_kwargs: {data_files: {test: asked.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "Is {{n}} a number?"
doc_to_target: ok
generation_kwargs: {until: ["\\n"], max_gen_toks: 6}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
GROUP = "group: all_of_it\ntask: [colour, asked]\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of task files with their data beside them."""
    folder = tmp_path / "my tasks"
    folder.mkdir()
    for name, text in (("colour", CHOICE), ("asked", ASKED), ("group", GROUP)):
        (folder / f"{name}.yaml").write_text(text)
    things = [
        {"thing": f"thing {n}", "choices": ["red", "blue"], "label": n % 2} for n in range(24)
    ]
    for name, rows in (("colour", things), ("asked", [{"n": n} for n in range(20)])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture
def lm_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, as it was before the job shuts its doors."""
    utils = pytest.importorskip("lm_eval.utils", reason="the extra `harness` is not installed")
    monkeypatch.setattr(utils, "env", utils.env)
    monkeypatch.setitem(sys.modules, "evaluate", None)
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


Job = Callable[..., tuple[dict[str, Any], list[Progress]]]


@pytest.fixture
def job(trained_copy: Trained, lm_eval: None) -> Iterator[Job]:
    """Does what the job does, in this process; returns its result and what it told."""
    from workbench.harness.job import evaluate

    def run(*tasks: Path, control: Control | None = None, **wanted: Any) -> Any:
        parent = trained_copy.run / "evaluations"
        folder = parent / f"{1 + len(list(parent.iterdir())):02d}"
        folder.mkdir()
        asked = Request(tuple(map(str, tasks)), **wanted)
        write_json(folder / REQUEST, asked.to_json())
        with LogWriter(folder / EVENTS) as log:
            evaluate(folder, log, control or Control())
        told = [r.event for r in read_all(folder / EVENTS) if isinstance(r.event, Progress)]
        return request.read_result(folder), told

    yield run


def test_base_and_adapter_are_asked_a_folder_of_tasks(
    trained_copy: Trained, files: Path, lm_eval: None
) -> None:
    body = trained_copy.json("harness", "run", "--tasks", files, "--chat", "--limit", 15)
    base, adapter = body["systems"]["base"], body["systems"]["adapter"]
    # It has learnt to answer just this, in its chat template, and the base has not.
    assert base["asked/exact_match"]["value"] == 0 < adapter["asked/exact_match"]["value"] == 1
    assert adapter["colour/acc"]["n"] == 15
    by_name = {one["measure"]: one for one in body["comparisons"]}
    assert by_name["asked/exact_match"]["test"] == "McNemar, mid-p"
    assert by_name["asked/exact_match"]["only_to"] == 15
    assert by_name["asked/exact_match"]["p_holm"] < 0.001
    (ended,) = [one for one in trained_copy.json("jobs") if "evaluations/02" in one["reference"]]
    assert (ended["kind"], ended["status"]) == ("evaluation", "finished")
    raw = Path(body["folder"]) / "lm_eval" / "adapter"
    again = trained_copy.json("harness", "import", raw, "latest")
    assert again["systems"]["adapter"] == adapter


def test_it_is_what_lm_eval_says_of_the_model_loaded_plainly(
    trained_copy: Trained, files: Path, job: Job
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result, _ = job(files)
    base = AutoModelForCausalLM.from_pretrained(trained_copy.base)
    adapted = PeftModel.from_pretrained(base, trained_copy.run / "adapter").eval()
    asked = HFLM(pretrained=adapted, tokenizer=AutoTokenizer.from_pretrained(trained_copy.base))
    text = (files / "colour.yaml").read_text().replace("test: ", f"test: {files}/")
    (files / "colour.yaml").write_text(text)
    tasks = TaskManager(include_path=files, include_defaults=False)
    plain = simple_evaluate(model=asked, tasks=["colour"], task_manager=tasks, bootstrap_iters=0)
    expected = plain["results"]["colour"]["acc,none"]
    assert result["systems"]["adapter"]["colour/acc"]["value"] == expected
    (samples,) = trained_copy.run.glob("evaluations/02/lm_eval/adapter/samples_colour_*")
    for line, row in zip(samples.read_text().splitlines(), plain["samples"]["colour"], strict=True):
        ours = [float(one[0][0]) for one in json.loads(line)["resps"]]
        assert ours == pytest.approx([one[0][0] for one in row["resps"]], rel=1e-4)


class Impatient(Control):
    """Asked to stop when the log is looked at for the fifth time."""

    looks = 0

    def end_if_asked(self, *args: Any, **more: Any) -> None:
        self.looks += 1
        if self.looks == 5:
            raise Stopped


def test_what_was_stopped_goes_on_where_it_was(
    files: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each request is told, and a look for a command: the fifth is after the second request.
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    with pytest.raises(Stopped):
        job(files / "colour.yaml", batch=1, control=Impatient())
    _, again = job(files / "colour.yaml", batch=1)
    began = next(one for one in again if one.phase == "choices of base")
    assert 0 < began.done < 48 and (began.total, began.unit) == (48, "requests")
    _, third = job(files / "colour.yaml")
    known = [(one.done, one.total) for one in third if one.phase.startswith("choices of")]
    assert known == [(48, 48)] * 2
    _, fresh = job(files / "colour.yaml", fresh=True)
    assert next(one.done for one in fresh if one.phase == "choices of base") == 0


def test_a_group_is_held_against_the_base_by_the_documents_of_its_tasks(
    files: Path, job: Job
) -> None:
    text = "group: both\ntask: [colour, second]\naggregate_metric_list: [{metric: acc}]\n"
    (files / "group.yaml").write_text(text)
    (files / "second.yaml").write_text(CHOICE.replace("task: colour", "task: second"))
    result, _ = job(files / "group.yaml")
    assert set(result["systems"]["base"]) == {"both/acc", "colour/acc", "second/acc"}
    assert result["systems"]["adapter"]["both/acc"]["n"] == 48


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("doc_to_target: ok", "doc_to_target: \"{{ ''.__class__.__mro__ }}\"", "is unsafe"),
        ("max_gen_toks: 6", "max_gen_toks: 6, custom_generate: x", "custom_generate"),
        ("metric: exact_match", "metric: ./mine.py", "none of lm_eval's own: ./mine.py"),
        ("test: asked", "test: gone", "gone.jsonl"),
        ("task: asked", "task: asked\nunsafe_code: true", "runs code that the model writes"),
        ("output_type: generate_until", "output_type: nothing", "invalid output_type"),
    ],
)
def test_a_task_that_runs_code_or_cannot_be_run_is_refused(
    files: Path, job: Job, was: str, becomes: str, told: str
) -> None:
    assert was in ASKED
    (files / "asked.yaml").write_text(ASKED.replace(was, becomes))
    with pytest.raises(WorkbenchError) as refused:
        job(files / "asked.yaml")
    assert told in str(refused.value)


def test_a_task_is_known_by_its_name_and_an_unknown_one_has_the_nearest_named(
    files: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Instead of the 15,000 files of lm_eval's own.
    monkeypatch.setattr("lm_eval.tasks.manager.__file__", str(files / "manager.py"))
    result, _ = job(Path("asked"), limit=3)
    assert result["systems"]["base"]["asked/exact_match"]["n"] == 3
    with pytest.raises(WorkbenchError, match="no task askd") as refused:
        job(Path("askd"))
    assert refused.value.hint == "Did you mean asked?"


def test_code_of_a_task_file_runs_only_where_that_is_wanted(files: Path, job: Job) -> None:
    (files / "mine.py").write_text("def docs(rows):\n    return rows.select(range(2))\n")
    path = files / "colour.yaml"
    path.write_text(f"{CHOICE}process_docs: !function mine.docs\n")
    with pytest.raises(WorkbenchError, match=r"colour.yaml:11: !function mine.docs would run"):
        job(path)
    result, _ = job(path, allow_task_code=True)
    assert result["systems"]["base"]["colour/acc"]["n"] == 2


def test_a_task_s_data_stands_beside_it_unless_it_is_of_the_hub(lm_eval: None) -> None:
    from workbench.harness.tasks import _find_data

    files = {"test": ["a.jsonl", "/b.jsonl", "https://x/c.jsonl"]}
    ours = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}}
    _find_data(ours, Path("/tasks"))
    found = ours["dataset_kwargs"]["data_files"]["test"]  # type: ignore[index]
    assert found == ["/tasks/a.jsonl", "/b.jsonl", "https://x/c.jsonl"]
    theirs = {"dataset_path": "owner/name", "dataset_kwargs": {"data_files": files}}
    _find_data(theirs, Path("/tasks"))
    assert theirs["dataset_kwargs"] == {"data_files": files}


def test_a_task_alone_is_read_without_what_is_around_it(files: Path, job: Job) -> None:
    (files / "broken.yaml").write_text("task: [a\n")
    (files / "code.yaml").write_text(f"{CHOICE}process_docs: !function mine.docs\n")
    result, _ = job(files / "asked.yaml", limit=2)
    assert list(result["systems"]["base"]) == ["asked/exact_match"]


# --- without lm_eval --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task: a\ninclude: [other.yaml]\n", "other.yaml:3: !function mine.docs would run"),
        ("task: a\nx: [{y: !function os.system}]\n", "a.yaml:2: !function os.system"),
        ("task: a\nx: !!python/name:os.system\n", "a.yaml:2: lm_eval knows no .*os.system"),
        ("task: [a\n", "a.yaml:2 is not valid YAML"),
        ("task: a\ninclude: gone.yaml\n", "gone.yaml"),
    ],
)
def test_a_task_file_is_looked_at_before_anything_reads_it(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text("# x\ny: 1\nprocess_docs: !function mine.docs\n")
    with pytest.raises(WorkbenchError, match=told):
        task_files.check(tmp_path / "a.yaml")


def test_includes_in_a_ring_and_aliases_end(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("task: a\ninclude: b.yaml\nx: &x [1, *x]\n")
    (tmp_path / "b.yaml").write_text("include: a.yaml\n")
    task_files.check(tmp_path / "a.yaml")


def test_a_word_is_a_name_and_a_path_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.yaml").write_text("task: a\n")
    assert request.spelt("gsm8k") == "gsm8k"
    assert request.spelt("mine") == str(tmp_path / "mine")
    assert request.spelt("mine/a.yaml") == str(tmp_path / "mine" / "a.yaml")
    for gone in ("./nothing", "b.yaml", "./gsm8k"):
        with pytest.raises(WorkbenchError, match=r"does not exist|has no task file"):
            request.spelt(gone)


def test_without_the_extra_it_says_what_to_install(
    trained_copy: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "find_spec", lambda name: None)
    with pytest.raises(WorkbenchError, match="not installed") as refused:
        request.start(trained_copy.run, Request(("gsm8k",)))
    assert "pip install 'finetune-workbench[harness]'" in refused.value.hint
    assert [p.name for p in (trained_copy.run / "evaluations").iterdir()] == ["01"]
