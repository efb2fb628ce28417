"""Users' own policies and allocators: found by attribute, their mistakes told as theirs."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ctxbudget.core.allocation import Allocator, Grants
from ctxbudget.core.errors import ConfigError, CtxBudgetError, PolicyError
from ctxbudget.core.events import AllocatorSpec, Phase
from ctxbudget.core.policy import Moment, Policy
from ctxbudget.core.types import Plan

WHAT_CODE_RAISES = (Exception, SystemExit)
"""A script that is named by mistake may end the program, which is not for it to do."""


def import_attribute(spec: str) -> Callable[..., Any]:
    """Return what `package.module:attribute` names; of a class, an instance.

    Raises:
        ConfigError: it cannot be imported, or cannot be called.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
        if isinstance(found, type):
            found = found()
    except WHAT_CODE_RAISES as error:  # importing runs the user's code
        raise ConfigError(
            f"{spec!r} cannot be loaded: {_described(error)}; check the name and the module"
        ) from error
    if not callable(found):
        raise ConfigError(f"{spec!r} is not callable; name a function or a class")
    called: Callable[..., Any] = found
    return called


@dataclass(frozen=True, slots=True)
class OwnPolicy:
    """A policy found by attribute. Whatever it raises, or yields that is no plan, is told.

    Raises:
        PolicyError: names the policy, the error, and the line of the user's code.
    """

    policy: Policy
    spec: str

    def __call__(self, moment: Moment, /) -> Iterator[Plan]:
        """Yield the policy's plans."""
        try:
            plans = self.policy(moment)
            if not isinstance(plans, Iterable):
                raise TypeError(f"expected plans, found {plans!r}")
            for plan in plans:
                if not isinstance(plan, Plan):
                    raise TypeError(f"expected a Plan, found {plan!r}")
                yield plan
        except CtxBudgetError:
            raise
        except WHAT_CODE_RAISES as error:
            raise PolicyError(_described(error), rule=self.spec) from error


@dataclass(frozen=True, slots=True)
class OwnAllocator:
    """An allocator found by attribute. Whatever it raises, or returns that is no grants, is told.

    Raises:
        ConfigError: names the allocator, the error, and the line of the user's code.
    """

    allocator: Allocator
    spec: str

    def __call__(
        self, budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec, /
    ) -> Grants:
        """Return the allocator's grants."""
        try:
            grants = self.allocator(budget_tokens, phases, spec)
            if not isinstance(grants, Grants):
                raise TypeError(f"expected Grants, found {grants!r}")
        except CtxBudgetError:
            raise
        except WHAT_CODE_RAISES as error:
            raise ConfigError(
                f"allocator {self.spec!r} failed: {_described(error)}; "
                "see the contract of Allocator",
                location=("allocator",),
            ) from error
        return grants


def _described(error: BaseException) -> str:
    """Return what a user's own code raised, and where, in one line."""
    if isinstance(error, ImportError | AttributeError | SyntaxError):
        return str(error)  # says where by itself
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    at = "" if innermost.filename == __file__ else f" at {innermost.filename}:{innermost.lineno}"
    return f"{type(error).__name__}{at}: {error}"
