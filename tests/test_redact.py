"""Secrets go, everything that only looks like one stays. All secrets here are made up."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.redact import redact, redact_value

HEX40 = hashlib.sha1(b"a", usedforsecurity=False).hexdigest()
HEX64 = hashlib.sha256(b"a").hexdigest()
# Put together here, so that no scanner takes this file for a leak.
ANTHROPIC = "sk-" + "ant-api03-" + "Ab1_" * 20
OPENAI = "sk-" + "proj-" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA2cD4fG"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2c3D4e5F6" * 3
GITHUB_FINE = "github_" + "pat_" + "A1b2C3d4E5" * 8
SLACK = "xox" + "b-123456789012-abcdefABCDEF"
GOOGLE = "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"
STRIPE = "sk_" + "live_" + "51H8a2bC9dE0fG1hI2jK"
JWT = (
    "eyJhbGciOiJIUzI1NiJ9"
    + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0."
    + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
LINES = "\n".join(base64.b64encode(HEX64.encode()).decode()[:64] for _ in range(4))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{LINES}\n-----END RSA PRIVATE KEY-----"
PASSWORD = "hunter" + "22"

SECRETS: list[tuple[str, str]] = [
    (f"key {ANTHROPIC}.", "key [redacted: anthropic key]."),
    (f"'{OPENAI}'", "'[redacted: api key]'"),
    (f"sk-{hashlib.md5(b'a', usedforsecurity=False).hexdigest()}", "[redacted: api key]"),
    (f"Credential={AWS}%2F2026", "Credential=[redacted: aws key]%2F2026"),
    (f"git clone https://{GITHUB}@github.com/a/b", "git clone https://[redacted: github token]@github.com/a/b"),
    (GITHUB_FINE, "[redacted: github token]"),
    (f"glpat-{'a1B2' * 5}", "[redacted: gitlab token]"),
    (SLACK, "[redacted: slack token]"),
    (f"?key={GOOGLE}&x=1", "?key=[redacted: google key]&x=1"),
    (STRIPE, "sk_live_[redacted: stripe key]"),
    (f"hf_{'a1B2c3D4e5' * 3}abcd", "hf_[redacted: api key]"),
    (f"cookie {JWT};", "cookie [redacted: jwt];"),
    (f"a\n{PEM}\nb", "a\n[redacted: private key]\nb"),
    (PEM.replace("\n", "\\n"), "[redacted: private key]"),
    (PEM[:200], "[redacted: private key]"),
    ("postgres://bob:s3cret@db:5432/x", "postgres://bob:[redacted: password]@db:5432/x"),
    ("redis://:pw@h", "redis://:[redacted: password]@h"),
    ("Authorization: Basic YWxhZGRpbjpvcGVu", "Authorization: Basic [redacted: credentials]"),
    (f"-H 'authorization: Bearer {'a1B2c3' * 4}'", "-H 'authorization: Bearer [redacted: credentials]'"),
    (f"Bearer {'a1B2c3' * 4}", "Bearer [redacted: bearer token]"),
    (f"password={PASSWORD}", "password=[redacted: secret]"),
    (f"DB_PASSWORD: {PASSWORD}!\n", "DB_PASSWORD: [redacted: secret]\n"),
    (f'{{"password": "{PASSWORD}"}}', '{"password": "[redacted: secret]"}'),
    (f'{{\\"password\\": \\"{PASSWORD}\\"}}', '{\\"password\\": \\"[redacted: secret]\\"}'),
    (f"os.environ['API_TOKEN'] = '{HEX40}'", "os.environ['API_TOKEN'] = '[redacted: secret]'"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1a2b3c4d5e", "aws_secret_access_key = [redacted: secret]"),
    ("secret: a1b2c3d4e5f6==", "secret: [redacted: secret]"),
    ("X-Api-Key: 550e8400-e29b-41d4-a716-446655440000", "X-Api-Key: [redacted: secret]"),
    (f"token:password={PASSWORD}", "token:password=[redacted: secret]"),
    ("client_secret => 'Tr0ub4dor&3'", "client_secret => '[redacted: secret]'"),
    (f"token={'a1B2c3' * 500}", "token=[redacted: secret]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), SECRETS, ids=[str(n) for n in range(len(SECRETS))])
def test_a_secret_goes(text: str, shown: str) -> None:
    assert redact(text) == shown


LEFT_ALONE = [
    "",
    f"commit {HEX40}",
    f"sha256:{HEX64}",
    f"integrity sha512-{base64.b64encode(HEX64.encode()).decode()}",
    "id 550e8400-e29b-41d4-a716-446655440000",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode(),
    "max_tokens=4096, total_tokens: 120000, token_count=12, tokens: 1234567",
    "token = next_token(stream)",
    "token = tokens[12345678]",
    "token: str = 'x'",
    "token = self.base64_decoder",
    "token = base64encoded_token1",
    "secret = os.environ['SECRET_NAME_12345']",
    "password: String!",
    "password: *string",
    "password = getpass.getpass()",
    "password=$DB_PASSWORD1",
    "password=${PASSWORD_2}",
    "password: '***1***'",
    "token: <your-token-1234>",
    "api_key='YOUR_API_KEY_1'",
    "PWD=/home/user1/project",
    "pwd: ~/src2/app",
    "token: src/auth/token2.py:12",
    "secret: arn:aws:secretsmanager:us-east-1:123456789012:secret:db",
    "SecretToken123Provider.kt",
    "sk-loading-indicator-wrapper-large-2",
    "task-force-desk-with-a-very-long-name-1",
    "The bearer token authentication-is-described below",
    "Authorization: Bearer $TOKEN_FROM_ENV",
    "http://localhost:3000/a@b",
    "http://localhost:3000?mail=a@b.example",
    "https://user@example.org/ and git@github.com:a/b",
    "postgres://bob:${DB_PASS}@db/x",
    "-----BEGIN PRIVATE KEY----- starts a key and -----END PRIVATE KEY----- ends it",
    "-----BEGIN CERTIFICATE-----\n" + LINES + "\n-----END CERTIFICATE-----",
    "eyJust a word. eyJ.eyJ.x",
    "AKIA_THE_NAME, AKIAIOSFODNN7EXAMPLES1",
    "password_hash = $2b$12$KIXabcdefghijklmnopqrstuv",
    "def reset_password(user_id: int, new: str) -> None:",
    "ctxbudget/core/fenwick.py:44: error in TokenCounter2",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_value_is_walked() -> None:
    value = {
        "command": f"curl -H 'x-api-key: {HEX40}'",
        "env": {"DB_PASSWORD": PASSWORD, "MAX_TOKENS": "4096", "TOKEN": HEX40, "SHA": HEX40},
        "list": [1, None, True, 1.5, {"key": ANTHROPIC}],
        "password": "not set yet",
        "token": ANTHROPIC,
        OPENAI: "keys stay",
    }
    assert redact_value(value) == {
        "command": "curl -H 'x-api-key: [redacted: secret]'",
        "env": {"DB_PASSWORD": "[redacted: secret]", "MAX_TOKENS": "4096", "TOKEN": "[redacted: secret]", "SHA": HEX40},
        "list": [1, None, True, 1.5, {"key": "[redacted: anthropic key]"}],
        "password": "not set yet",
        "token": "[redacted: anthropic key]",
        OPENAI: "keys stay",
    }  # fmt: skip


PIECES = st.sampled_from(
    [ANTHROPIC, OPENAI, AWS, GITHUB, SLACK, GOOGLE, JWT, PEM, PEM[:90], PASSWORD, HEX40, "password", "token", "secret_key", "API-KEY", "=", ":", "==", " ", "\n", '"', "'", '\\"', "://", "u:", "p@", "Bearer ", "authorization: ", "[", "]", "(", "-", "_", "/", "a1", "B2", "sk-", "eyJ", "-----", "[redacted: x]", "é"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_once_more_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("abcXYZ .,\n(){}"), max_size=200))
def test_words_stay(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "unit",
    ["a", "sk-", "token:", "token=a", "-----BEGIN PRIVATE KEY-----", "://a:", "eyJ.", "bearer ", "password=\"", "a1", "\\n", "[", "authorization: bearer ", "AKIA", "token:" * 50 + "a1b2"],
)  # fmt: skip
def test_no_text_takes_long(unit: str) -> None:
    """Quadratic work on half a million characters would take minutes and hang the tests."""
    text = unit * (500_000 // len(unit))
    assert len(redact(text)) <= len(text) * 3
