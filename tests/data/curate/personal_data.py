"""What tests of the check for personal data share: what it must find, and what it must not."""

from __future__ import annotations

import pytest

from workbench.data.curate.personal import presidio
from workbench.data.curate.pii import Options, find
from workbench.data.example import Example, Message

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
# The numbers between two bars. Most are from the issuers' and the networks' pages for tests
# (Stripe, PayPal, Adyen), SWIFT's IBAN registry, RFC 5737, 3849, 7042 and 7519, AWS's
# documentation, the blocks for fiction of Ofcom, ARCEP, BNetzA, ACMA and PTS, libphonenumber's
# examples, and the social security numbers that were once printed in advertisements.
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
    "Boston, MA 02110-1301, <Buffer 01 02 03 04 05>, OID 1.3.101.110, seed = 67280421310721",
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
    "#define initCustomSecret XXH3_initCustomSecret_avx512",
    "commit e83c5163316f89bfbde7d9ab23ca2e25604af290, 550e8400-e29b-41d4-a716-446655440000",
    "-----BEGIN PRIVATE KEY----- is how its first line reads; -----BEGIN CERTIFICATE-----",
    # Words for telephones without a number of one.
    "She called 3 times in 2020-2021, sent 1,200 messages and paid 1000000 for 12 phones.",
    "The message of this merge is 7063693, a call for CVE-2023-29007",
    "My phone's serial number is 1234 5678; the order 123-4567 of our contact",
    "The passport expires in 2031. A driver's license costs 35 dollars.",
]
