"""Tables in Markdown, fit for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ctxbudget.report.plain import one_line

_SPECIAL = re.compile(r"([\\`*{}\[\]<>|#~&$@]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z]))")
"""What would be markup, a mention or HTML in a comment; `_` within a word is none."""


def escaped(text: str) -> str:
    """Return a text from elsewhere on one line, with nothing in it that Markdown would obey.

    An `@` would call somebody; entities are shown as the characters themselves.
    """
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", one_line(text))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table; the first `texts` columns hold texts, the others numbers.

    Cells are taken as they are: what users wrote has to be `escaped` before.
    """
    marks = [":---" if place < texts else "---:" for place in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows))
