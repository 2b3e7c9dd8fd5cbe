"""Rules of rows and of the cutoff."""

from __future__ import annotations

from tests.config.advice.case import LONGER, SHORT_CONTEXT, USUAL, Case
from tests.config.advice.made import CHAT, dataset, known
from workbench.config.circumstances import TemplateFacts

CASES = [
    Case(
        "too-long-rows-stop-the-start",
        "data.max_length=512",
        "error",
        "200 rows are over data.max_length, 512 tokens. The 99th percentile is 900",
        on=LONGER,
    ),
    Case(
        "too-long-rows-stop-the-start",
        "data.max_length=512",
        "error",
        "200 rows are over",
        "data.max_length=512 data.too_long=drop",
        on=SHORT_CONTEXT,
    ),
    Case(
        "cutoff-loses-answers",
        "data.max_length=512 data.too_long=truncate",
        "error",
        # 200 rows lose 900 - 512 = 388 tokens each.
        "200 of 5,500 rows are cut: 77,600 tokens are lost, 77,600 of them trained; 200 answers "
        "lose their end, 0 are lost whole",
        "data.max_length=960 data.too_long=truncate",
        on=LONGER,
    ),
    Case(
        "cutoff-loses-answers",
        "data.max_length=32 data.too_long=truncate",
        "error",
        "0 answers lose their end, 5,500 are lost whole",
        on=LONGER,
        elsewhere=USUAL,
    ),
    Case(
        "cutoff-loses-answers",
        "data.max_length=512 data.too_long=truncate accept=responses-lost",
        "hint",
        "200 of 5,500 rows are cut",
        "data.max_length=960 data.too_long=truncate",
        on=LONGER,
    ),
    Case(
        "cutoff-leaves-rows-out",
        "data.max_length=512 data.too_long=drop",
        "warning",
        # Each of the 200 rows has 850 trained tokens.
        "200 of 5,500 rows are left out, and 170,000 trained tokens",
        "data.max_length=512 data.too_long=drop",
        on=LONGER,
        elsewhere=USUAL,
    ),
    Case(
        "cutoff-above-context",
        "data.max_length=1024",
        "warning",
        "1,024 tokens, and the base was made for 512. The longest row has 900",
        on=SHORT_CONTEXT,
        elsewhere=LONGER,
    ),
    Case(
        "no-training-rows",
        "",
        "error",
        "made@0123456789ab has no training row",
        on=known(rows=dataset(0, 500)),
        elsewhere=USUAL,
    ),
    Case(
        "template-without-system",
        "",
        "error",
        "made@0123456789ab has 12 system turns",
        on=known(
            template=TemplateFacts(chat=True, system=False, pad_ends=False),
            rows=dataset(systems=12),
        ),
        elsewhere=known(rows=dataset(systems=12)),
    ),
    Case(
        "no-chat-template",
        "model.base=org/base",
        "error",
        "org/base has no chat template, and 5,400 rows are conversations",
        on=known(
            template=TemplateFacts(chat=False, system=False, pad_ends=False),
            rows=dataset(plain_texts=100),
        ),
        elsewhere=known(
            template=TemplateFacts(chat=False, system=False, pad_ends=False),
            rows=dataset(plain_texts=5500),
        ),
    ),
    Case(
        "plain-texts-on-chat-model",
        "",
        "hint",
        "All 5,500 rows are plain texts",
        on=known(rows=dataset(plain_texts=5500)),
        elsewhere=known(rows=dataset(plain_texts=5000)),
    ),
    Case(
        "pad-ends-answers",
        "",
        "hint",
        "Not here: padding is told by its place",
        on=known(template=TemplateFacts(chat=True, system=True, pad_ends=True)),
        elsewhere=known(template=CHAT),
    ),
    Case(
        "packing-off",
        "training.packing=false",
        "hint",
        "Half of the rows have up to 120 tokens, a tenth over 300",
    ),
]
