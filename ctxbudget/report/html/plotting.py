"""The one place that needs plotly: it checks charts, writes them as JSON, and gives the script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ctxbudget.core.errors import ConfigError
from ctxbudget.report.html.figures import Figure

MISSING: Final = (
    "the HTML report is made with plotly, which is not installed; "
    "run: pip install 'ctxbudget[html]'"
)


def require_plotly() -> None:
    """Check that plotly is there, before long work is done.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import plotly  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        raise ConfigError(MISSING, location=("--html",)) from None


def as_json(figures: Mapping[str, Figure]) -> str:
    """Return charts by their names as JSON, each checked by plotly.

    Raises:
        ValueError: a chart holds a property that plotly does not know.
    """
    import plotly.graph_objects as go  # type: ignore[import-untyped,unused-ignore]
    from plotly.io import to_json  # type: ignore[import-untyped,unused-ignore]

    parts = []
    for name, one in figures.items():
        go.Figure(one)  # checks every property
        parts.append(f'"{name}": {to_json({**one}, validate=False, engine="json")}')
    return "{" + ", ".join(parts) + "}"


def script() -> str:
    """Return plotly's own script, whole."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped,unused-ignore]

    return str(get_plotlyjs())
