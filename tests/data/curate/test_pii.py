"""Personal data is found where it is, by public test numbers, and nowhere else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.data.curate import checks, pii
from workbench.data.curate.findings import Finding, Span
from workbench.data.curate.personal import presidio
from workbench.data.curate.pii import Options, annotate, find
from workbench.data.example import Example, Message
from workbench.errors import WorkbenchError

SHARED = Path(__file__).parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not here")
LIGHT = Options(engine="light")
ENGINES = [
    LIGHT.engine,
    pytest.param(
        "presidio",
        marks=pytest.mark.skipif(not presidio.is_installed(), reason="presidio is not installed"),
    ),
]


def row(text: str, answer: str = "Yes.") -> Example:
    return Example((Message("user", text), Message("assistant", answer)))


def found(text: str, options: Options = LIGHT) -> list[tuple[str, str]]:
    """Each kind with what was found."""
    return [(hit.kind, text[hit.start : hit.end]) for hit in find(text, options)]


PEM = [f"-----{word} RSA PRIVATE {'KEY'}-----" for word in ("BEGIN", "END")]
# The numbers between two bars. From the issuers' and the networks' own pages for tests (Stripe,
# PayPal, Adyen), SWIFT's IBAN registry, RFC 5737, 3849 and 7042, AWS's documentation, RFC 7519,
# the blocks for fiction of Ofcom, ARCEP, BNetzA, ACMA and PTS, libphonenumber's examples, and the
# social security numbers that were once printed in advertisements.
KNOWN = {
    "email": [
        "Write to |jane.doe+news@mail.example.co.uk|.",
        "'|o_b-1@example.org|', mailto:|x@example.com|",
        "<|jürgen@exämple.de|>",
    ],
    "url": [
        "See |https://example.com/~jane?tab=1#a|.",
        "(at |http://www.example.co.uk/wiki/Jane_(poet)|), or |www.example.org/jane|!",
        "My website is |jane-doe.com.br|",
    ],
    "ip": [
        "from |198.51.100.7|, port 22",
        "|203.0.113.250|:8080 and 10.0.0.1",
        "host |2001:db8::8a2e:370:7334| is up",
        "|2001:0db8:0000:0000:0000:8a2e:0370:7334|",
    ],
    "mac": ["its card is |00:00:5e:00:53:af|", "|00-00-5E-00-53-AF|"],
    "iban": [
        "|DE89370400440532013000|",
        "|DE89 3704 0044 0532 0130 00| and more",
        "to |GB29 NWBK 6016 1331 9268 19|.",
        "|gb29nwbk60161331926819|",
        "|FR1420041010050500013M02606|, |CH93 0076 2011 6238 5295 7|, |NO9386011117947|",
        "|MT84MALT011000012345MTLCAST001S| bank",
        "|LC55HEMM000100010012001200023015|",
    ],
    "card": [
        "|4111 1111 1111 1111|",
        "|4111-1111-1111-1111| 123",
        "|5555555555554444|, |2223003122003222|",
        "|378282246310005| or |3782 822463 10005|",
        "|6011111111111117|",
        "|30569309025904|",
        "|3530111333300000|",
        "my card |4222222222222| is lost",
        "Maestro: |501800000009|, |6304000000000000|",
        "card number |6205500000000000004|",
    ],
    "ssn": [
        "|078-05-1120|",
        "SSN |987-65-4321|",
        "Her SSN is |219 09 9999|.",
        "social security number: |219099999|",
    ],
    "id": [
        "My driver's license number is |F162823540116|",
        "driving licence: |MORGA657054SM9IJ|",
        "Passport No. |C01234567|",
    ],
    "birth-date": [
        "born on |March 5, 1984|",
        "DOB: |03/05/84|",
        "Date of birth |1984|",
        "geboren am |5. März 1984|",
        "né le |5 mars 1984|",
        "Please tell me your date of birth. It's |5/23/1984|",
    ],
    "date": [
        "on |2021-05-23 10:11:12|, and |5/23/2021|",
        "since |23.05.2021|",
        "the |23rd of May 2021|, |May 23, 2021|",
        "el |23 de mayo de 2021|",
    ],
    "phone": [
        # In their own form, or the international one.
        "|020 7946 0018|",
        "|07700 900123|, |+44 7700 900123|",
        "|(212) 555-0123|, |212-555-0123|, |212.555.0123|",
        "|+1 202-555-0143|, |1-202-555-0143 ext. 12|",
        "|001-518-640-0854|",
        'main line |555-123-4567|, (|555.123.4567|), "phone":"|(555) 123-4567|"',
        "|01 99 00 12 34|, |01.99.00.12.34|",
        "|+30 21 0 1234567|, |+33 1 99 00 12 34|, |090-1234-5678|, |09-7625400|",
        "|030/23125 000|, |(030) 23125000|",
        "|(02) 5550 1234|, |0491 570 156|",
        "|08-465 004 12|"[:0] + "|+46 8 465 004 12|, |+46 (0)8 465 004 12|",
        "|044 668 18 00|, |+41446681800|",
        "|050-234-5678|",
        "|0470 12 34 56|",
        # Beside a word.
        "call |555-0123|",
        "Phone:\n|612 34 56 78|",
        "Tlf./mobil |32 12 34 56|",
        "my number is |406 12 345|",
        "|99 123456|-Office, |21 253 109 8211| fax",
        "They're not answering at |(22) 123-456|",
        "text me: |9498777106|",
        "M: |2025550143|",
    ],
    "key": [
        "|AKIAIOSFODNN7EXAMPLE|",
        "aws_secret_access_key = |wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY|",
        "|eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk|",
        f"|{PEM[0]}\nMIIBVQIBADANBgkqhkiG9w0B\nAQEFAASCAT8=\n{PEM[1]}| and more",
        f'"key": "|{PEM[0]}\\nMIIBVQIBADANBgkqhkiG9w0B\\n{PEM[1]}|\\n"',
        f"|{PEM[0]}\nProc-Type: 4,ENCRYPTED\n\nMIIBVQIBADANBgkqhkiG9w0B|\n... (cut here)",
        # Put together here, so that no scanner of repositories takes them for real.
        f"|{'ghp' + '_' + 'aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6'}|",
        f"|{'sk-' + 'ant-api03-' + 'aB3dE6gH9jK2mN5pQ8sT1vW4yZ'}|",
        f"key |{'sk-' + 'proj-' + 'aB3dE6gH9jK2mN5pQ8sT1vW4yZ'}|",
        f"|{'xoxb' + '-123456789012-123456789012-aB3dE6gH9jK2'}|",
        f"|{'AIza' + 'SyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v'}|",
        "Authorization: Bearer |f3a91c07d25e48b6a1|",
        '"api_key": "|9f86d081884c7d659a2feaa0c55ad015|"',
    ],
}

NOTHING = [
    # Versions, sections, numbers of books, prices, times, results.
    "PyCharm 2024.3.1, part number: 555-123-4567-A, part number: 555-123-4567",
    "Version 10.20.30.40, v10.20.30.40, torch==10.20.30.40, section 4.3.2.1",
    "pkg-10.20.30.40-py3.whl",
    "ISBN 978-3-16-148410-0 or 0-306-40615-2 or 9783161484100, ISSN 2049-3630",
    "$1,234,567.89 or € 12.50 or 1 234 567 francs, 12,345,678 people",
    "12:34:56, 09:30-17:00, from 0900-1700, 01:02:03:04:05:06",
    "3.141592653589793 and 4.1111111111111111, 1e-08, 6.02214076e23, 100000000000000",
    "500-200-1000, 300-20-1000, 2019-2020, 10+12345678, 2 +41446681800, 1*2345678",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16, 01 02 03 04 05 06 07, 00 01 7f ff 0a 1b 2c",
    "1700000000000 ms, 1700000000000000000 ns, id 1234567890123456789",
    "doi:10.1145/3292500.3330701, arXiv:1706.03762, PMID 12345678",
    # Dates that name no day, and those of history.
    "in 1977, since Tuesday, on March 5th, born in 1977, July 4, 1776, 13/13/2013, 2021-13-45",
    # What fails its check, or was never given out.
    "card 4111 1111 1111 1112, card 1234567812345678",
    "DE88 3704 0044 0532 0130 00, ZZ89370400440532013000, DE8937040044053201300",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000",
    "127.0.0.1, 0.0.0.0, 255.255.255.0, 256.1.1.1, 1.2.3.4, 1.2.3.4.5, ::1",
    "00:00:00:00:00:00, ff:ff:ff:ff:ff:ff",
    # Programs.
    "@property\ndef a(self): return x @ y.T\ngit clone git@github.com:owner/repo.git",
    "icon@2x.png, W@x.transpose(0, 1), std::vector<int> a::b, x[10::2], x[2000::20], ab::cd",
    "http://localhost:8000/x, http://127.0.0.1:5000, node.js, self.com = net.io, os.path",
    "token = tokenizer.encode(text)\napi_key = os.environ['API_KEY']",
    "password = get_password_hash256",
    "api_key: your-api-key-here-please, sk-estimator-container-id-12, secret=xxxxxxxxxxxxxxxx1x",
    "commit e83c5163316f89bfbde7d9ab23ca2e25604af290, 550e8400-e29b-41d4-a716-446655440000",
    "-----BEGIN PRIVATE KEY----- is how its first line reads; -----BEGIN CERTIFICATE-----",
    # Words for telephones without a number of one.
    "She called 3 times in 2020-2021, sent 1,200 messages and paid 1000000 for 12 phones.",
    "My phone's serial number is 1234 5678; the order 123-4567 of our contact",
    "The passport expires in 2031. A driver's license costs 35 dollars.",
]


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


@pytest.mark.parametrize("text", NOTHING)
@pytest.mark.skipif(not presidio.is_installed(), reason="presidio is not installed")
def test_what_only_looks_like_it_is_not_for_presidio_either(text: str) -> None:
    assert found(text, Options(engine="presidio")) == []


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert found(text) == []


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
    began = time.process_time()
    find(ADVERSARIAL[name], LIGHT)
    assert time.process_time() - began < 2


def test_the_same_rows_give_the_same_findings_in_any_process() -> None:
    program = (
        "from tests.data.curate.test_pii import KNOWN, LIGHT, annotate, row\n"
        "rows = [row(text) for texts in KNOWN.values() for text in texts]\n"
        "print([finding.to_json() for finding in annotate(rows, LIGHT)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and "birth-date" in said.pop()


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
