"""Takes secrets out of a text: keys, tokens, private keys and passwords become `[redacted: KIND]`.

Matched are the shapes of well-known providers' keys, and values that look random where a name or a
place says that they are secret. Hashes, ids and encoded files without such a name stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_START: Final = r"(?<![A-Za-z0-9_-])"
_END: Final = r"(?![A-Za-z0-9_-])"


@dataclass(frozen=True, slots=True)
class _Shape:
    """A kind of secret. The group `secret` of the pattern, or else all of it, is replaced.

    Patterns repeat possessively or a bounded number of times, so that no text takes them longer
    than in proportion to its length.
    """

    kind: str
    pattern: re.Pattern[str]
    is_secret: Callable[[re.Match[str]], bool] = lambda match: True


def _looks_random(text: str) -> bool:
    """Return whether a run of letters and digits changes between them as no written name does."""
    return any(
        len(re.findall(r"(?<=[A-Za-z])[0-9]|(?<=[0-9])[A-Za-z]", run)) >= 3
        for run in re.findall(r"[A-Za-z0-9]{12,}", text)
    )


_PLACEHOLDER: Final = re.compile(r"[$%<{]|\.\.\.|\*\*\*|…|xxxx|your[_-]", re.IGNORECASE)
_PATH: Final = re.compile(r"(?:[~.]{0,2}/|[A-Za-z]:\\|https?:|arn:)")
_SYMBOL: Final = re.compile(r"[!@#$%^&*+~?]")
_TYPE_MARKS: Final = "*&?!@.~"
"""Around the name of a type or a variable, they do not make it a password."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PASSWORD_NAME: Final = re.compile(r"pass|pwd", re.IGNORECASE)


def _is_secret_value(name: str, value: str) -> bool:
    """Return whether a value that a secret's name is given looks like the secret itself."""
    if _PLACEHOLDER.match(value) or "..." in value or "***" in value or _PATH.match(value):
        return False
    if _looks_random(value) or _UUID.fullmatch(value):
        return True
    value = value.strip(_TYPE_MARKS)
    has_digit, has_letter = re.search(r"\d", value), re.search(r"[A-Za-z]", value)
    mixed = has_letter and (has_digit or _SYMBOL.search(value))
    if _PASSWORD_NAME.search(name):
        return bool(mixed)
    return bool(len(value) >= 8 and has_digit and has_letter and _SYMBOL.search(value))


def _is_assigned_secret(match: re.Match[str]) -> bool:
    return _is_secret_value(match["name"], match["secret"])


def _is_random_match(match: re.Match[str]) -> bool:
    return _looks_random(match["secret"])


def _is_no_placeholder(match: re.Match[str]) -> bool:
    return not _PLACEHOLDER.match(match["secret"]) and "***" not in match["secret"]


def _holds_a_key(match: re.Match[str]) -> bool:
    return re.search(r"[A-Za-z0-9+/=]{16}", match["body"]) is not None


def _shape(
    kind: str, pattern: str, is_secret: Callable[[re.Match[str]], bool] | None = None
) -> _Shape:
    compiled = re.compile(pattern)
    return _Shape(kind, compiled, is_secret) if is_secret else _Shape(kind, compiled)


_NAMES: Final = (
    r"password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"auth[_-]?key|encryption[_-]?key|signing[_-]?key|account[_-]?key|credential"
)
_NAME: Final = rf"(?i)(?P<name>{_NAMES})(?:[_-]?(?:access[_-]?key|key[_-]?base|key|value))?"
_NAMED: Final = _NAME + r"(?:\\?[\"'])?\]?[ \t]{0,4}(?:=>|:=|==?|:)[ \t]{0,4}"
_NAME_AT_END: Final = re.compile(_NAME + r"\Z")
_LONGEST_NAME_CHARS: Final = 100

# Source: the providers' pages on their keys, and what secret scanners publish of their shapes.
_SHAPES: Final = (
    _shape(
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?P<body>"
        r"(?:(?!-----)[\s\S])*+-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{40,}+)++(?:(?:\n|\\n)[A-Za-z0-9+/=]++)?)",  # cut off
        _holds_a_key,
    ),
    _shape("anthropic key", rf"{_START}sk-ant-[A-Za-z0-9_-]{{20,}}+"),
    _shape("api key", rf"{_START}(?P<secret>sk-[A-Za-z0-9_-]{{20,}}+)", _is_random_match),
    _shape("aws key", r"(?<![A-Za-z0-9+/])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9+])"),
    _shape("github token", rf"{_START}gh[pousr]_[A-Za-z0-9]{{36,255}}{_END}"),
    _shape("github token", rf"{_START}github_pat_[A-Za-z0-9_]{{50,}}+"),
    _shape("gitlab token", rf"{_START}glpat-[A-Za-z0-9_-]{{20,}}+"),
    _shape("slack token", rf"{_START}(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{{10,}}+"),
    _shape("google key", rf"{_START}AIza[A-Za-z0-9_-]{{35}}{_END}"),
    _shape("google key", rf"{_START}(?:GOCSPX-[A-Za-z0-9_-]{{20,}}+|ya29\.[A-Za-z0-9_-]{{20,}}+)"),
    _shape("stripe key", rf"{_START}(?:[sr]k|whsec)_(?:live_|test_)?(?P<secret>[A-Za-z0-9]{{16,}}+)", _is_random_match),
    _shape("api key", rf"{_START}(?:hf|gsk|npm|xai|dop_v1|shpat)[_-](?P<secret>[A-Za-z0-9]{{30,}}+){_END}", _is_random_match),
    _shape("api key", rf"{_START}(?:pypi-[A-Za-z0-9_-]{{50,}}+|SG\.[A-Za-z0-9_-]{{16,}}+\.[A-Za-z0-9_-]{{32,}}+)"),
    _shape("jwt", rf"{_START}eyJ[A-Za-z0-9_-]{{8,}}+\.eyJ[A-Za-z0-9_-]{{8,}}+\.[A-Za-z0-9_-]{{10,}}+"),
    _shape("password", r"""(?<=://)[^\s/:@?#"'<>]{0,256}+:(?P<secret>[^\s/@?#"'<>]{1,256}+)@""", _is_no_placeholder),
    _shape("credentials", r"""(?i)\bauthorization\b["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?:basic|bearer|token|apikey)[ \t]{1,4}(?P<secret>[A-Za-z0-9._~+/=:-]{8,}+)""", _is_no_placeholder),
    _shape("bearer token", r"(?i)\bbearer[ \t]{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{16,}+)", _is_random_match),
    _shape("secret", rf"{_NAMED}(?P<quote>\\?[\"'`])(?P<secret>[^\"'`\s\\]{{6,}}+)(?P=quote)", _is_assigned_secret),
    _shape("secret", rf"{_NAMED}(?P<secret>[^\s\"'`,;:(){{}}<>\[\]&|=\\]{{6,}}+={{0,2}}+)(?![(\[=:])", _is_assigned_secret),
)  # fmt: skip


def redact(text: str) -> str:
    """Return `text` with each secret replaced by `[redacted: KIND]`; once more changes nothing.

    What is not a known key by its shape is a secret only if it looks random or, as a password, is
    mixed of letters and digits or symbols. The time grows in proportion to the text.
    """
    for shape in _SHAPES:
        text = _without(shape, text)
    return text


def redact_value(value: Any) -> Any:
    """Return a JSON value with the secrets taken out of its strings; keys and numbers stay.

    A string under a key that names a secret is judged by that name, as if it were assigned to it.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redact_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _redacted_under(key, item) for key, item in value.items()}
    return value


def _without(shape: _Shape, text: str) -> str:
    """Return `text` with what has this shape, and is a secret, replaced."""
    pieces, done, start = [], 0, 0
    part = "secret" if "secret" in shape.pattern.groupindex else 0
    while match := shape.pattern.search(text, start):
        if shape.is_secret(match):
            pieces += [text[done : match.start(part)], f"[redacted: {shape.kind}]"]
            done = start = match.end(part)
        else:  # what was taken for a value may hold a name with a value of its own
            start = max(match.start() + 1, match.start(part))
    return "".join(pieces) + text[done:] if pieces else text


def _redacted_under(key: object, value: Any) -> Any:
    shown = redact_value(value)
    if not isinstance(key, str) or not isinstance(value, str) or shown != value:
        return shown
    named = _NAME_AT_END.search(key[-_LONGEST_NAME_CHARS:])
    is_word = len(value) >= 6 and not re.search(r"\s", value)
    if named and is_word and _is_secret_value(named["name"], value):
        return "[redacted: secret]"
    return value
