"""Time from a key in the form to the drawn field, and to the judgement that follows it.

    .venv/bin/python -m benchmarks.form [KEYS]

Of four bases: the default one, and three of which only the headers are here, an 8B, a 70B and a
mixture of 128 experts; 200 short rows whose lengths are known; at 80x24 and at 160x45. `own` is
the processor time of the screen's thread to the drawn field, which other work of the machine
doesn't lengthen; `opened` is from the app's start to the first judgement, `presets` from the key to
the opened list.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from textual import events
from textual.strip import Strip
from textual.widgets import Input

from screens.app import WorkbenchApp
from screens.config import ConfigScreen
from screens.widgets.pick import Pick
from screens.widgets.row_table import RowTable
from tests.config import published
from workbench import base_models
from workbench.data import verdict
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.workspace import Workspace

BASES = ("llama-3-8b", "llama-3-70b", "qwen3-30b-a3b")
SIZES = ((80, 24), (160, 45))
FIELD = "lora.rank"


def prepare(folder: Path) -> tuple[Workspace, dict[str, str]]:
    """A workspace with rows, and the bases by what they are called."""
    workspace = Workspace(folder / "ws")
    rows = [{"prompt": f"Is {n} odd?", "completion": "yes " * (n % 40 + 1)} for n in range(200)]
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    version = import_files(workspace, [path], "numbers", Options())
    default = base_models.prepare(Workspace.find(), base_models.DEFAULT, print)
    verdict.look(version, ChatTemplate.load(default))
    bases = {"default": str(default)}
    for name in BASES:
        made = published.write(folder / name, name, published.skeleton(name))
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(default / file, made / file)
        bases[name] = str(made)
    return workspace, bases


async def measure(workspace: Workspace, base: str, size: tuple[int, int], keys: int) -> list[float]:
    """Milliseconds: median of the screen's own processor time to the drawn field; median and worst
    to the drawn field; median and worst to the judgement; the first opening; the presets."""
    app = WorkbenchApp(workspace, mode="config")
    config = workspace.configs / "timed.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"model: {{base: {base}}}\ndata: {{dataset: numbers}}\n")
    app.config_path = str(config)
    began = time.perf_counter()
    async with app.run_test(size=size) as pilot:
        form = cast(ConfigScreen, app.screen)
        await judged(form)
        opened = time.perf_counter() - began
        form.apply_filter(FIELD)
        form.fields.cursor = 0
        await pilot.pause(1)
        drawn, told, own = [], [], []
        line = watch(form.fields)
        for number in range(keys):
            more = number % 2 == 0
            began, used = time.perf_counter(), time.thread_time()
            app.post_message(events.Key("right" if more else "left", None))
            while ("* 32" in line[0]) is not more:
                await asyncio.sleep(0)
            own.append(time.thread_time() - used)
            drawn.append(time.perf_counter() - began)
            await judged(form)
            told.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)
        began = time.perf_counter()
        app.post_message(events.Key("p", "p"))
        while not (isinstance(app.screen, Pick) and app.screen.query(Input)):
            await asyncio.sleep(0)
        presets = time.perf_counter() - began
        await pilot.pause()
    figures = (
        statistics.median(own),
        statistics.median(drawn),
        max(drawn),
        statistics.median(told),
        max(told),
    )
    return [1000 * seconds for seconds in (*figures, opened, presets)]


def watch(table: RowTable) -> list[str]:
    """A list of one text: the first field's line as it was drawn last."""
    render, last = table.render_line, [""]

    def record(y: int) -> Strip:
        strip = render(y)
        if y == 1:
            last[0] = strip.text
        return strip

    table.render_line = record  # type: ignore[method-assign]
    return last


async def judged(form: ConfigScreen) -> None:
    while form.judgement is None or form.judgement.config != form.draft.config:
        await asyncio.sleep(0.0005)


def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print("                         own       drawn           judged     opened  presets")
    print("base            size      ms  median  worst   median  worst       ms       ms")
    with tempfile.TemporaryDirectory() as folder:
        workspace, bases = prepare(Path(folder))
        for name, base in bases.items():
            for size in SIZES:
                found = asyncio.run(measure(workspace, base, size, keys))
                cells = "".join(
                    f"{f:{w}.1f}" for f, w in zip(found, (6, 9, 7, 9, 7, 9, 9), strict=True)
                )
                print(f"{name:15} {size[0]:3}x{size[1]} {cells}")


if __name__ == "__main__":
    main()
