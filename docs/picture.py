"""The README's picture: the app draws itself on a run of a workspace.

.venv/bin/python docs/picture.py WORKSPACE [RUN]
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from screens.app import WorkbenchApp
from screens.widgets.line_chart import LineChart
from workbench.workspace import Workspace

SIZE = (100, 30)


async def draw(workspace: Workspace, run: str | None) -> str:
    """The Monitor as SVG."""
    app = WorkbenchApp(workspace, mode="monitor", run_id=run)
    async with app.run_test(size=SIZE) as pilot:
        while not app.screen.query_one("#loss", LineChart).drawn:
            await pilot.pause(0.1)
        # Without what names a folder of the machine that it was made on.
        app.screen.apply_filter("step")
        await pilot.pause(1)
        return app.export_screenshot(title="workbench")


def main() -> None:
    workspace = Workspace.find(sys.argv[1])
    svg = asyncio.run(draw(workspace, sys.argv[2] if len(sys.argv) > 2 else None))
    # The picture is to be seen without a network: no fonts from elsewhere.
    svg = re.sub(r"@font-face\s*{.*?}", "", svg, flags=re.DOTALL)
    # Some viewers drop spaces at the ends of a piece of text otherwise.
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    target = Path(__file__).parent / "monitor.svg"
    target.write_text(svg, encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
