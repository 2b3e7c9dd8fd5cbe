from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from workbench.data import documents, readers, versions
from workbench.data.documents import pieces
from workbench.data.importing import Options, import_files
from workbench.data.template import ChatTemplate
from workbench.errors import WorkbenchError
from workbench.workspace import Workspace


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [
        ("One.\n\nTwo.\n\nThree.", 15, ["One.\n\nTwo.\n\n", "Three."]),
        ("One.\n \n\n Two", 9, ["One.\n \n\n ", "Two"]),
        ("one two\nthree four", 14, ["one two\n", "three four"]),
        ("One two. Three four", 14, ["One two. ", "Three four"]),
        ("„Ja.“ Nein. Vielleicht", 13, ["„Ja.“ Nein. ", "Vielleicht"]),
        ("one two three", 8, ["one two ", "three"]),
        (
            "# A\n\nOne two three four. Five six seven.",
            26,
            ["# A\n\nOne two three four. ", "Five six seven."],
        ),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("short", 9, ["short"]),
    ],
)
def test_a_text_is_cut_at_the_best_end_that_there_is(text: str, most: int, cut: list[str]) -> None:
    assert list(pieces(text, most)) == cut


def test_nothing_is_lost_and_no_piece_is_too_long_by_any_measure() -> None:
    random_ = random.Random(5)
    signs = ["a", "bc", " ", ". ", "\n", "\n\n", "日本", "!"]
    for most in (1, 2, 7, 40, 400):
        text = "".join(random_.choices(signs, k=900))
        for measure in (len, lambda piece: len(piece.encode()), lambda piece: 1 + len(piece) // 3):
            parts = list(pieces(text, most, measure))
            assert "".join(parts) == text and all(parts)
            assert all(measure(part) <= most or len(part) == 1 for part in parts)


@pytest.mark.parametrize("name", ["doc.txt", "doc.md", "doc.txt.gz"])
def test_a_file_of_text_is_a_document_or_several_between_form_feeds(
    tmp_path: Path, name: str
) -> None:
    import gzip

    path = tmp_path / name
    data = b"\xef\xbb\xbfFirst\r\n\r\npart\n\f\n\f\n  \n\f\nSecond \f inside"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = list(readers.read(path))
    assert [(r.place, r.value) for r in rows] == [
        (f"{name}:1", {"text": "First\n\npart\n"}),
        (f"{name}:8", {"text": "Second \f inside"}),
    ]


def test_json_lines_may_be_called_txt(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"x": 1}\n')
    assert [row.value for row in readers.read(path)] == [
        {"prompt": "a", "completion": "b"},
        {"x": 1},
    ]


def test_a_file_that_is_one_long_document_comes_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents, "LONGEST", 1000)
    text = "".join(f"Paragraph {n}.\n\n" for n in range(500))
    found = list(documents.documents(io.StringIO(text)))
    assert "".join(piece for _, piece in found) == text
    assert len(found) > 5 and all(len(piece) <= 1000 for _, piece in found)
    for line, piece in found:
        assert text.splitlines()[line - 1] == piece.splitlines()[0]


def test_long_texts_are_cut_as_a_step_and_say_where_they_came_from(
    workspace: Workspace, tmp_path: Path
) -> None:
    paragraphs = [f"Paragraph {n} of a long text.\n\n" for n in range(40)]
    (tmp_path / "a.txt").write_text("".join(paragraphs))
    (tmp_path / "b.md").write_text("A short one.")
    (tmp_path / "c.jsonl").write_text('{"prompt": "long? %s", "completion": "Yes"}' % ("x" * 999))
    files = [tmp_path / name for name in ("a.txt", "b.md", "c.jsonl")]
    options = Options(cut=100, validation_share=0)
    version = import_files(workspace, files, "made", options)
    rows = list(versions.read(version))
    cut = [row for row in rows if "document" in row.extra]
    assert "".join(row.text for row in cut) == "".join(paragraphs)
    assert max(len(row.text) for row in cut) <= 100
    assert cut[1].source == f"a.txt:1 (2 of {len(cut)})"
    assert cut[1].extra == {"document": "a.txt:1", "piece": 2}
    assert [row.source for row in rows[len(cut) :]] == ["b.md:1", "c.jsonl:1"]
    step = versions.describe(version)["steps"][1]
    assert (step["name"], step["before"], step["after"]) == ("cut", 3, len(cut) + 2)
    assert step["parameters"] == {"most": 100}
    assert import_files(workspace, files, "again", options).sha256 == version.sha256
    with pytest.raises(WorkbenchError, match="at least one character"):
        import_files(workspace, files, "made", Options(cut=-1))


def test_texts_are_cut_by_the_tokens_of_a_base_model(
    workspace: Workspace, tmp_path: Path, tiny_model: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("日本語の文。\n\n" * 30)
    options = Options(cut=64, cut_model=str(tiny_model), validation_share=0)
    version = import_files(workspace, [path], "made", options)
    template = ChatTemplate.load(tiny_model)
    lengths = [len(template.encode(row).ids) for row in versions.read(version)]
    assert max(lengths) <= 64
