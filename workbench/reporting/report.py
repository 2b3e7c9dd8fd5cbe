"""A report of one run, or of several, as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.files import write_text
from workbench.reporting import found, run
from workbench.reporting.html import as_html
from workbench.reporting.page import Block, as_markdown
from workbench.workspace import Workspace

REPORT = "report.md"
PAGE = "report.html"
_LONGEST = 200
"""Characters of a folder's name."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is said, as blocks."""

    runs: list[str]
    missing: list[str]
    """What could not be read, in sentences."""
    page: Sequence[Block]

    @property
    def markdown(self) -> str:
        return as_markdown(self.page)

    @property
    def html(self) -> str:
        """One file that needs nothing from elsewhere, and holds no script."""
        return as_html(self.page)


def of(workspace: Workspace, folders: Sequence[Path]) -> Report:
    """The report of a run, or of several held against the first of them. `folders` is at least one.

    What a run's files don't say, or can't be read, the report says is missing.
    """
    folders = list(dict.fromkeys(folders))
    runs = [found.read(workspace, folder) for folder in folders]
    missing = [f"{each.id}: {text}" for each in runs for text in each.missing]
    if len(runs) == 1:
        page = run.blocks(runs[0])
    else:
        # What tests differences takes a while to import.
        from workbench.reporting import comparison

        page = comparison.blocks(workspace, runs)
    return Report([each.id for each in runs], missing, page)


def place(workspace: Workspace, folders: Sequence[Path]) -> Path:
    """Where the report of these runs is kept: of one in its own folder, of several in one that is
    named after them."""
    names = list(dict.fromkeys(folder.name for folder in folders))
    if len(names) == 1:
        return folders[0]
    together = "_".join(names)
    return workspace.reports / (
        together if len(together) <= _LONGEST else f"{names[0]}_and_{len(names) - 1}_others"
    )


def write(workspace: Workspace, run: Path) -> Path:
    """Write the report of a run into its folder, as Markdown and as HTML; the path of the first."""
    made = of(workspace, [run])
    write_text(run / PAGE, made.html)
    write_text(run / REPORT, made.markdown)
    return run / REPORT
