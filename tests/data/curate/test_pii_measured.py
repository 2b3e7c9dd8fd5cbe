"""How much of what is labelled is found, how much of what is nothing is, and how long it takes."""

from __future__ import annotations

import json
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.curate.personal_data import ENGINES, LIGHT, found, row
from workbench.data.curate import pii
from workbench.data.curate.pii import Options, annotate, find
from workbench.data.example import Example

SHARED = Path(__file__).parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here")

STRUCTURED = {
    "CREDIT_CARD": "card",
    "DATE_TIME": "date",
    "DOMAIN_NAME": "url",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "US_DRIVER_LICENSE": "id",
    "US_SSN": "ssn",
}


def recall(options: Options) -> tuple[Counter[str], Counter[str]]:
    """Spans by type that a hit of the same type overlaps, and all of them."""
    wanted: Counter[str] = Counter()
    overlapped: Counter[str] = Counter()
    for body in json.loads((SHARED / "presidio_synth_v2.json").read_text("utf-8")):
        hits = find(body["full_text"], options)
        for span in body["spans"]:
            if kind := STRUCTURED.get(span["entity_type"]):
                wanted[kind] += 1
                overlapped[kind] += any(
                    hit.start < span["end_position"] and span["start_position"] < hit.end
                    for hit in hits
                    if hit.kind.removeprefix("birth-") == kind
                )
    return wanted, overlapped


@real_data
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_labelled_is_found(engine: str) -> None:
    wanted, overlapped = recall(Options(engine=engine))
    assert wanted.total() == 489
    assert overlapped.total() >= 0.85 * wanted.total(), overlapped
    # The dates are years and weekdays to a half, which lead to nobody.
    del wanted["date"], overlapped["date"]
    assert overlapped.total() >= 0.97 * wanted.total(), overlapped


def gsm8k() -> Iterator[Example]:
    for name in ("gsm8k_train", "gsm8k_test"):
        for line in (SHARED / f"{name}.jsonl").read_text("utf-8").splitlines():
            body = json.loads(line)
            yield row(body["question"], body["answer"])


@real_data
def test_sums_are_no_personal_data() -> None:
    rows = list(gsm8k())
    assert len(rows) == 8792
    flagged = list(annotate(rows, LIGHT))
    assert len(flagged) <= len(rows) / 1000, flagged


def test_programs_hold_none() -> None:
    """The standard library's own files, but for those about addresses, and for links, mail and
    dates, which it does hold."""
    folder = Path(sysconfig.get_path("stdlib"))
    others = tuple(pii.KINDS.keys() - {"url", "email", "date"})
    about = {"ipaddress.py", "socket.py", "uuid.py"}
    for path in [path for path in sorted(folder.glob("*.py"))[::2] if path.name not in about]:
        assert found(path.read_text("utf-8"), Options(others, "light")) == [], path


ADVERSARIAL = {
    "one letter": "a" * 100_000,
    "one digit": "1" * 100_000,
    "digits and spaces": "1 " * 50_000,
    "zeros in pairs": "01 " * 33_000,
    "phones that go on": "020 7946 0018 " * 7_000 + "-",
    "groups of four": "4111 " * 20_000 + "x",
    "dots": "a." * 50_000,
    "numbers with dots": "10." * 33_000,
    "colons": "ab:" * 33_000,
    "addresses that never end": "a@" * 50_000,
    "a long domain": "a@" + "b." * 50_000,
    "brackets": "(" * 50_000 + ")" * 50_000,
    "a link's end": "http://a.b/" + ")" * 50_000 + "." * 50_000,
    "links": "http://" * 14_000,
    "keys that begin": "-----BEGIN RSA PRIVATE KEY-----\n" * 3_000,
    "a key that never ends": "-----BEGIN RSA PRIVATE KEY-----\n" + "A" * 100_000,
    "headers of a key": "-----BEGIN RSA PRIVATE KEY-----\n" + "Aaa: a\n" * 14_000,
    "words for secrets": "token=" * 16_000,
    "tokens": "eyJaaaaaaaa." * 8_000,
    "spaces": "date of birth" + " " * 100_000,
    "words of birth": "born " * 20_000,
    "documents": "passport number is " * 5_000,
    "words for telephones": "call 1 " * 14_000,
    "sites": "web site is " * 8_000,
    "accounts": "DE89 " * 20_000,
    "days": "1/1/" * 25_000,
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_no_text_takes_long(name: str) -> None:
    """100,000 characters of ordinary text take some 30 ms."""
    text = ADVERSARIAL[name]
    took = seconds(text)
    # On a slow machine: ten times as much text takes ten times as long, not a hundred times.
    assert took < 2 or took < 30 * seconds(text[: len(text) // 10])


def seconds(text: str) -> float:
    began = time.process_time()
    find(text, LIGHT)
    return time.process_time() - began
