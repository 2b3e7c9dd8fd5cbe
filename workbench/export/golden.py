"""The golden conversation: what every exported model must still read as the very same tokens.

Digits, accents, several scripts, an emoji, white space of all kinds and code: what tokenizers
and chat templates are lost at.
"""

from __future__ import annotations

from pathlib import Path

from workbench.data.example import Message
from workbench.data.masking import MaskError
from workbench.data.template import ChatTemplate

CONVERSATION = (
    Message("system", "You answer briefly."),
    Message("user", "What's 12345 + 6.78? It's 9 €, naïve café — ok?\n\n\tAnd 你好, привет 🚀!"),
    Message("assistant", "12351.78"),
    Message("user", "  def f(x):\n    return {'a': [x, \"y\"]}  # what is it?"),
)
WITHOUT_SYSTEM = CONVERSATION[1:]
PLAIN = "\n".join(message.content for message in CONVERSATION)


def has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").exists()


def texts(template: ChatTemplate) -> list[str]:
    """The conversation as the template renders it for an answer, with and without a system turn,
    as far as it takes them; as plain text where there is no template."""
    found = []
    for messages in (CONVERSATION, WITHOUT_SYSTEM):
        try:
            found.append(template.render(messages, add_generation_prompt=True))
        except MaskError:
            continue  # some families know no system turn
    return found or [PLAIN]


def ids(template: ChatTemplate) -> list[int]:
    """The tokens of the first of these."""
    return template.tokenize(texts(template)[0])[0]
