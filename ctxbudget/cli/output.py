"""What the commands share for printing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 120
"""Width of tables that go into a file or a pipe, unless COLUMNS says otherwise."""


def console() -> Console:
    """Return a console: colours on a terminal unless NO_COLOR is set, plain when piped."""
    from rich.console import Console

    is_wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=PIPED_COLUMNS if is_wide else None, highlight=False, soft_wrap=False)
