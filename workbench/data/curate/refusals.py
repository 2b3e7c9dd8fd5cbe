"""Responses that refuse, by the words that they open with."""

from __future__ import annotations

import re

_LOOKED_AT = 400
"""Characters: a refusal that comes later than that is part of an answer."""

_SORRY = (
    r"(?:(?:oh|ah|hmm|well|hello|hi|hey|okay|ok|yes|no)[,.!]?\s+)?"
    r"(?:i(?:'m|\s+am)\s+(?:(?:very|so|really|truly|deeply|terribly)\s+)?(?:sorry|afraid)"
    r"|(?:my\s+)?(?:sincere\s+)?apologies|sorry|i\s+(?:sincerely\s+|must\s+)?apologi[sz]e"
    r"|unfortunately|regrettably|i\s+regret\s+to\s+(?:inform|tell|say)(?:\s+you)?"
    r"|thanks?(?:\s+you)?\s+for\s+[^.!?\n]{1,60}[.!,]?)"
    r"(?:\s+(?:for|about)\s+[^.!?,\n]{1,60})?"
    r"[\s,.;:!–—-]*(?:(?:but|that|however|and)[\s,]+)*"
)
_CAN_NOT = (
    r"(?:i|we)\s*(?:just\s+|simply\s+|really\s+|also\s+|currently\s+)?"
    r"(?:can\s?not|can't|cant|could\s+not|couldn't|will\s+not|won't|would\s+not|wouldn't"
    r"|(?:'m|\s+am|'re|\s+are)\s+(?:currently\s+)?(?:not\s+able|unable)\s+to"
    r"|(?:will|would)\s+not\s+be\s+able\s+to|won't\s+be\s+able\s+to"
    r"|(?:'m|\s+am|'re|\s+are)\s+not\s+(?:programmed|designed|allowed|permitted|authori[sz]ed"
    r"|trained|comfortable|equipped)\s+(?:to|with)"
    r"|(?:must|have\s+to|need\s+to)\s+(?:respectfully\s+|politely\s+)?(?:decline|refuse)"
    r"(?:\s+to)?|(?:respectfully\s+)?(?:decline|refuse)\s+to)\s+"
    r"(?:directly\s+|actually\s+|really\s+|in\s+good\s+conscience\s+|legally\s+)?"
)
# What an assistant says that it can't do. `help but`, `help it` and `help feeling` are no
# refusals; `write poems like my father` is none either.
_HELP = (
    r"(?:(?:help|assist)(?!\s+(?:but|it|myself|ourselves|\w+ing)\b)"
    r"|(?:provid(?:e|ing)|offer|give|share|supply)\s+(?:you\s+)?(?:with\s+)?(?:an?\s+|any\s+"
    r"|the\s+|this\s+|that\s+|specific\s+|detailed\s+|personal\s+|medical\s+|legal\s+)*"
    r"(?:\w+\s+){0,3}?(?:advice|answers?|assistance|content|details|guidance|help|information"
    r"|instructions?|opinions?|recipe|response|solution|summary|code|support|links?)\b"
    r"|fulfil?l|comply|engage\s+in|condone|promote|participate\s+in|be\s+(?:a\s+)?part\s+of"
    r"|(?:answer|complete|respond\s+to|process|carry\s+out|discuss|support|perform)\s+"
    r"(?:that|this|your|the|such|to|any|these|those|requests?)\b"
    r"|(?:create|write|generate|produce|draft|compose|translate|summari[sz]e|continue)\s+"
    r"(?:an?|any|anything|content|that|this|such|the|text|code|it|your)\b"
    r"|(?:browse|access|open|view|see|hear|watch|look\s+up|search)\s+(?:the\s+)?"
    r"(?:internet|web|links?|websites?|urls?|files?|images?|pictures?|real-time|current"
    r"|external|your)\b|do\s+(?:that|this|so)\b)"
)
_HAVE_NOT = (
    r"i\s+(?:do\s+not|don't)\s+(?:actually\s+|really\s+|currently\s+)?(?:have|possess|hold)\s+"
    r"(?:the\s+(?:ability|capability|capacity)\s+to\b|access\s+to\s+(?:real|the\s+internet"
    r"|current|live|up-to|personal|external|your|any)|(?:any\s+)?(?:personal\s+|real\s+)?"
    r"(?:opinions|preferences|beliefs|feelings|emotions|experiences|consciousness)\b)"
)
_AI = (
    r"(?:(?:as|being)\s+(?:an?|your)|i(?:'m|\s+am)\s+(?:just\s+|only\s+|merely\s+|simply\s+)?an?)"
    r"\s+(?:\w+\s+){0,2}?(?:(?:ai|a\.i\.|artificial\s+intelligence)"
    r"(?:[\s-]+(?:powered|based))?(?:\s+(?:language|text|chat|virtual))?"
    r"(?:\s+(?:model|assistant|system|program|chatbot|bot|tool))?"
    r"|(?:large\s+)?language\s+model|chatbot|virtual\s+assistant)"
    r"(?=\s*(?:[,.;:–—-]|$)|\s+(?:i|and|or|my|it|so|that|who|which|with|without|trained"
    r"|created|developed|designed|programmed)\b)"
)
_INAPPROPRIATE = (
    r"(?:it(?:'s|\s+is|\s+would\s+be|\s+wouldn't\s+be|\s+isn't)\s+(?:not\s+)?(?:appropriate"
    r"|inappropriate|ethical|unethical|illegal|against\s+my\s+(?:programming|guidelines))\b"
    r"(?=[^.!?\n]{0,40}\bto\s+(?:provide|help|assist|create|write|generate|answer|give|offer"
    r"|promote|discuss|engage))"
    r"|(?:this|that|your|the)\s+(?:request|question|prompt|content|topic)\s+(?:violates"
    r"|goes\s+against|is\s+against|is\s+inappropriate|is\s+not\s+appropriate))"
)
_ELSEWHERE = (
    r"als\s+(?:ein\s+|eine\s+)?(?:ki|künstliche\s+intelligenz)\b|als\s+(?:ki-)?sprachmodell\b"
    r"|en\s+tant\s+qu(?:e\s+modèle\s+de\s+langage|'(?:ia|intelligence\s+artificielle))"
    r"|como\s+(?:un\s+)?modelo\s+de\s+lenguaje|como\s+(?:una\s+)?(?:ia\b|inteligencia\s+artificial)"
    r"|作为(?:一个|一名)?(?:ai|人工智能)|(?:很)?(?:抱歉|对不起)[，,]?\s*(?:但)?我(?:不能|无法)"
    r"|申し訳(?:ありません|ございません)が、[^。\n]{0,40}(?:できません|お答え)"
    r"|как\s+(?:языковая\s+модель|искусственный\s+интеллект|ии\b)"
)
_OPENING = re.compile(
    rf"(?P<ai>(?:{_SORRY})?(?:{_AI}))"
    rf"|(?P<cannot>(?:{_SORRY})?(?:{_CAN_NOT}{_HELP}|{_HAVE_NOT}|{_INAPPROPRIATE}))"
    rf"|(?P<elsewhere>{_ELSEWHERE})",
    re.IGNORECASE,
)
_LABELS = {"ai": "speaks as an AI", "cannot": "says that it can't", "elsewhere": "refuses"}
_APOSTROPHES = str.maketrans("’`´", "'''")


def refusal(text: str) -> tuple[int, int, str] | None:
    """Where a response that opens with a refusal has it, and what kind it is; None for others.

    Only its first words count: a story in which somebody refuses opens otherwise, or with a
    quotation mark.
    """
    start = len(text) - len(text.lstrip())
    opening = text[start : start + _LOOKED_AT].translate(_APOSTROPHES)
    found = _OPENING.match(opening)
    if found is None:
        return None
    return start, start + found.end(), _LABELS[str(found.lastgroup)]
