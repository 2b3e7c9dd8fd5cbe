from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from workbench.config import reference
from workbench.config.conflicts import Conflicts
from workbench.config.fields import ConfigField, fields, sections
from workbench.config.schema import RunConfig

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("field", fields(), ids=lambda field: field.path)
def test_a_field_has_help_a_source_and_bounds(field: ConfigField) -> None:
    assert field.help.strip() and "\n" not in field.help
    assert len(field.help) <= 200
    assert field.source.strip() and "\n" not in field.source
    assert field.source != "ours", "a decision of ours has a reason"
    if field.kind in ("int", "float"):
        assert field.minimum is not None and field.maximum is not None
        low, _, high = field.bounds.partition(" to ")
        assert low.replace(",", "").removeprefix("over ") == str(field.minimum)
        assert high.replace(",", "").removeprefix("under ") == str(field.maximum)
        if field.default is not None:
            assert field.minimum <= field.default <= field.maximum


def test_bounds_and_choices_are_those_of_the_schema() -> None:
    by_path = {field.path: field for field in fields()}
    assert by_path["training.epochs"].bounds == "over 0 to 100"
    assert by_path["lora.dropout"].bounds == "0 to under 1"
    assert by_path["training.micro_batch"].bounds == "1 to 4,096"
    assert by_path["training.micro_batch"].choices == ("auto",)
    assert by_path["model.quantization"].choices == ("none", "nf4", "fp4", "int8")
    for field in fields():
        section, _, name = field.path.rpartition(".")
        edges = {field.minimum: "over", field.maximum: "under"}
        for edge, word in edges.items():
            if edge is None or f"{word} {edge:,}" in field.bounds:
                continue
            try:
                RunConfig.model_validate({section: {name: edge}})
            except ValidationError as error:
                (item,) = error.errors()
                assert isinstance(item["ctx"]["error"], Conflicts), field.path


def test_every_section_has_a_field() -> None:
    assert set(sections()) == set(RunConfig.model_fields) - {"name", "accept"}


def test_the_reference_page_is_that_of_the_schema() -> None:
    there = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert there == reference.page(), "run `workbench config docs`"
    for field in fields():
        (row,) = [line for line in there.splitlines() if line.startswith(f"| `{field.path}` |")]
        assert row.count(" | ") == 6
        assert field.source in row
