from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from workbench.errors import WorkbenchError
from workbench.review import importing, layouts, sessions, studies
from workbench.review.making import create_session
from workbench.review.sources import Source
from workbench.review.studies import Study
from workbench.workspace import Workspace

LAYOUT = """\
item: prompt
annotator: who
systems: [left model, right model]
made: when
note: why
outputs: [left text, right text]
preferences:
  overall: {column: better, values: {"yes": 2, left: 1, "no": 0, right: -1}}
ratings:
  fluent: {columns: [left fluent, right fluent]}
"""
Row = dict[str, Any]
Import = Callable[..., Study]


def row(**changes: Any) -> Row:
    return {
        "prompt": "p1",
        "who": "ann",
        "left model": "old",
        "right model": "new",
        "left text": "Short.",
        "right text": "Longer words.",
        "better": "right",
        "left fluent": 2,
        "right fluent": 5,
        "why": "clearer",
        "when": "2024-05-01 10:00",
        **changes,
    }


@pytest.fixture
def take(tmp_path: Path, workspace: Workspace) -> Import:
    """Writes rows as a file of the given kind and imports them with `LAYOUT`."""

    def take(*rows: Row, kind: str = "csv", layout: str = LAYOUT, **options: Any) -> Study:
        path, described = tmp_path / f"votes.{kind}", tmp_path / "layout.yaml"
        write(path, list(rows))
        described.write_text(layout)
        return importing.import_file(workspace, path, "study", described, **options)

    return take


def write(path: Path, rows: list[Row]) -> None:
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.append(list(rows[0]))
        for each in rows:
            sheet.append(list(each.values()))
        book.save(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    else:
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_every_kind_of_file_gives_the_same_judgements(
    take: Import, workspace: Workspace, kind: str
) -> None:
    study = take(row(), row(prompt="p2", better="yes", who="bob"), kind=kind)
    first, second = study.assessments
    assert (first.annotator, first.item, first.systems) == ("ann", "p1", ("old", "new"))
    assert first.preferences == {"overall": -1}
    assert first.ratings == {"fluent": (2.0, 5.0)}
    assert first.lengths == (6, 13)
    assert first.note == "clearer"
    assert first.made == datetime(2024, 5, 1, 10).timestamp()
    assert second.preferences == {"overall": 2}
    assert studies.open(workspace, "study") == study


def test_numbers_and_dates_of_a_spreadsheet_are_read_as_what_they_show(take: Import) -> None:
    moment = datetime(2023, 6, 1, 12, 30)
    study = take(row(prompt=7.0, who=3, when=moment), kind="xlsx")
    (found,) = study.assessments
    assert (found.item, found.annotator, found.made) == ("7", "3", moment.timestamp())


def test_the_last_judgement_of_the_same_counts_on_whichever_side(take: Import) -> None:
    """By time where there is one, whatever the order of the rows; sides don't matter."""
    turned = row(when="2024-05-03", better="left")
    turned |= {"left model": "new", "right model": "old"}
    study = take(turned, row(), row(who="bob"), row(prompt="p2"), row(prompt="p2", better="no"))
    assert study.replaced == 2
    kept = {(each.annotator, each.item): each for each in study.assessments}
    assert len(kept) == 3
    assert kept["ann", "p1"].systems == ("new", "old")
    assert kept["ann", "p2"].preferences == {"overall": 0}


def test_empty_lines_are_nothing_and_a_missing_rating_is_none(take: Import) -> None:
    empty = dict.fromkeys(row(), None)
    study = take(row(**{"left fluent": None}), empty, empty, row(prompt="p2"), kind="xlsx")
    assert len(study.assessments) == 2
    assert study.assessments[0].ratings == {"fluent": (None, 5.0)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"better": "middle"}, "better is 'middle', none of yes, left, no, right"),
        ({"who": ""}, "who is empty"),
        ({"left model": "new"}, "new is compared with itself"),
        ({"left fluent": "good"}, "left fluent is 'good', no number"),
        ({"right fluent": "nan"}, "right fluent is 'nan', no number"),
        ({"when": "yesterday"}, "when is 'yesterday', no time"),
        ({"better": "", "left fluent": "", "right fluent": ""}, "neither a preference nor"),
    ],
)
def test_a_row_that_is_no_judgement_stops_the_import_with_its_place(
    take: Import, workspace: Workspace, change: Row, reason: str
) -> None:
    with pytest.raises(WorkbenchError, match="1 of 3 rows") as caught:
        take(row(), row(prompt="p2", **change), row(prompt="p3"))
    assert "votes.csv:3" in str(caught.value)
    assert reason in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    assert not studies.exists(workspace, "study")
    study = take(row(), row(prompt="p2", **change), row(prompt="p3"), skip_bad=True)
    assert (len(study.assessments), study.refused) == (2, 1)


def test_a_line_that_can_not_be_read_is_refused_like_any_other(
    tmp_path: Path, workspace: Workspace
) -> None:
    path, described = tmp_path / "votes.csv", tmp_path / "layout.yaml"
    write(path, [row(why="für"), row(prompt="p2")])
    text = path.read_text() + "one cell alone\n"
    path.write_bytes(text.encode("latin-1"))
    described.write_text(LAYOUT)
    with pytest.raises(WorkbenchError, match=r"1 of 3 rows.*votes\.csv:4"):
        importing.import_file(workspace, path, "study", described, encoding="latin-1")
    study = importing.import_file(
        workspace, path, "study", described, encoding="latin-1", skip_bad=True
    )
    assert study.refused == 1
    assert study.assessments[0].note == "für"


def test_a_preference_without_values_may_name_the_better_system(take: Import) -> None:
    layout = LAYOUT.replace('values: {"yes": 2, left: 1, "no": 0, right: -1}', "")
    given = ("new", "old", "tie", "first", "second", -2)
    study = take(
        *(row(prompt=str(i), better=better) for i, better in enumerate(given)), layout=layout
    )
    assert [each.preferences["overall"] for each in study.assessments] == [-1, 1, 0, 1, -1, -2]


def test_half_a_preference_is_none(take: Import) -> None:
    layout = LAYOUT.replace('values: {"yes": 2, left: 1, "no": 0, right: -1}', "")
    with pytest.raises(WorkbenchError, match=r"better is '0\.5', no whole number"):
        take(row(better=0.5), layout=layout)


def test_ratings_of_one_system_by_its_own_name(take: Import) -> None:
    layout = """
item: prompt
annotator: who
systems: "=mine"
ratings:
  fluent: {columns: left fluent}
"""
    (found,) = take(row(), layout=layout).assessments
    assert (found.systems, found.ratings, found.lengths) == (("mine",), {"fluent": (2.0,)}, ())


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        (LAYOUT + "speed: fast\n", "no field speed"),
        (LAYOUT.replace("item: prompt\n", ""), "`item` must name a column"),
        (LAYOUT.replace("[left model, right model]", "[a, b, c]"), "one column or two"),
        (LAYOUT.replace("right: -1", "right: worse"), "a number for each text"),
        (LAYOUT.replace("[left fluent, right fluent]", "[left fluent]"), "for each of `systems`"),
        (LAYOUT.replace("[left text, right text]", "left text"), "for each of `systems`"),
        (LAYOUT + "shown_in_order: maybe\n", "must be true or false"),
        (LAYOUT.replace("item: prompt", "item: question"), "no column question"),
        (LAYOUT + "ratings: [", "not valid YAML"),
    ],
)
def test_a_layout_that_does_not_fit_says_where(take: Import, layout: str, problem: str) -> None:
    with pytest.raises(WorkbenchError, match=problem):
        take(row(), layout=layout)


def test_the_example_layout_is_one(tmp_path: Path) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text(layouts.EXAMPLE)
    found = layouts.read(path)
    assert found.preferences == {"overall": ("winner", {"A": 1, "tie": 0, "B": -1})}


def test_unknown_columns_are_listed_with_an_example(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "votes.csv"
    write(path, [row()])
    with pytest.raises(WorkbenchError) as caught:
        importing.import_file(workspace, path, "study")
    assert "left fluent" in caught.value.message
    assert layouts.EXAMPLE in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"a,b\n1,2\n"])
def test_what_is_no_workbook_says_so(tmp_path: Path, workspace: Workspace, content: bytes) -> None:
    path = tmp_path / "votes.xlsx"
    path.write_bytes(content)
    with pytest.raises(WorkbenchError, match="no Excel workbook that can be read"):
        importing.import_file(workspace, path, "study")
    with pytest.raises(WorkbenchError, match=r"none\.xlsx"):
        importing.import_file(workspace, tmp_path / "none.xlsx", "study")


def test_a_name_is_a_session_s_or_a_study_s_and_never_both(
    take: Import, make: Callable[..., Any], workspace: Workspace, tmp_path: Path
) -> None:
    make(name="study")
    with pytest.raises(WorkbenchError, match="review study already"):
        take(row())
    sessions.open(workspace, "study").path.unlink()
    take(row())
    with pytest.raises(WorkbenchError, match="review study already"):
        take(row())
    with pytest.raises(WorkbenchError, match="review study already"):
        create_session(workspace, "study", [Source.of(tmp_path)])


def test_a_damaged_study_is_listed_with_its_problem(take: Import, workspace: Workspace) -> None:
    take(row(), row(prompt="p2"))
    (listed,) = studies.listed(workspace)
    assert (listed.name, listed.items, listed.annotators[0].judged) == ("study", 2, 2)
    path = workspace.reviews / "study.judgements.jsonl"
    path.write_text(path.read_text()[:-20])
    (listed,) = studies.listed(workspace)
    assert "is damaged" in listed.problem
    path.write_text('{"version": 99}\n')
    with pytest.raises(WorkbenchError, match="version 99"):
        studies.open(workspace, "study")
