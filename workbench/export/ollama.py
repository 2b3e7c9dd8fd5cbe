"""A Modelfile for Ollama: the chat template as Go's templates have it, and where answers end.

Ollama knows the templates of some families and passes over any other's. So what stands before and
after each turn is read off the model's own template, put down in Go's words, and proved: what the
two give for some conversations is the same text, or there is no TEMPLATE in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from workbench.data.example import Message
from workbench.data.masking import MaskError
from workbench.data.template import ChatTemplate
from workbench.export import golden

_S, _U, _A, _V = "⟦s⟧", "⟦u⟧", "⟦a⟧", "⟦v⟧"
"""Stand for what is said, where the template is read off."""


@dataclass(frozen=True, slots=True)
class Turns:
    """What a template writes around what is said."""

    no_system: str
    """At the beginning, where there is no system turn."""
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str
    """Before an answer."""

    def render(self, messages: Sequence[Message]) -> str:
        """As Ollama will, for an answer."""
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        text = "" if messages[0].role == "system" else self.no_system
        for message in messages:
            before, after = around[message.role]
            text += before + message.content + after
        return text + self.answer

    def to_go(self) -> str:
        """In Go's template language, as Ollama fills it in."""
        roles = {"system": self.system, "user": self.user, "assistant": self.assistant}
        branches = "{{ else ".join(
            f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
            for role, (before, after) in roles.items()
        )
        first = '{{ if ne (index .Messages 0).Role "system" }}' + self.no_system + "{{ end }}"
        opening = first if self.no_system else ""
        turns = f"{{{{ range .Messages }}}}{{{{ {branches}{{{{ end }}}}{{{{ end }}}}"
        return opening + turns + self.answer


def read_turns(template: ChatTemplate, *, without: str = "") -> Turns | None:
    """What stands around the turns of a template; None for one that is not so regular, and for
    one without.

    `without` is a text that llama.cpp itself puts in front (the bos token), which is left out.
    """
    try:
        turns = _read(template, without)
        return turns if turns is not None and _holds(turns, template, without) else None
    except MaskError:
        return None


def modelfile(name: str, turns: Turns | None, stops: Sequence[str]) -> str:
    """The text of a Modelfile beside the GGUF file `name`."""
    lines = [f"FROM ./{name}"]
    go = turns.to_go() if turns is not None else None
    if go is None or '"""' in go:
        lines += [
            "# The model's chat template can't be put in Go's words; Ollama takes one of its own",
            "# where it knows the template that the GGUF file holds. Hold its answers against",
            "# those of llama.cpp (--jinja), which reads that.",
        ]
    else:
        lines.append(f'TEMPLATE """{go}"""')
    lines += [f'PARAMETER stop "{stop}"' for stop in stops if '"' not in stop]
    return "\n".join(lines) + "\n"


def _read(template: ChatTemplate, without: str) -> Turns | None:
    def render(*messages: Message) -> str:
        return template.render(messages, add_generation_prompt=True).removeprefix(without)

    system, user = Message("system", _S), Message("user", _U)
    answer, other = Message("assistant", _A), Message("user", _V)
    bare = render(user)
    try:
        whole = render(system, user, answer, other)
    except MaskError:
        return None
    if any(whole.count(sign) != 1 for sign in (_S, _U, _A, _V)) or bare.count(_U) != 1:
        return None
    head, rest = whole.split(_S)
    after_system, rest = rest.split(_U)
    after_user, rest = rest.split(_A)
    after_answer, tail = rest.split(_V)
    begin, _ = bare.split(_U)
    # What stands before each user turn, whatever came before that.
    before_user = _common_end(after_system, after_answer, begin)
    end_user = _common_start(after_user, tail)
    cut = len(before_user)
    return Turns(
        no_system=begin[: len(begin) - cut],
        system=(head, after_system[: len(after_system) - cut]),
        user=(before_user, end_user),
        assistant=(after_user[len(end_user) :], after_answer[: len(after_answer) - cut]),
        answer=tail[len(end_user) :],
    )


def _common_start(*texts: str) -> str:
    same = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return "".join(column[0] for column in same)


def _common_end(*texts: str) -> str:
    return _common_start(*(text[::-1] for text in texts))[::-1]


def _holds(turns: Turns, template: ChatTemplate, without: str) -> bool:
    conversations = (
        golden.CONVERSATION,
        golden.WITHOUT_SYSTEM,
        golden.CONVERSATION[:2],
        golden.WITHOUT_SYSTEM[:1],
        (*golden.CONVERSATION, Message("assistant", "Yes."), Message("user", "Why?")),
    )
    written = "".join((turns.no_system, *turns.system, *turns.user, *turns.assistant, turns.answer))
    return "{{" not in written and all(
        turns.render(messages)
        == template.render(messages, add_generation_prompt=True).removeprefix(without)
        for messages in conversations
    )
