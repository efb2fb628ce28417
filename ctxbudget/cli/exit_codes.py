"""What the command's exit code says, to a shell and to whoever reads our own code."""

from __future__ import annotations

from typing import Final

FINE: Final = 0
GATE_FAILED: Final = 1
"""A limit was not kept, or nothing could be recommended."""
USER_ERROR: Final = 2
INTERRUPTED: Final = 130
READER_GONE: Final = 141
"""As a shell counts a death by SIGPIPE: neither a success nor a failed gate."""
