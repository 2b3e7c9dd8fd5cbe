"""Chat templates of public model families: texts of our own that write what theirs write."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from tests import tiny
from workbench.data.template import ChatTemplate

TODAY = date(2025, 3, 9)


def _same(text: str) -> str:
    return text


def _without_line_ends_before(text: str) -> str:
    return text.lstrip("\n")


@dataclass(frozen=True)
class Family:
    """A family's template, and what it does with a conversation."""

    template: str
    special: tuple[str, ...]
    """Its special tokens."""
    eos: str
    end: str
    """What a response ends with."""
    bos: str = ""
    lead: str = ""
    """What stands between prompt and response, and is learnt with it."""
    writes: Callable[[str], str] = _same
    """What the template makes of a response's outer white space."""
    takes: frozenset[str] = frozenset({"system", "tool", "turns"})
    """Of a system turn, tool turns and several turns, those that it has a form for."""
    dated: bool = False

    def load(self, folder: Path) -> ChatTemplate:
        """The template over bytes, with the family's special tokens."""
        tiny.make_tokenizer(folder, self.template)
        path = folder / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.add_special_tokens([AddedToken(name, special=True) for name in self.special])
        tokenizer.save(str(path))
        settings = {"bos_token": self.bos or None, "eos_token": self.eos}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return ChatTemplate.load(folder, today=TODAY)


# A tool's answers stand in a user's turn, those that follow each other in one.
_TOOL_RESPONSE = """\
{%- elif m.role == 'tool' %}
    {%- if messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}
    {{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}
    {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif %}
"""
QWEN_2_5 = (
    """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role in ('user', 'assistant') or (m.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
    """
    + _TOOL_RESPONSE
    + """\
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
)
QWEN_3 = (
    """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(asked=0) %}
{%- for m in messages %}
    {%- if m.role == 'user' %}{% set ns.asked = loop.index0 %}{% endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}
    {%- elif m.role == 'assistant' %}
        {%- set thought = '' %}
        {%- set answer = m.content %}
        {%- if '</think>' in m.content %}
            {%- set parts = m.content.split('</think>') %}
            {%- set answer = parts[-1].lstrip('\\n') %}
            {%- set thought = parts[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.asked and (loop.last or thought) %}
            {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + answer.lstrip('\\n') }}
        {%- else %}
            {{- answer }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    """
    + _TOOL_RESPONSE
    + """\
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
)
LLAMA_3_2 = """\
{{- bos_token }}
{%- set begin = '<|start_header_id|>' %}
{%- set head = '<|end_header_id|>\\n\\n' %}
{%- set day = strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' %}
{%- set system = '' %}
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- begin + 'system' + head + 'Cutting Knowledge Date: December 2023\\n' }}
{{- 'Today Date: ' + day + '\\n\\n' + system + '<|eot_id|>' }}
{%- for m in messages %}
    {%- if m.role == 'tool' %}
        {{- begin + 'ipython' + head + (m.content | tojson) + '<|eot_id|>' }}
    {%- else %}
        {{- begin + m.role + head + (m.content | trim) + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ begin + 'assistant' + head }}{% endif %}
"""
MISTRAL_V3 = """\
{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- bos_token }}
{%- for m in messages %}
    {%- if m.role == 'user' and loop.last and system is defined %}
        {{- '[INST] ' + system + '\\n\\n' + m.content + '[/INST]' }}
    {%- elif m.role == 'user' %}
        {{- '[INST] ' + m.content + '[/INST]' }}
    {%- elif m.role == 'tool' and m.tool_call_id is not defined %}
        {{- raise_exception('a tool turn needs the id of its call') }}
    {%- elif m.role == 'assistant' %}
        {{- ' ' + (m.content | trim) + eos_token }}
    {%- endif %}
{%- endfor %}
"""
MISTRAL_TEKKEN = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
    {{- '[SYSTEM_PROMPT]' + messages[0].content + '[/SYSTEM_PROMPT]' }}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- '[INST]' + m.content + '[/INST]' }}
    {%- elif m.role == 'tool' %}
        {{- '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}
    {%- else %}
        {{- m.content + eos_token }}
    {%- endif %}
{%- endfor %}
"""
GEMMA_3 = """\
{{ bos_token }}
{%- set lead = '' %}
{%- if messages[0].role == 'system' %}
    {%- set lead = messages[0].content + '\\n\\n' %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for m in messages %}
    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('user and assistant must take turns') }}
    {%- endif %}
    {{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}
    {{- (lead if loop.first else '') + (m.content | trim) + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
"""
PHI_4 = """\
{%- for m in messages %}
    {%- if m.role in ('system', 'user', 'assistant') %}
        {{- '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}
"""
DEEPSEEK_V3 = """\
{%- set ns = namespace(tool=false) %}
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {%- set ns.tool = false %}
        {{- '<｜User｜>' + m.content }}
    {%- elif m.role == 'tool' %}
        {%- if not ns.tool %}{{ '<｜tool▁outputs▁begin｜>' }}{% endif %}
        {%- set ns.tool = true %}
        {{- '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' }}
    {%- elif m.role == 'assistant' %}
        {{- '<｜tool▁outputs▁end｜>' if ns.tool else '<｜Assistant｜>' }}
        {%- set ns.tool = false %}
        {{- m.content + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if ns.tool %}
    {{- '<｜tool▁outputs▁end｜>' }}
{%- elif add_generation_prompt %}
    {{- '<｜Assistant｜>' }}
{%- endif %}
"""
DEEPSEEK_R1 = """\
{{- bos_token }}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- '<｜User｜>' + m.content }}
    {%- elif m.role == 'assistant' %}
        {{- '<｜Assistant｜>' + m.content.split('</think>')[-1] + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}
"""
GRANITE = """\
{%- set begin, head, end = '<|start_of_role|>', '<|end_of_role|>', '<|end_of_text|>\\n' %}
{%- if messages[0].role != 'system' %}
    {{- begin + 'system' + head + 'Knowledge Cutoff Date: April 2024.\\nToday is ' }}
    {{- strftime_now('%B %d, %Y') + '.\\nYou are a helpful assistant.' + end }}
{%- endif %}
{%- for m in messages %}
    {{- begin + ('tool_response' if m.role == 'tool' else m.role) + head + m.content + end }}
{%- endfor %}
{%- if add_generation_prompt %}{{ begin + 'assistant' + head }}{% endif %}
"""
COMMAND_R = """\
{{- bos_token }}
{%- set begin, end = '<|START_OF_TURN_TOKEN|>', '<|END_OF_TURN_TOKEN|>' %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- begin + '<|USER_TOKEN|>' + m.content.strip() + end }}
    {%- elif m.role == 'assistant' %}
        {{- begin + '<|CHATBOT_TOKEN|>' + m.content.strip() + end }}
    {%- elif m.role == 'tool' %}
        {{- begin + '<|SYSTEM_TOKEN|><results>\\n' + m.content + '</results>' + end }}
    {%- else %}
        {{- begin + '<|SYSTEM_TOKEN|>' + m.content + end }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ begin + '<|CHATBOT_TOKEN|>' }}{% endif %}
"""
OLMO_2 = """\
{{- bos_token }}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- '<|assistant|>\\n' + m.content + eos_token + ('' if loop.last else '\\n') }}
    {%- elif m.role in ('system', 'user') %}
        {{- '<|' + m.role + '|>\\n' + m.content + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}
"""
SMOLLM_3 = """\
{%- set think = enable_thinking | default(true) %}
{%- set custom = 'You are a helpful assistant.' %}
{%- if messages[0].role == 'system' %}
    {%- set custom = messages[0].content.replace('/no_think', '').rstrip() %}
    {%- if '/no_think' in messages[0].content %}{% set think = false %}{% endif %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- '<|im_start|>system\\n## Metadata\\n\\nToday Date: ' + strftime_now('%d %B %Y') }}
{{- '\\nReasoning Mode: ' + ('/think' if think else '/no_think') }}
{{- '\\n\\n## Custom Instructions\\n\\n' + custom + '\\n\\n<|im_end|>\\n' }}
{%- set lead = '' if think else '<think>\\n\\n</think>\\n' %}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' + lead + m.content.lstrip('\\n') + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' + lead }}{% endif %}
"""

_CHAT_ML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_ROLES = ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>")
_DEEPSEEK = (
    *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
    *("<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"),
    *("<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"),
)
_LLAMA = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
COMMAND_R7B = """\
{%- set begin, end = '<|START_OF_TURN_TOKEN|>', '<|END_OF_TURN_TOKEN|>' %}
{{- bos_token + begin + '<|SYSTEM_TOKEN|># System Preamble' }}
{%- if messages[0].role == 'system' %}
    {{- '\\n\\n# Developer Preamble\\n' + messages[0].content }}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- end }}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- begin + '<|CHATBOT_TOKEN|><|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' + end }}
    {%- else %}
        {{- begin + '<|USER_TOKEN|>' + m.content + end }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ begin + '<|CHATBOT_TOKEN|><|START_RESPONSE|>' }}{% endif %}
"""
_COHERE = (
    *("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    *("<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
)
_RESPONSE = ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
_INST = ("<s>", "</s>", "[INST]", "[/INST]")

FAMILIES: dict[str, Family] = {
    "Qwen 2.5": Family(QWEN_2_5, _CHAT_ML, "<|im_end|>", "<|im_end|>"),
    "Qwen 3": Family(
        QWEN_3,
        _CHAT_ML,
        "<|im_end|>",
        "<|im_end|>",
        writes=_without_line_ends_before,
        # The empty thought goes from a response once turns follow it.
        takes=frozenset({"system"}),
    ),
    "Llama 3.2": Family(
        LLAMA_3_2, _LLAMA, "<|eot_id|>", "<|eot_id|>", _LLAMA[0], writes=str.strip, dated=True
    ),
    "Mistral v3": Family(
        MISTRAL_V3, _INST, "</s>", "</s>", "<s>", " ", str.strip, takes=frozenset({"turns"})
    ),
    "Mistral tekken": Family(
        MISTRAL_TEKKEN,
        (*_INST, "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
        "</s>",
        "</s>",
        "<s>",
    ),
    "Gemma 3": Family(
        GEMMA_3,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<eos>",
        "<end_of_turn>",
        "<bos>",
        writes=str.strip,
        takes=frozenset({"system", "turns"}),
    ),
    "Phi-4": Family(
        PHI_4,
        (*_CHAT_ML, "<|im_sep|>"),
        "<|im_end|>",
        "<|im_end|>",
        takes=frozenset({"system", "turns"}),
    ),
    "DeepSeek V3": Family(DEEPSEEK_V3, _DEEPSEEK, _DEEPSEEK[1], _DEEPSEEK[1], _DEEPSEEK[0]),
    "Granite": Family(GRANITE, _ROLES, "<|end_of_text|>", "<|end_of_text|>", dated=True),
    "Command R": Family(COMMAND_R, _COHERE, _COHERE[2], _COHERE[2], _COHERE[0], writes=str.strip),
    # A response and the turn that it is in are closed apart.
    "Command R7B": Family(
        COMMAND_R7B,
        (*_COHERE, *_RESPONSE),
        _COHERE[2],
        _RESPONSE[1] + _COHERE[2],
        _COHERE[0],
        takes=frozenset({"system", "turns"}),
    ),
    "OLMo 2": Family(
        OLMO_2,
        ("<|endoftext|>",),
        "<|endoftext|>",
        "<|endoftext|>",
        "<|endoftext|>",
        takes=frozenset({"system", "turns"}),
    ),
    "SmolLM3": Family(
        SMOLLM_3,
        _CHAT_ML,
        "<|im_end|>",
        "<|im_end|>",
        writes=_without_line_ends_before,
        dated=True,
    ),
}
