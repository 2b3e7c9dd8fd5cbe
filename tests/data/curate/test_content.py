from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.data.curate.real_data import (
    GSM8K,
    MODELS,
    NEWS,
    QA,
    SELF_INSTRUCT,
    SUMMARIES,
    conversation,
    here,
    real,
)
from workbench.data.curate import checks, content, markers, wordlists
from workbench.data.curate.content import KINDS, LISTS, Options, annotate
from workbench.data.curate.findings import Finding, parts
from workbench.data.curate.wordlists import Matcher
from workbench.data.example import Example
from workbench.errors import WorkbenchError


def found(*texts: str, options: Options | None = None) -> list[Finding]:
    rows = [conversation("Say.", text) for text in texts]
    findings = list(annotate(rows, options or Options()))
    assert {finding.kind for finding in findings} <= set(KINDS)
    return findings


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in found(text)]


def spanned(rows: list[Example], finding: Finding) -> list[str]:
    texts = {part.where: part.text for part in parts(rows[finding.row])}
    return [texts[span.where][span.start : span.end] for span in finding.spans]


def hits(text: str, *entries: str) -> list[str]:
    return [text[start:end] for start, end, _ in Matcher({"list": entries}).find(text)]


@pytest.mark.parametrize(
    ("text", "kind", "label"),
    [
        ("Here is how to make a bomb at home.", "harmful", "weapons-drugs"),
        ("You should KILL YOURSELF.", "harmful", "self-harm"),
        ("I will kill you tomorrow.", "harmful", "threats"),
        ("He is a stupid bitch, that one.", "toxic", "insults"),
        ("Write ransomware for me.", "harmful", "malware"),
        ("We use cookies to improve your visit.", "boilerplate", "boilerplate"),
        ("Subscribe to our newsletter!", "boilerplate", "boilerplate"),
    ],
)
def test_each_list_has_its_kind(text: str, kind: str, label: str) -> None:
    (only,) = found(text)
    assert only.kind == kind and [span.label for span in only.spans] == [label]
    assert f"({label})" in only.reason


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe and Penistone are towns in England; Arsenal is a club.",
        "Kill the process with `kill -9`, then kill its children.",
        "Shoot me an email, or shoot an email to the whole team.",
        "Execute the query, then drop the table and abort the transaction.",
        "The bomb squad was called; a bomb had been found in the garden.",
        "The assassin's bullet killed the president in 1963.",
        "Add spices to the niggardly portion; it is spick and span.",
        "That joke killed me; the comedian slayed the crowd.",
        "Attack the problem from another side and crack the nut.",
        "Master and slave drives, blacklists and dummy variables.",
        "Cut the onions; cut yourself some slack.",
        "The fire retardant foam retarded the flames.",
        "Cookies: use butter, sugar and flour. We used cookies as a base.",
        "Her newsletter has many readers. Subscribe to the channel of events.",
        "Sussex, Essex and Middlesex; the analyst's therapist; a cocktail dress.",
        "How to make a bombe glacée, and how to make a bath bomb.",
        "The drug was approved to treat meth addiction.",
    ],
)
def test_harmless_words_are_not_hit(text: str) -> None:
    assert found(text) == []


def test_words_are_found_however_they_are_written() -> None:
    for text in ("make a bomb", "Make a BOMB", "make  a\nbomb", "make-a-bomb", "ｍａｋｅ a bomb"):
        assert hits(f"({text})", "make a bomb") == [text]
    assert hits("h4ck th3 b4nk", "hack the bank") == ["h4ck th3 b4nk"]
    assert hits("Málwarè", "malware") == ["Málwarè"]
    assert hits("mal\u200bware and mal\u00adware", "malware") == ["mal\u200bware", "mal\u00adware"]
    assert hits("ma\u0301lware!", "malware") == ["ma\u0301lware"]
    assert hits("I’ll and I'll and Ill do", "i'll") == ["I’ll", "I'll", "Ill"]
    assert hits("455 and 5ex, 1055", "ass", "sex", "loss") == ["5ex"]


def test_an_entry_is_never_within_a_longer_word() -> None:
    assert hits("shell hello hell-bent Hell!", "hell") == ["hell", "Hell"]
    assert hits("hacks hacking hack", "hack*") == ["hacks", "hacking", "hack"]
    assert hits("hack the banks", "hack the bank") == []
    assert hits("hacks, hack the bank", "hack*", "hack the bank") == ["hacks", "hack the bank"]
    assert hits("to kill and to", "kill", "kill and to", "kill a") == ["kill and to"]


def test_markers() -> None:
    for text, rule in {
        "All rights reserved.": "rights reserved",
        "© 2019 Example Inc.": "copyright notice",
        "Copyright (c) 1998 by Ann Miller": "copyright notice",
        "Copyright 2007 Reuters.": "copyright notice",
        "© Example Press, London 2011": "copyright notice",
        "# SPDX-License-Identifier: GPL-2.0-only": "SPDX tag",
        "the GNU General Public License as published": "GPL",
        "This program is free software: you can redistribute it": "GPL",
        "licensed under a Creative Commons Attribution 4.0 licence": "Creative Commons",
        "CC BY-SA 4.0": "Creative Commons",
        "Licensed under the Apache License, Version 2.0": "software licence",
        "Permission is hereby granted, free of charge, to any person": "software licence",
        "Reproduction in whole or in part is strictly prohibited": "no reproduction",
        "No part of this publication may be reproduced": "no reproduction",
        "This material may not be published, broadcast, rewritten": "no reproduction",
        "Subscribe to continue reading": "paywall",
        "This article is for subscribers only": "paywall",
        "you agree to our Terms of Service": "terms of use",
        "(Photo by Ann Miller/Getty Images)": "agency credit",
        "AP Photo": "agency credit",
        "First published 1999. ISBN 978-3-16-148410-0": "ISBN",
    }.items():
        labels = [label for _, _, label in markers.find(text)]
        assert labels == [rule], text


@pytest.mark.parametrize(
    "text",
    [
        "Copyright law protects authors; copyright lasts for 70 years.",
        "She reserved all her rights as a tenant.",
        "Set (c) to 5 and (d) to 2019.",
        "The GPL is a licence of the GNU project.",
        "Smoking is prohibited here.",
        "Guests may not be served after ten.",
        "Getty Images sued the company.",
        "See Miller (1999), ISBN 978-3-16-148410-0, for more.",
        "He took a photo by the lake in 2019.",
        "Terms of the treaty were agreed to.",
        "The carbon copy (CC) by post.",
        "She reads the article to her subscribers.",
    ],
)
def test_what_is_no_marker(text: str) -> None:
    assert list(markers.find(text)) == []


def test_spans_are_what_was_hit_in_every_text_of_a_row() -> None:
    row = conversation(
        "Ｋill yourself, I said.", "No. © 2019 Ann. All rights reserved.\nKill yourself!"
    )
    first, second = annotate([row])
    assert (first.kind, second.kind) == ("harmful", "copyright")
    assert spanned([row], first) == ["Ｋill yourself", "Kill yourself"]
    assert [span.where for span in first.spans] == ["messages[0].content", "messages[1].content"]
    assert spanned([row], second) == ["© 2019", "All rights reserved"]
    assert (
        second.reason
        == "It has “© 2019” (copyright notice); “All rights reserved” (rights reserved)."
    )


def test_a_sentence_that_many_rows_have_is_boilerplate() -> None:
    notice = "The opinions in this text are those of its author alone."
    rows = [conversation("Say.", f"Row {n} is this one. {notice} It goes on.") for n in range(10)]
    assert [f.kind for f in annotate(rows)] == ["boilerplate"] * 10
    first = next(annotate(rows))
    assert spanned(rows, first) == [notice.removesuffix(".")]
    assert first.spans[0].label == "repeated" and "(10 rows have it)" in first.reason
    assert list(annotate(rows[:9])) == []
    assert len(list(annotate(rows[:4], Options(repeated=4)))) == 4
    shouted = conversation("Say.", notice.upper().replace(" ", "  "))
    assert len(list(annotate([*rows[:9], shouted]))) == 10, "case and spaces make no difference"


def test_sentences_that_follow_each_other_are_one_passage() -> None:
    passage = "One two three four five six seven eight. Eight seven six five four three two one!"
    rows = [conversation("Say.", f"{n}. {passage} {n}") for n in range(10)]
    assert spanned(rows, next(annotate(rows))) == [passage.removesuffix("!")]


def test_what_prompts_have_in_common_is_no_boilerplate() -> None:
    prompt = "Answer the following question from the text, and give no reason for it."
    assert list(annotate([conversation(prompt, f"{n}") for n in range(50)])) == []
    assert list(annotate([conversation(f"{n}", "A short one.") for n in range(50)])) == []


def test_a_list_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "clients.txt"
    path.write_text("# whom we work for\nAcme Ltd  # since 2001\n\nglobex*\n", encoding="utf-8")
    options = Options(lists=(str(path),))
    rows = [conversation("Say.", "ACME-Ltd. and Globexes"), conversation("Say.", "Acme")]
    (only,) = annotate(rows, options)
    assert only.kind == "listed" and spanned(rows, only) == ["ACME-Ltd", "Globexes"]
    assert only.spans[0].label == "clients"


def test_findings_are_of_a_list_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("one\n")
    options = Options(lists=(str(path),))
    assert options.digests and Options(options.lists, digests=options.digests) == options
    path.write_text("two\n")
    assert Options(lists=(str(path),)) != options
    with pytest.raises(WorkbenchError, match="no longer those"):
        Options(options.lists, digests=options.digests)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no entries"),
        (b"# nothing\n\n", "has no entries"),
        (b"good\nb*d\n", r"Line 2 of the list .*: a \* is possible at the end only"),
        (b"x\n", "two letters"),
        (b"ok\n(paren\n", "Line 2 .* begins and ends with a letter"),
        (b"w" * 200, "more than 100 characters"),
        (b"\xff\xfe", "not UTF-8"),
        (b"\n".join(b"word%d" % n for n in range(6000)), "too long"),
    ],
)
def test_a_bad_list_is_refused_before_rows_are_read(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    with pytest.raises(WorkbenchError, match=message):
        Options(lists=(str(path),))


def test_lists_that_are_not_there_or_named_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="Could not read the list"):
        Options(lists=(str(tmp_path / "none.txt"),))
    with pytest.raises(WorkbenchError, match="Could not read the list"):
        Options(lists=(str(tmp_path),))
    path = tmp_path / "slurs.txt"
    path.write_text("one\n")
    with pytest.raises(WorkbenchError, match="two lists slurs"):
        Options(lists=(str(path),))
    with pytest.raises(WorkbenchError, match="from 2 rows on"):
        Options(repeated=1)


def test_the_bundled_lists_are_lists() -> None:
    folder = Path(wordlists.__file__).parent / "lists"
    assert {path.stem for path in folder.iterdir()} == LISTS.keys()
    for name in LISTS:
        entries = wordlists.bundled(name)
        assert len(entries) == len(set(entries)), name


@pytest.mark.parametrize(
    "text",
    [
        "how to kill " * 10_000,
        "copyright © a" * 10_000,
        "reproduction " * 10_000 + "prohibited",
        "photo by: " * 12_000,
        "ISBN 9-7-8 " * 12_000,
        *(f"{start}{' ' * 120_000}x" for start in ("copyright", "photo by", "all rights", "(c)")),
    ],
    ids=lambda text: text[:12],
)
def test_no_text_takes_long(text: str) -> None:
    """A hundred kilobytes of what rules begin with: none looks at it again and again."""
    start = time.process_time()
    list(annotate([conversation(text, text)]))
    assert time.process_time() - start < 3


def test_how_far_it_is_is_told_and_may_end_it() -> None:
    rows = [conversation("Say.", f"{n}") for n in range(20)]
    told: list[tuple[str, int, int, str]] = []
    list(annotate(rows, tell=lambda *how: told.append(how)))
    assert list(dict.fromkeys(phase for phase, *_ in told)) == ["passages", "looking"]
    assert told[0] == ("passages", 0, 20, "rows") and told[-1] == ("looking", 20, 20, "rows")

    def end(phase: str, done: int, total: int, unit: str) -> None:
        if phase == "looking" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(annotate(rows, tell=end))


def test_checks_are_known_by_name() -> None:
    assert checks.get("content") is content
    options = checks.options_of(checks.get("content"), {"lists": [], "repeated": 5})
    assert options == Options(repeated=5)


MOST: dict[str, dict[str, int]] = {
    GSM8K: {},
    SELF_INSTRUCT: {},
    QA: {},
    NEWS: {},
    SUMMARIES: {"boilerplate": 44, "copyright": 4, "harmful": 1},
    MODELS: {},
}
"""Findings of real data. Those of the summaries are right but for the one that is harmful, news
of a man who was charged: pages of a news site with `E-mail to a friend` and its copyright."""


@here
@pytest.mark.parametrize("name", [GSM8K, SELF_INSTRUCT, QA, NEWS, SUMMARIES, MODELS])
def test_real_data(name: str) -> None:
    rows = real(name)
    counts = Counter(finding.kind for finding in annotate(rows))
    assert all(counts[kind] <= MOST[name].get(kind, 0) for kind in counts), counts
