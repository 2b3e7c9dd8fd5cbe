"""What looks like a secret, by its name, by its form, by the environment; and what doesn't.

The tokens are made up. Their forms are those of gitleaks 8's rules.
"""

from __future__ import annotations

import pytest

from workbench.redaction import is_secret, redact, redact_command, redacted

HUB = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
OPENAI = "sk-proj-" + "abc123DEF456ghi789JKL"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"pull {HUB} now", "pull *** now"),
        (f"x={OPENAI}", "x=***"),
        (f"{GITHUB} {AWS} {JWT}", "*** *** ***"),
        ("https://me:pa55@host:8080/x?y=1", "https://me:***@host:8080/x?y=1"),
        ("https://me:p@55@host/x", "https://me:***@host/x"),
        ("https://0123abc@github.com/a/b", "https://***@github.com/a/b"),
        ("postgres://user:word@db/name", "postgres://user:***@db/name"),
        ("https://host/x?token=abc&n=1", "https://host/x?token=***&n=1"),
        ("HF_TOKEN=abc WANDB_API_KEY='d e' run", "HF_TOKEN=*** WANDB_API_KEY=*** run"),
        ("train --api-key abc --rank 8", "train --api-key *** --rank 8"),
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("curl with Bearer 0123abcdef", "curl with Bearer ***"),
        ('{"password": "hunter2", "n": 1}', '{"password": ***, "n": 1}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "***"),
    ],
)
def test_a_secret_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text, {}) == shown
    assert redact(shown, {}) == shown


@pytest.mark.parametrize(
    "text",
    [
        "training.step_tokens=512 --max-new-tokens 64 pad_token: <pad> new_tokens: [a]",
        "numbers@e799ad41e48f /home/me/hf_datasets/token/file.jsonl",
        "my password is what you ask for; a token budget; Basic training",
        "ssh://git@host/x https://host:443/a@b hf-internal-testing/tiny-random-llama",
        "e799ad41e48fd31a71a94937eb9cf0496a7000868737fbe7105b5ba163303ecd",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text, {}) == text


def test_a_value_of_the_environment_is_hidden_wherever_it_stands() -> None:
    environment = {
        "MY_SERVICE_TOKEN": "plain-words-of-a-token",
        "SHORT_SECRET": "x1",
        "HF_TOKEN_PATH_TOKEN": "/etc/token",
        "LANG": "en_GB.UTF-8-and-more",
    }
    text = "say plain-words-of-a-token x1 /etc/token en_GB.UTF-8-and-more"
    assert redact(text, environment) == "say *** x1 /etc/token en_GB.UTF-8-and-more"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("workbench train x --password 'two words'", "workbench train x --password ***"),
        (
            "workbench train x --set 'hub.token=a b' --wait",
            "workbench train x --set 'hub.token=***' --wait",
        ),
        (f"workbench train {HUB}", "workbench train ***"),
        ("workbench train 'my config.yaml' --set lora.rank=8", None),
        ("workbench train 'unclosed", None),
    ],
)
def test_a_command_s_secrets_are_hidden_with_their_blanks(line: str, shown: str | None) -> None:
    assert redact_command(line) == (line if shown is None else shown)


def test_names_inside_a_json_value_count_too() -> None:
    body = {"hub": {"token": "abc", "name": "x"}, "list": [HUB, 1], "pad_token": "<pad>", "n": None}
    assert redacted(body) == {
        "hub": {"token": "***", "name": "x"},
        "list": ["***", 1],
        "pad_token": "<pad>",
        "n": None,
    }
    assert is_secret("AWS_SECRET_ACCESS_KEY") and is_secret("apiKey")
    assert not is_secret("tokenizer") and not is_secret("author") and not is_secret("eos_token")
