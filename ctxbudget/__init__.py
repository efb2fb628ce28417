"""Budget the context window of multi-phase LLM-agent workflows.

`Run` (or `AsyncRun`) embeds the engine in an orchestrator; `ctxbudget --help` simulates and replays.
Names are imported when they are first used, so that `import ctxbudget` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctxbudget._version import __version__ as __version__
    from ctxbudget.core.errors import AdapterError as AdapterError
    from ctxbudget.core.errors import BudgetExceededError as BudgetExceededError
    from ctxbudget.core.errors import ConfigError as ConfigError
    from ctxbudget.core.errors import CtxBudgetError as CtxBudgetError
    from ctxbudget.core.errors import JournalError as JournalError
    from ctxbudget.core.errors import PolicyError as PolicyError
    from ctxbudget.core.errors import SourceError as SourceError
    from ctxbudget.core.errors import SpendingLimitError as SpendingLimitError
    from ctxbudget.core.errors import ThrashError as ThrashError
    from ctxbudget.core.events import Event as Event
    from ctxbudget.core.events import Pruned as Pruned
    from ctxbudget.core.events import Review as Review
    from ctxbudget.core.events import Told as Told
    from ctxbudget.core.types import Item as Item
    from ctxbudget.core.types import Kind as Kind
    from ctxbudget.core.types import Layer as Layer
    from ctxbudget.core.types import Level as Level
    from ctxbudget.counting.api import ApiCounter as ApiCounter
    from ctxbudget.counting.api import AsyncApiCounter as AsyncApiCounter
    from ctxbudget.history import Happening as Happening
    from ctxbudget.history import Rent as Rent
    from ctxbudget.live.aio import AsyncAgent as AsyncAgent
    from ctxbudget.live.aio import AsyncPhase as AsyncPhase
    from ctxbudget.live.aio import AsyncRun as AsyncRun
    from ctxbudget.live.prompt import CacheMarks as CacheMarks
    from ctxbudget.live.prompt import Prompt as Prompt
    from ctxbudget.live.run import Agent as Agent
    from ctxbudget.live.run import Phase as Phase
    from ctxbudget.live.run import Run as Run
    from ctxbudget.live.views import Forecast as Forecast
    from ctxbudget.live.views import ReturnCost as ReturnCost
    from ctxbudget.report.brief import PhaseReport as PhaseReport
    from ctxbudget.report.brief import RunReport as RunReport
    from ctxbudget.shortening.summarize import AnthropicSummarizer as AnthropicSummarizer
    from ctxbudget.shortening.summarize import AsyncAnthropicSummarizer as AsyncAnthropicSummarizer
    from ctxbudget.shortening.summarize import Summary as Summary
    from ctxbudget.shortening.summarize import SummaryRequest as SummaryRequest
    from ctxbudget.sources.live import Usage as Usage

_HOMES = {
    "_version": ("__version__",),
    "counting.api": ("ApiCounter", "AsyncApiCounter"),
    "core.errors": (
        "AdapterError",
        "BudgetExceededError",
        "ConfigError",
        "CtxBudgetError",
        "JournalError",
        "PolicyError",
        "SourceError",
        "SpendingLimitError",
        "ThrashError",
    ),
    "core.events": ("Event", "Pruned", "Review", "Told"),
    "core.types": ("Item", "Kind", "Layer", "Level"),
    "history": ("Happening", "Rent"),
    "live.aio": ("AsyncAgent", "AsyncPhase", "AsyncRun"),
    "live.prompt": ("CacheMarks", "Prompt"),
    "live.run": ("Agent", "Phase", "Run"),
    "live.views": ("Forecast", "ReturnCost"),
    "report.brief": ("PhaseReport", "RunReport"),
    "sources.live": ("Usage",),
    "shortening.summarize": (
        "AnthropicSummarizer",
        "AsyncAnthropicSummarizer",
        "Summary",
        "SummaryRequest",
    ),
}
"""The public names, by the module that they live in."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ctxbudget' has no attribute {name!r}")
    return getattr(import_module(f"ctxbudget.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
