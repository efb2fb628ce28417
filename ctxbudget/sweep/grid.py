"""The settings of a sweep: policies with their params, times budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from ctxbudget.config.fields import budget_option, tokens_option
from ctxbudget.config.policy_file import BOUNDS, NONE, LoadedPolicy, policy_option
from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.types import Base, Limit

RANGE_STEPS: Final = 4
"""Budgets of a range that names no number, both ends included."""

MOST_STEPS: Final = 100
MOST_SETTINGS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One cell of the grid."""

    policy: LoadedPolicy
    spec: str
    """As `load_policy` takes it."""
    budget: Limit | None
    budget_text: str
    """As it is shown; empty if it stays as recorded or declared."""

    @property
    def is_bound(self) -> bool:
        """Whether it is only a mark to compare with."""
        return self.policy.bound is not None


def budgets_of(text: str | None) -> list[tuple[str, Limit]]:
    """Return the budgets that an option names: `60k..200k/4`, `60k,100k` or `30%`.

    Those in tokens rise; the others follow as they are named.

    Raises:
        ConfigError: the text names none.
    """
    if text is None:
        return []
    found: dict[str, Limit] = {}
    for part in text.split(","):
        if ".." in part:
            for tokens in _steps(part):
                found[f"{tokens:,}"] = Limit(tokens=tokens, of=Base.WINDOW)
        else:
            limit = budget_option(part.strip(), "--budget")
            if limit.tokens == 0:
                raise ConfigError("expected at least 1 token, found 0", location=("--budget",))
            name = part.strip() if limit.tokens is None else f"{limit.tokens:,}"
            found[name] = limit
    in_tokens = sorted(
        (pair for pair in found.items() if pair[1].tokens is not None),
        key=lambda pair: pair[1].tokens or 0,
    )
    return [*in_tokens, *(pair for pair in found.items() if pair[1].tokens is None)]


def _steps(part: str) -> list[int]:
    ends, _, number = part.partition("/")
    low_text, _, high_text = ends.partition("..")
    low = tokens_option(low_text.strip(), "--budget")
    high = tokens_option(high_text.strip(), "--budget")
    steps = number.strip() or str(RANGE_STEPS)
    if not steps.isascii() or not steps.isdigit() or not 2 <= int(steps[:4]) <= MOST_STEPS:
        raise ConfigError(
            f"expected 2 to {MOST_STEPS} steps, as in 60k..200k/4; found {steps!r}",
            location=("--budget",),
        )
    if low >= high:
        raise ConfigError(
            f"a range goes up, found {part.strip()!r}; swap its ends", location=("--budget",)
        )
    last = int(steps) - 1
    return [low + round((high - low) * step / last) for step in range(last + 1)]


def params_of(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of each `policy.NAME=a,b,c`.

    Raises:
        ConfigError: a text is something else, or names a param again.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        param = name.strip().removeprefix("policy.")
        parts = tuple(dict.fromkeys(one.strip() for one in values.split(",")))
        if not name.strip().startswith("policy.") or not param or "" in parts:
            raise ConfigError(
                f"expected policy.NAME=VALUE,VALUE, found {text!r}", location=("--param",)
            )
        if param in found:
            raise ConfigError(
                f"policy.{param} is there twice; name all values at once", location=("--param",)
            )
        found[param] = parts
    return found


def grid(
    policies: Sequence[str],
    budgets: Sequence[tuple[str, Limit]],
    params: Mapping[str, tuple[str, ...]],
    *,
    has_bounds: bool,
) -> tuple[list[Setting], list[str]]:
    """Return the settings in order, and what was left out of them, in words.

    `none`, and the bounds for sessions, look at no budget: they stand once, at the last one.

    Raises:
        ConfigError: the grid is empty or too large, or a policy or param is not known.
    """
    if not policies:
        raise ConfigError(
            "the sweep is empty; name policies with --policy, such as --policy masking "
            "(`ctxbudget policies` lists them)"
        )
    loaded = {spec: policy_option(spec) for spec in dict.fromkeys(policies)}
    _refuse_unknown(params, loaded.values())
    cells: list[tuple[str, Limit | None]] = [*budgets] or [("", None)]
    alone = (NONE, *BOUNDS) if has_bounds else (NONE,)
    settings: list[Setting] = []
    notes: list[str] = []
    for spec, one in loaded.items():
        if one.name in alone:
            continue
        missing = [f"policy.{name}" for name in params if name not in _params(one)]
        if missing:
            notes.append(f"{one.label} has no {', '.join(missing)}: not varied there")
        for whole in _varied(spec, one, params):
            settings += _settings(whole, cells)
    for name in alone:
        settings += _settings(name, cells[-1:])
    if len(settings) > MOST_SETTINGS:
        raise ConfigError(
            f"{len(settings):,} settings are too many, at most {MOST_SETTINGS:,}; name fewer policies, "
            "budgets or values of --param"
        )
    return settings, notes


def _refuse_unknown(params: Mapping[str, object], policies: Iterable[LoadedPolicy]) -> None:
    """Check that some policy has each param.

    Raises:
        ConfigError: none has one of them.
    """
    known = sorted({name for one in policies for name in _params(one)})
    for name in params:
        if name not in known:
            raise ConfigError(
                f"no policy of the sweep has a param {name!r}; {near_misses(name, known)}",
                location=("--param",),
            )


def _settings(spec: str, cells: Sequence[tuple[str, Limit | None]]) -> Iterator[Setting]:
    """Yield a policy at each budget."""
    policy = policy_option(spec, "--param")  # it was there without the params of the sweep
    for text, limit in cells:
        yield Setting(policy=policy, spec=spec, budget=limit, budget_text=text)


def _varied(
    spec: str, policy: LoadedPolicy, params: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """Yield a policy with each choice of values for the params that it has."""
    own = [name for name in params if name in _params(policy)]
    for values in product(*(params[name] for name in own)):
        yield _with(spec, list(zip(own, values, strict=True)))


def _params(policy: LoadedPolicy) -> Mapping[str, object]:
    given = policy.as_data.get("params") or {}
    return given if isinstance(given, Mapping) else {}


def _with(spec: str, pairs: Sequence[tuple[str, str]]) -> str:
    if not pairs:
        return spec
    said = ",".join(f"{name}={value}" for name, value in pairs)
    _, colon, rest = spec.rpartition(":")
    is_set = bool(colon) and "=" in rest  # a folder may have a `=` in its name
    return f"{spec},{said}" if is_set else f"{spec}:{said}"
