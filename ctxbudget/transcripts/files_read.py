"""Which file a tool's result is a copy of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_READS: Final = re.compile(
    r"(?i)(?:^|_)(?:read|view|open|cat)(?:$|_|file|notebook)|^(?:Notebook)?Read$"
)
_PATH_KEYS: Final = ("file_path", "path", "filename", "notebook_path", "target_file")


def file_read(tool: str | None, given: Mapping[str, Any]) -> str | None:
    """Return the path of the file that a tool reads when it is given this input, or None."""
    if tool is None or not _READS.search(tool):
        return None
    return next((given[key] for key in _PATH_KEYS if isinstance(given.get(key), str)), None)
