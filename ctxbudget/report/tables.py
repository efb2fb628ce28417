"""The look that all tables on a terminal have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def plain_table(**options: Any) -> Table:
    """Return a table without vertical lines, so that narrow terminals show more.

    `options` are those of rich, such as `title` and `caption`, which stand on the left.
    """
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        **options,
    )
