"""The documentation's pictures: the app draws itself on what is in a workspace.

.venv/bin/python docs/picture.py WORKSPACE monitor [RUN]
.venv/bin/python docs/picture.py WORKSPACE sizes FOLDER [RUN]   the Monitor at four sizes, as SVG
                                                                and as text, into FOLDER
.venv/bin/python docs/picture.py WORKSPACE datasets DATASET     near-duplicates are looked for
.venv/bin/python docs/picture.py WORKSPACE config CONFIG
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from textual.widgets import Static

from screens.app import WorkbenchApp
from screens.widgets.line_chart import LineChart
from workbench.config.loading import config_path
from workbench.workspace import Workspace

SIZES = ((80, 8), (80, 24), (160, 45), (250, 70))


async def monitor(workspace: Workspace, run: str | None) -> str:
    """The Monitor as SVG."""
    app = WorkbenchApp(workspace, mode="monitor", run_id=run)
    async with app.run_test(size=(100, 30)) as pilot:
        while not app.screen.query_one("#large", LineChart).drawn:
            await pilot.pause(0.1)
        # Without what names a folder of the machine that it was made on.
        app.screen.apply_filter("step")
        await pilot.pause(1)
        return app.export_screenshot(title="workbench")


async def sizes(workspace: Workspace, folder: Path, run: str | None) -> None:
    """The Monitor as it is at each of SIZES."""
    folder.mkdir(parents=True, exist_ok=True)
    for columns, rows in SIZES:
        app = WorkbenchApp(workspace, mode="monitor", run_id=run)
        async with app.run_test(size=(columns, rows)) as pilot:
            await pilot.pause(3)
            target = folder / f"monitor-{columns}x{rows}"
            target.with_suffix(".svg").write_text(_alone(app.export_screenshot()), encoding="utf-8")
            lines = [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]
            target.with_suffix(".txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
            print(target)


async def datasets(workspace: Workspace, dataset: str | None) -> str:
    """Pairs of near-duplicates at a threshold, as SVG."""
    app = WorkbenchApp(workspace, dataset=dataset)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause(1)
        await pilot.press("f")
        await pilot.pause(1)
        await pilot.press("enter")
        while "go]" not in str(app.screen.query_one("#state", Static).visual):
            await pilot.pause(0.5)
        await pilot.press("right")
        await pilot.pause(2)
        return app.export_screenshot(title="workbench")


async def config(workspace: Workspace, name: str | None) -> str:
    """The form with a config that something is advised of, as SVG."""
    app = WorkbenchApp(workspace, mode="config")
    app.config_path = str(config_path(workspace, name or ""))
    async with app.run_test(size=(140, 40)) as pilot:
        while getattr(app.screen, "judgement", None) is None:
            await pilot.pause(0.1)
        await pilot.press("n")
        await pilot.pause(1)
        return app.export_screenshot(title="workbench")


def _alone(svg: str) -> str:
    """The picture without what it would fetch."""
    # It is to be seen without a network: no fonts from elsewhere.
    svg = re.sub(r"@font-face\s*{.*?}", "", svg, flags=re.DOTALL)
    # Some viewers drop spaces at the ends of a piece of text otherwise.
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def main() -> None:
    workspace, name, *wanted = sys.argv[1:]
    if name == "sizes":
        run = wanted[1] if len(wanted) > 1 else None
        asyncio.run(sizes(Workspace.find(workspace), Path(wanted[0]), run))
        return
    draw = {"monitor": monitor, "datasets": datasets, "config": config}[name]
    svg = asyncio.run(draw(Workspace.find(workspace), wanted[0] if wanted else None))
    target = Path(__file__).parent / f"{name}.svg"
    target.write_text(_alone(svg), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
