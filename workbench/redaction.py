"""Secrets taken out of texts that are kept or shown: what looks like one becomes `***`.

By three rules. A value whose name says that it is secret: `--api-key X`, `HF_TOKEN=X`,
`Authorization: Bearer X`, the password of a URL. A text of a form that a service gives its keys,
as gitleaks 8 and detect-secrets 1.5 have them. And any value that an environment variable with
such a name has at the moment, of whatever form.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

_NAMES = (
    r"(?:token|secret|password|passwd|passphrase|pwd|api[-_.]?key|access[-_.]?key|"
    r"secret[-_.]?key|private[-_.]?key|auth[-_.]?key|credentials?|authorization)"
)
_NOT_SECRET = r"(?:pad|eos|bos|unk|cls|sep|mask|new|special|image|per)"  # noqa: S105
_NAME = re.compile(rf"(?:.*[^a-z0-9]|.*[a-z](?=[A-Z])|)({_NAMES})", re.IGNORECASE)
_OF_A_MODEL = re.compile(rf"(?:.*[^a-z]|){_NOT_SECRET}[-_.]token", re.IGNORECASE)
_VALUE = r"(?:(?:Bearer|Basic|Token)\s+[^\s'\"]+|\"[^\"]*\"|'[^']*'|[^\s'\"&;,)}\]]+)"
_ASSIGNED = re.compile(
    rf"(?P<name>[A-Za-z0-9_.-]*{_NAMES})(?P<is>[\"']?\s*[=:]\s*|(?<=.)\s+)(?P<value>{_VALUE})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_URL = re.compile(
    r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<user>[^\s/@:'\"]*)(?P<rest>:[^\s/'\"]*)?@"
)
_FORMS = (
    r"hf_(?=[A-Za-z]*\d)[A-Za-z0-9]{8,}|hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{16,}",
    r"sk-(?=[\w-]*\d)[A-Za-z0-9_-]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"wandb_v\d_[A-Za-z0-9_]{20,}",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
)
_FORM = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_FORMS)})")
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_LEAST = 12
"""Characters of a variable's value that is looked for: a shorter one may be any word."""


def is_secret(name: str) -> bool:
    """Whether what has this name is no one else's: `HF_TOKEN`, `api-key`; not `pad_token`."""
    return bool(_NAME.fullmatch(name)) and not _OF_A_MODEL.fullmatch(name)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` with `***` for each secret; the same text where there is none.

    `environment` is whose variables' values are looked for; None: this process's.
    """
    for value in _values(os.environ if environment is None else environment):
        text = text.replace(value, HIDDEN)
    text = _KEY_BLOCK.sub(HIDDEN, text)
    text = _URL.sub(_without_password, text)
    text = _FORM.sub(HIDDEN, text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return _ASSIGNED.sub(_without_value, text)


def redact_command(line: str) -> str:
    """The same of a line for a shell, whose values may hold blanks."""
    try:
        words = shlex.split(line)
    except ValueError:
        return redact(line)
    shown: list[str] = []
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        before = words[place - 1] if place else ""
        if equals and value and is_secret(name.lstrip("-")):
            shown.append(f"{name}={HIDDEN}")
        elif before.startswith("-") and "=" not in before and is_secret(before.lstrip("-")):
            shown.append(HIDDEN)
        else:
            shown.append(redact(word))
    # As it would be typed, but for `***`, which is to be read and not run.
    return shlex.join(shown).replace(f"'{HIDDEN}'", HIDDEN)


def redacted(value: Any) -> Any:
    """The same of all texts in a JSON value, and of what stands under a name of a secret."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            name: HIDDEN
            if inner and isinstance(inner, str) and is_secret(name)
            else redacted(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    return value


def _values(environment: Mapping[str, str]) -> list[str]:
    """Values of variables that are named as secrets are, the longest first."""
    found = {
        value
        for name, value in environment.items()
        if len(value) >= _LEAST and not value.startswith("/") and is_secret(name)
    }
    return sorted(found, key=len, reverse=True)


def _without_password(found: re.Match[str]) -> str:
    """A URL's user stays where a password stands beside it; alone it is one, in http."""
    scheme, user, rest = found["scheme"], found["user"], found["rest"]
    if rest is not None:
        return f"{scheme}{user}:{HIDDEN}@"
    return f"{scheme}{HIDDEN}@" if scheme.lower().startswith("http") and user else found[0]


def _without_value(found: re.Match[str]) -> str:
    name, equals, value = found["name"], found["is"], found["value"]
    # A space sets a value apart only after an option: prose may speak of a token.
    if not is_secret(name.lstrip("-")) or (equals.isspace() and not name.startswith("-")):
        return found[0]
    if value.startswith(("-", HIDDEN)):
        return found[0]
    return f"{name}{equals}{HIDDEN}"
