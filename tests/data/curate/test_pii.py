"""Personal data is found where it is, by public test numbers, and nowhere else."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from tests.data.curate.in_processes import said_by_any
from tests.data.curate.personal_data import ENGINES, KNOWN, LIGHT, NOTHING, found, row
from workbench.data.curate import checks
from workbench.data.curate.findings import Finding, Span
from workbench.data.curate.personal import presidio
from workbench.data.curate.pii import Options, annotate
from workbench.data.example import Example
from workbench.errors import WorkbenchError


@pytest.mark.parametrize(
    ("kind", "marked"), [(kind, text) for kind, texts in KNOWN.items() for text in texts]
)
def test_what_is_known_is_found_to_the_character(kind: str, marked: str) -> None:
    text = marked.replace("|", "")
    wanted = [(kind, piece) for piece in marked.split("|")[1::2]]
    assert [hit for hit in found(text) if hit[0] == kind][: len(wanted)] == wanted
    assert {hit[0] for hit in found(text)} == {kind}


@pytest.mark.skipif(not presidio.is_installed(), reason="presidio is not installed")
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("NHS number: 401 023 2137", "401 023 2137"),
        ("codice fiscale RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        ("born in Madrid, 12345678Z", "12345678Z"),
        ("call about TFN 876 543 210", "876 543 210"),
        ("HETU 131052-308T", "131052-308T"),
        ("PESEL: 44051401359", "44051401359"),
        ("Steuer-ID 86095742719 liegt vor", "86095742719"),
        ("401 023 2137, 44051401359 and 86095742719", ""),
    ],
)
def test_presidio_adds_the_numbers_of_states(
    text: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("It goes to the network.")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    wanted = [("id", number)] if number else []
    assert found(text, Options(engine="presidio")) == wanted
    assert [hit for hit in found(text) if hit[0] != "phone"] == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_not(text: str, engine: str) -> None:
    assert found(text, Options(engine=engine)) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_has_one_finding_a_type_with_all_of_its_places(engine: str) -> None:
    text = "Mail a@example.com or b@example.com, or call 555-0123."
    rows = [row("Nothing here."), row(text, "I wrote to a@example.com.")]
    address = "address"
    assert list(annotate(rows, Options(engine=engine))) == [
        Finding(
            1,
            "email",
            "3 e-mail addresses",
            spans=(
                Span("messages[0].content", 5, 18, address),
                Span("messages[0].content", 22, 35, address),
                Span("messages[1].content", 11, 24, address),
            ),
        ),
        Finding(
            1,
            "phone",
            "a telephone number",
            spans=(Span("messages[0].content", 45, 53, "beside a word"),),
        ),
    ]
    (plain,) = annotate([Example(text="At 198.51.100.7.")], Options(engine=engine))
    assert plain.spans == (Span("text", 3, 15, "ipv4"),)


def test_extra_fields_and_tools_are_looked_through_and_the_reason_says_where() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "As\nroot@example.com."}}
    example = replace(
        row("Mail a@example.com."),
        extra={"contact": "jane@example.com", "n": 5, "people": [{"full name": "b@example.com"}]},
        tools=json.dumps([tool]),
    )
    (found,) = annotate([example], LIGHT)
    assert [(span.where, span.start, span.end) for span in found.spans] == [
        ("messages[0].content", 5, 18),
        ("extra.contact", 0, 16),
        ('extra.people[0]["full name"]', 0, 13),
        ("tools[0].function.description", 3, 19),
    ]
    assert found.reason == (
        '4 e-mail addresses, also in extra.contact, extra.people[0]["full name"], '
        "tools[0].function.description"
    )
    (found,) = annotate([Example(text="Nothing.", extra={"ip": "198.51.100.7"})], LIGHT)
    assert found.reason == "an IP address, in extra.ip"


def test_full_width_letters_are_letters() -> None:
    text = "邮箱：ＪＡＮＥ＠ｅｘａｍｐｌｅ．ｃｏｍ。"
    assert found(text) == [("email", "ＪＡＮＥ＠ｅｘａｍｐｌｅ．ｃｏｍ")]


def test_no_reason_and_no_label_holds_what_was_found() -> None:
    for texts in KNOWN.values():
        for marked in texts:
            values = marked.split("|")[1::2]
            said = json.dumps([f.to_json() for f in annotate([row(marked.replace("|", ""))])])
            assert not any(value in said for value in values)


def test_types_choose_what_is_told_and_not_how_it_is_read() -> None:
    text = "198.51.100.7 called: 212-555-0123, jane@example.com"
    assert found(text, Options(("phone",), "light")) == [("phone", "212-555-0123")]
    everything = [hit for hit in found(text) if hit[0] != "email"]
    assert found(text, Options(("phone", "ip"), "light")) == everything


def test_what_two_recognisers_claim_is_the_surer_ones() -> None:
    assert found("https://jane@example.com/2021-05-23?to=b@example.com") == [
        ("url", "https://jane@example.com/2021-05-23?to=b@example.com")
    ]
    assert found("call 4111 1111 1111 1111") == [("card", "4111 1111 1111 1111")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"types": ["face"]}, "no type face"),
        ({"engine": "spacy"}, "no engine spacy"),
        ({"kinds": ["email"]}, "no option kinds"),
    ],
)
def test_options_that_can_t_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        checks.options_of(checks.get("personal-data"), options)


def test_the_engine_is_settled_when_the_options_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presidio, "is_installed", lambda: False)
    assert Options().engine == "light" == Options(engine="auto").engine
    with pytest.raises(WorkbenchError, match="not installed") as caught:
        Options(engine="presidio")
    assert "finetune-workbench[pii]" in caught.value.hint
    monkeypatch.setattr(presidio, "is_installed", lambda: True)
    assert Options().engine == "presidio" == Options(engine="presidio").engine
    assert Options(engine="light").engine == "light"


def test_the_same_rows_give_the_same_findings_in_any_process() -> None:
    program = (
        "from tests.data.curate.personal_data import KNOWN, LIGHT, row\n"
        "from workbench.data.curate.pii import annotate\n"
        "rows = [row(text) for texts in KNOWN.values() for text in texts]\n"
        "print([finding.to_json() for finding in annotate(rows, LIGHT)])"
    )
    assert "birth-date" in said_by_any(program)


def test_how_far_it_is_is_told_and_may_end_it() -> None:
    rows = [row("Write to a@example.com."), row("No."), row("")]
    told: list[tuple[str, int, int, str]] = []
    assert list(annotate(rows, LIGHT, tell=lambda *how: told.append(how)))
    assert told == [("personal data", done, 3, "rows") for done in range(4)]

    def end(phase: str, done: int, total: int, unit: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    found_before = []
    with pytest.raises(KeyboardInterrupt):
        for finding in annotate(rows, LIGHT, tell=end):
            found_before.append(finding.row)
    assert found_before == [0]
    assert list(annotate([], LIGHT)) == []
