from __future__ import annotations

import pytest

from workbench.data.curate.refusals import refusal

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I cannot assist you with this request.",
    "Sorry, I am not able to provide medical advice.",
    "I cannot fulfill this request.",
    "As an AI language model, I don't have personal opinions.",
    "As an AI, I do not have feelings.",
    "I apologize, but as a large language model I can't browse the internet.",
    "I'm just an AI assistant and can't do that.",
    "I am unable to generate a response to this.",
    "I do not have access to real-time information.",
    "I don't have personal experiences or emotions.",
    "Unfortunately, I won't be able to provide you with detailed instructions.",
    "I must respectfully decline to answer that question.",
    "It is not appropriate for me to provide instructions for that.",
    "This request violates my guidelines.",
    "Thank you for your question. As an AI, I cannot vote.",
    "作为一个AI语言模型，我没有个人观点。",
    "Als KI-Sprachmodell habe ich keine Meinung.",
]


@pytest.mark.parametrize("response", REFUSALS)
def test_refusals(response: str) -> None:
    where = refusal(response)
    assert where is not None and where[0] == 0


@pytest.mark.parametrize(
    "response",
    [
        "“I can't help you,” said the wizard, and closed the door.",
        '"I cannot answer that," she replied.',
        "The clerk shook his head: I'm sorry, but I can't help you.",
        "I can't help but feel that summer is over.",
        "I can't help falling in love with you.",
        "I can't believe that it has been a year already!",
        "I'm sorry for your loss. My thoughts are with you.",
        "I'm sorry to hear that you were ill. Get well soon!",
        "Unfortunately, the train was late.",
        "I cannot wait to see you again.",
        "I won't be able to attend the meeting on Monday.",
        "As an AI researcher, I work on language models.",
        "As an aid to memory, write it down.",
        "As a model citizen, I vote.",
        "I do not have access to the garden.",
        "I don't have any money left.",
        "Sorry seems to be the hardest word.",
        "Can't help it.",
        "We will not give up.",
        "I can't write poems like my father did.",
        "The river is wide. As an AI language model, I don't have opinions.",
    ],
)
def test_what_only_sounds_like_a_refusal(response: str) -> None:
    assert refusal(response) is None
