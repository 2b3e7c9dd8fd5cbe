"""Rows are encoded once for the same content, and never taken from a cache that isn't whole."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.training.harness import Commands, examples
from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.example import Example, Message
from workbench.data.template import ChatTemplate, Encoded
from workbench.errors import WorkbenchError
from workbench.jobs.control import Control, Stopped
from workbench.jobs.log import LogWriter
from workbench.training import encode_worker, encoding, token_cache
from workbench.training.token_cache import EncodedRows
from workbench.workspace import Workspace


class Counting(ChatTemplate):
    """A template that counts the rows it encodes."""

    encoded = 0
    during: Callable[[], object] = staticmethod(lambda: None)
    """Done before the next row."""

    def encode(self, example: Example) -> Encoded:
        type(self).encoded += 1
        what, self.during = self.during, lambda: None
        what()
        return super().encode(example)


@pytest.fixture(autouse=True)
def _from_nought() -> None:
    Counting.encoded = 0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a tokenizer and a template."""
    tiny.make_tokenizer(tmp_path / "model")
    return tmp_path / "model"


def make(workspace: Workspace, rows: list[Example], name: str = "sample") -> RunConfig:
    version = versions.create(workspace, name, rows, sources=[], steps=[])
    return RunConfig.model_validate({"data": {"dataset": version.reference}})


def prepare(
    workspace: Workspace,
    config: RunConfig,
    model: Path | ChatTemplate,
    control: Control | None = None,
) -> EncodedRows:
    template = model if isinstance(model, ChatTemplate) else Counting.load(model)
    with LogWriter(workspace.root / f"{os.getpid()}.jsonl") as log:
        return encoding.prepare(workspace, config, template, log, control or Control())[0]


def entries(workspace: Workspace) -> list[Path]:
    return sorted((workspace.cache / "tokens").glob("*"))


def ids(rows: EncodedRows) -> list[list[int]]:
    return [row.ids.tolist() for row in rows]


def test_the_same_content_is_encoded_once_whatever_its_names(
    workspace: Workspace, model: Path, tmp_path: Path
) -> None:
    first = prepare(workspace, make(workspace, examples(5)), model)
    assert Counting.encoded == 5
    again = prepare(workspace, make(workspace, examples(5), "another"), model)
    model.rename(tmp_path / "moved")
    moved = prepare(workspace, make(workspace, examples(5)), tmp_path / "moved")
    assert Counting.encoded == 5 and len(entries(workspace)) == 1
    assert ids(first) == ids(again) == ids(moved)


def _row(workspace: Workspace, model: Path) -> RunConfig:
    return make(
        workspace, [*examples(4), Example((Message("user", "a"), Message("assistant", "b")))]
    )


def _data(**data: Any) -> Callable[[Workspace, Path], RunConfig]:
    def change(workspace: Workspace, model: Path) -> RunConfig:
        config = make(workspace, examples(5))
        return config.model_copy(update={"data": config.data.model_copy(update=data)})

    return change


def _file(name: str, old: str, new: str) -> Callable[[Workspace, Path], RunConfig]:
    def change(workspace: Workspace, model: Path) -> RunConfig:
        text = (model / name).read_text()
        assert old in text
        (model / name).write_text(text.replace(old, new, 1))
        return make(workspace, examples(5))

    return change


@pytest.mark.parametrize(
    "change",
    [
        _row,
        _data(max_length=512),
        _data(too_long="drop"),
        _data(too_long="truncate"),
        _data(train_rows=4),
        _file("chat_template.jinja", "message['content']", "message['content'] | trim"),
        _file("tokenizer.json", '"normalizer":null', '"normalizer":{"type":"NFC"}'),
        _file("tokenizer_config.json", '"<|im_end|>"', '"<|pad|>"'),
    ],
)
def test_whatever_decides_a_token_has_it_encoded_anew(
    workspace: Workspace, model: Path, change: Callable[[Workspace, Path], RunConfig]
) -> None:
    body = json.loads((model / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps(body, separators=(",", ":")))
    prepare(workspace, make(workspace, examples(5)), model)
    before = Counting.encoded
    prepare(workspace, change(workspace, model), model)
    assert Counting.encoded >= before + 4 and len(entries(workspace)) == 2


def test_a_change_of_our_own_code_has_rows_encoded_anew(
    workspace: Workspace, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(workspace, examples(5))
    prepare(workspace, config, model)
    monkeypatch.setattr(encoding, "CODE", encoding.CODE + 1)
    prepare(workspace, config, model)
    assert Counting.encoded == 10


def test_the_day_has_rows_encoded_anew_where_the_template_writes_it(
    workspace: Workspace, model: Path
) -> None:
    config = make(workspace, examples(5))
    days = [date(2025, 3, 9), date(2025, 3, 10)]
    for day in days:
        prepare(workspace, config, Counting.load(model, today=day))
    assert Counting.encoded == 5
    path = model / "chat_template.jinja"
    path.write_text("{{ strftime_now('%d') }}" + path.read_text())
    for day in (*days, *days):
        prepare(workspace, config, Counting.load(model, today=day))
    assert Counting.encoded == 15


def _flip(folder: Path) -> None:
    path = folder / "rows.arrow"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def _cut(folder: Path) -> None:
    os.truncate(folder / "rows.arrow", (folder / "rows.arrow").stat().st_size // 2)


@pytest.mark.parametrize(
    "spoil",
    [
        _flip,
        _cut,
        lambda folder: (folder / "rows.arrow").unlink(),
        lambda folder: (folder / "about.json").unlink(),
        lambda folder: (folder / "about.json").write_text("{"),
        lambda folder: (folder / "about.json").write_text("[]"),
        lambda folder: (folder / "about.json").write_text('{"sha256": 5}'),
    ],
)
def test_a_cache_that_is_damaged_is_made_again(
    workspace: Workspace, model: Path, spoil: Callable[[Path], object]
) -> None:
    config = make(workspace, examples(5))
    first = ids(prepare(workspace, config, model))
    spoil(entries(workspace)[0])
    assert ids(prepare(workspace, config, model)) == first
    assert Counting.encoded == 10 and len(entries(workspace)) == 1
    assert ids(prepare(workspace, config, model)) == first
    assert Counting.encoded == 10


def test_of_two_who_encode_the_same_rows_both_have_them_and_one_s_are_kept(
    workspace: Workspace, model: Path
) -> None:
    config, template = make(workspace, examples(5)), Counting.load(model)
    other: list[EncodedRows] = []
    # While the one is at its first row, the other one begins and ends.
    template.during = lambda: other.append(prepare(workspace, config, model))
    one = prepare(workspace, config, template)
    assert ids(one) == ids(other[0]) and Counting.encoded == 10
    assert len(entries(workspace)) == 1


def _in_a_process(workspace: Workspace, config: RunConfig, model: Path, barrier: Any) -> None:
    template = Counting.load(model)
    template.during = barrier.wait
    prepare(workspace, config, template)


def test_two_processes_that_start_at_once_leave_one_whole_cache(
    workspace: Workspace, model: Path
) -> None:
    config = make(workspace, examples(300))
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(2)
    both = [
        fork.Process(target=_in_a_process, args=(workspace, config, model, barrier))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(entries(workspace)) == 1
    assert len(prepare(workspace, config, model)) == 300 and Counting.encoded == 0


def test_without_room_what_was_used_the_longest_ago_goes_but_nothing_that_is_in_use(
    workspace: Workspace, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [make(workspace, examples(40 + n)) for n in range(4)]

    def known(place: int) -> bool:
        """Whether the rows of a config are in the cache; they are afterwards."""
        # The clock of a file's time ticks but every few milliseconds: all was used a second ago.
        for about in (workspace.cache / "tokens").glob("*/about.json"):
            used = about.stat().st_mtime - 1
            os.utime(about, (used, used))
        Counting.encoded = 0
        prepare(workspace, configs[place], model)
        return Counting.encoded == 0

    assert not known(0)
    size = (entries(workspace)[0] / "rows.arrow").stat().st_size
    monkeypatch.setattr(token_cache, "ROOM", int(2.5 * size))
    assert not known(1) and known(0)
    # Used later than 1, which goes.
    assert not known(2)
    assert len(entries(workspace)) == 2 and known(0)
    held = prepare(workspace, configs[2], model)
    assert known(0)
    # Used before 0, but in use.
    assert not known(3)
    assert len(ids(held)) == 42 and known(2) and not known(0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunConfig]:
    """20,000 rows."""
    workspace = Workspace(tmp_path_factory.mktemp("many"))
    rows = [
        Example((Message("user", str(n)), Message("assistant", "x" * (n % 5 + 1))), task=f"t{n}")
        for n in range(20_000)
    ]
    return workspace, make(workspace, rows)


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_worker, "worth", lambda size: 2)


def test_two_processes_encode_20_000_rows_in_their_order(
    many: tuple[Workspace, RunConfig], two_workers: None, model: Path
) -> None:
    workspace, config = many
    rows = prepare(workspace, config, model)
    assert Counting.encoded == 0, "not in this process"
    assert len(rows) == 20_000
    whole = Counting.load(model)
    for place in (0, 255, 256, 511, 512, 13_579, 19_999):
        row = rows[place]
        assert (row.number, row.task) == (place + 1, f"t{place}")
        turns = (Message("user", str(place)), Message("assistant", "x" * (place % 5 + 1)))
        assert row.ids.tolist() == whole.encode(Example(turns)).ids
    # The response and its end marker.
    assert rows.trained.tolist() == [n % 5 + 2 for n in range(20_000)]
    (entry,) = entries(workspace)
    assert sorted(path.name for path in entry.iterdir()) == ["about.json", "rows.arrow"]


def test_a_stop_ends_the_workers_and_leaves_nothing(
    many: tuple[Workspace, RunConfig],
    two_workers: None,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace, config = many
    (model / "chat_template.jinja").write_text(" " + tiny.TEMPLATE)
    before, commands = entries(workspace), Commands(tmp_path)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        commands.send("stop")
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    # Not put off until there is something to be told of.
    monkeypatch.setattr("workbench.jobs.progress._EVERY", 0.0)
    with pytest.raises(Stopped):
        prepare(workspace, config, model, commands.control)
    assert len(started) == 2 and all(process.returncode is not None for process in started)
    assert entries(workspace) == before


def test_a_worker_that_is_killed_is_told_and_nothing_is_kept(
    workspace: Workspace, model: Path, two_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(workspace, examples(600))
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        process = popen(command, **options)
        if command[-1] == "1":
            process.kill()
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(WorkbenchError, match="ended before its work was done") as told:
        prepare(workspace, config, model)
    assert told.value.cause == "out_of_host_memory"
    assert not (workspace.cache / "tokens").exists()


def test_rows_that_are_refused_leave_no_cache_and_are_told_of_by_workers_too(
    workspace: Workspace, model: Path, two_workers: None
) -> None:
    long = Example((Message("user", "?"), Message("assistant", "x" * 2000)), source="long.jsonl:7")
    config = make(workspace, [*examples(600), long])
    with pytest.raises(WorkbenchError, match=r"1 row longer .*\n  long\.jsonl:7: 20"):
        prepare(workspace, config, model)
    assert not (workspace.cache / "tokens").exists()


_ALONE = """
import socket, sys
def refuse(*arguments): raise AssertionError("it asks the network")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from workbench.config.schema import RunConfig
from workbench.data.template import ChatTemplate
from workbench.jobs.control import Control
from workbench.jobs.log import LogWriter
from workbench.training import encoding
from workbench.workspace import Workspace
workspace, template = Workspace(Path(sys.argv[1])), ChatTemplate.load(Path(sys.argv[2]))
config = RunConfig.model_validate({"data": {"dataset": "sample"}})
for _ in range(2):
    with LogWriter(workspace.root / "log.jsonl") as log:
        print(len(encoding.prepare(workspace, config, template, log, Control())[0]))
"""


def test_the_cache_asks_nobody_and_writes_nowhere_else(
    workspace: Workspace, model: Path, tmp_path: Path
) -> None:
    make(workspace, examples(5))
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _ALONE, str(workspace.root), str(model)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "5\n5\n"), done.stderr
    assert not [path for path in home.rglob("*") if path.is_file()]
