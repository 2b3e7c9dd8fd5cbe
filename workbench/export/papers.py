"""What goes along with a merged model: its card, the licences, and what made it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.adapters.origin import EXPORTED_MANIFEST, PROVENANCE
from workbench.export.request import add_licences, add_papers
from workbench.export.subject import Subject
from workbench.files import write_text
from workbench.text import visible
from workbench.tracking import card


def add(merged: Subject, folder: Path, certificate: dict[str, Any]) -> None:
    """Write the papers of a merged model into its folder."""
    if merged.run is not None:
        card.write(merged.run, folder, certificate)
        add_papers(merged.run, folder)
        return
    write_text(folder / card.CARD, "\n".join(_bare(merged, certificate)) + "\n")
    for name in (PROVENANCE, EXPORTED_MANIFEST):
        if (merged.adapter.folder / name).exists():
            shutil.copyfile(merged.adapter.folder / name, folder / name)
    add_licences(merged.base, folder)


def _bare(merged: Subject, certificate: dict[str, Any]) -> Iterator[str]:
    """The card of an adapter that no run of this workspace has made."""
    name = visible(merged.adapter.folder.name, one_line=True)
    base = visible(merged.origin.base or merged.base.name, one_line=True)
    yield "---"
    yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    yield "---"
    yield f"# {name}: an adapter merged into {base}"
    yield ""
    yield f"- Adapter: {name}, {merged.adapter.kind} of rank {merged.adapter.rank}, "
    yield f"  {merged.origin.made}"
    if merged.origin.dataset:
        yield f"- Dataset: {visible(merged.origin.dataset, one_line=True)}"
    for file, digest in certificate["adapter_files"].items():
        yield f"  - {file}: SHA-256 {digest}"
    yield f"- Base: {base}"
    for file, digest in certificate["base_files"].items():
        if file.endswith(".safetensors"):
            yield f"  - {file}: SHA-256 {digest}"
    yield "- Licences: those of the base and of the adapter's data; see their folders."
    yield ""
    yield from card.merge_section(certificate)
