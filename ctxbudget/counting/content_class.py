"""What kind of text a text is, told cheaply: counts and ratios differ from one kind to the next."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class ContentClass(StrEnum):
    """Kinds of text whose tokens per character differ, and whose ratio between models differs."""

    PROSE = "prose"
    """Natural language in Latin letters, Markdown included."""
    CODE = "code"
    STRUCTURED = "structured"
    """JSON, XML, logs and tables."""
    OTHER_SCRIPT = "other_script"
    """Mostly letters outside ASCII: Chinese, Cyrillic, Arabic and so on."""
    OPAQUE = "opaque"
    """Base64, hexadecimal digests, UUIDs."""


_SAMPLE_CHARS: Final = 600
_PIECE_CHARS: Final = 200
_LETTER_CHARS: Final = 60  # of the sample, read for letters outside ASCII
_FEW_FRAC: Final = 0.15  # a smaller share outside ASCII is no other script

_SPACE: Final = b" \t\r\n\x0b\x0c"
_DIGITS: Final = b"0123456789"
_WORD: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DATA_MARKS: Final = b'"{}[]:,|<>'
_CODE_MARKS: Final = b"()=;_#"
_SHORT_CHARS: Final = 32  # fewer visible ASCII characters than this tell nothing
_NON_ASCII_LETTER: Final = re.compile(r"[^\W\d_\x00-\x7f]")


def classify(text: str) -> ContentClass:
    """Return the kind of `text`, from at most 600 of its characters: start, middle and end.

    The same text always gives the same kind. Text too short to tell is prose.
    """
    sample = text if len(text) <= _SAMPLE_CHARS else _pieces(text)
    ascii_bytes = sample.encode("ascii", "ignore")
    many_outside = len(sample) - len(ascii_bytes) > _FEW_FRAC * len(sample)
    if many_outside and _is_other_script(sample):
        return ContentClass.OTHER_SCRIPT
    return _classify_ascii(ascii_bytes)


def _pieces(text: str) -> str:
    middle = (len(text) - _PIECE_CHARS) // 2
    return text[:_PIECE_CHARS] + text[middle : middle + _PIECE_CHARS] + text[-_PIECE_CHARS:]


def _is_other_script(sample: str) -> bool:
    """Return True if more than three letters in ten are outside ASCII.

    German and French have fewer than one in ten; a table drawn with `─` has no letters there.
    """
    some = sample[:: max(1, len(sample) // _LETTER_CHARS)]
    outside = len(_NON_ASCII_LETTER.findall(some))
    ascii_bytes = some.encode("ascii", "ignore")
    inside = len(ascii_bytes) - len(ascii_bytes.translate(None, _WORD))
    return outside > 0.3 * (outside + inside)


def _classify_ascii(ascii_bytes: bytes) -> ContentClass:
    """Tell the kind from the shares of digits, marks and spaces.

    The limits were set on this repository's own files and on logs, JSON, tables and digests
    made up for the purpose.
    """
    shown = ascii_bytes.translate(None, _SPACE)
    size = len(shown)
    if size < _SHORT_CHARS:
        return ContentClass.PROSE
    digits = (size - len(shown.translate(None, _DIGITS))) / size
    marks = len(shown.translate(None, _WORD + _DIGITS)) / size
    data = (size - len(shown.translate(None, _DATA_MARKS))) / size
    code = (size - len(shown.translate(None, _CODE_MARKS))) / size
    spaces = 1 - size / len(ascii_bytes)
    if spaces < 0.05 and data < 0.02 and (marks < 0.08 or digits > 0.4):
        return ContentClass.OPAQUE
    if digits > 0.2 or data > 0.2 or (data > 0.1 and code < 0.02):
        return ContentClass.STRUCTURED
    if marks < 0.11 or code < 0.022:
        return ContentClass.PROSE
    return ContentClass.CODE
