"""What `ctxbudget check` does once its options are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

import click

from ctxbudget.cli.any_run import Options, any_run
from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.draw_runs import GOES_WITH_RUNS, Many, many_runs
from ctxbudget.cli.exit_codes import FINE, GATE_FAILED, USER_ERROR
from ctxbudget.cli.output import complain, console, print_json
from ctxbudget.config.fields import budget_option, tokens_option
from ctxbudget.core.errors import ConfigError, CtxBudgetError
from ctxbudget.core.types import Base, Limit
from ctxbudget.gate.limits import LIMITS, Asked, judged
from ctxbudget.gate.outcome import Number
from ctxbudget.report.gate_report import Checked, checked_as_data, checked_lines, checked_markdown


def run(
    *,
    files: tuple[str, ...],
    policy: str | None,
    model: str | None,
    window: str | None,
    budget: str | None,
    agent: str | None,
    ttl: str | None,
    price: str | None,
    run_count: int | None,
    seed: int | None,
    workers: int | None,
    backend: str | None,
    as_machine: bool,
    as_markdown: bool,
    **limits: str | None,
) -> int:
    """Play each file, print what was found, and return the exit code."""
    check_one_form(as_machine=as_machine, as_markdown=as_markdown)
    many = many_runs(run_count, seed, workers, backend)
    asked = _asked(limits)
    _check_drawn(asked, many)
    options = Options(model=model, window=window, budget=budget, agent=agent, ttl=ttl, price=price)
    checked, errors = [], []
    for name in dict.fromkeys(files):
        try:
            outcome = any_run(name, options, many)(policy)
            checked.append(Checked(outcome, tuple(judged(outcome, one) for one in asked)))
        except CtxBudgetError as error:  # what is wrong with one file hides no other
            errors.append(str(error))
    for message in dict.fromkeys(errors):
        complain(message)
    if as_machine and checked:
        print_json(checked_as_data(checked, errors))
    elif as_markdown and checked:
        click.echo(checked_markdown(checked))
    else:
        out = console()
        for line, is_kept in checked_lines(checked):
            out.print(line, style=None if is_kept else "bold red", markup=False, soft_wrap=True)
    if errors:
        return USER_ERROR
    return FINE if all(one.is_kept for one in checked) else GATE_FAILED


# ---- limits


def _asked(limits: dict[str, str | None]) -> list[Asked]:
    """Return the limits that were given, in the order of the help."""
    found = []
    for option in LIMITS:
        given = limits[option.replace("-", "_")]
        if given is not None:
            found.append(Asked(option=option, limit=_READ[option](given, option), said=given))
    if not found:
        names = ", ".join(f"--{option}" for option in LIMITS)
        raise ConfigError(f"there is nothing to check; give at least one limit: {names}")
    return found


def _check_drawn(asked: list[Asked], many: Many | None) -> None:
    for one in asked:
        if one.is_probability and many is None:
            raise ConfigError(GOES_WITH_RUNS, location=(f"--{one.option}",))


def _peak(given: str, option: str) -> Limit:
    """Return a limit whose plain share is one of the budget."""
    plain, is_of_budget = re.subn(r"\s+of\s+budget\s*$", "", given)
    limit = budget_option(plain, f"--{option}")
    is_bare = limit.share_frac is not None and not re.search(r"\sof\s", plain)
    if is_of_budget and not is_bare:
        raise _refused(option, "a share such as 60% of budget", given)
    return replace(limit, of=Base.BUDGET) if is_bare else limit


def _tokens(given: str, option: str) -> int:
    return tokens_option(given, f"--{option}")


def _usd(given: str, option: str) -> Decimal:
    if not re.fullmatch(r"\s*(?:[0-9]{1,12}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})\s*", given):
        raise _refused(option, "an amount of US dollars such as 2.50", given)
    return Decimal(given.strip())


def _count(given: str, option: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", given):
        raise _refused(option, "a whole number, 0 or more", given)
    return int(given)


def _share(given: str, option: str) -> float:
    match = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})\s*(%?)\s*", given)
    # As a fraction: 97.3% and 0.973 are then the same number.
    share = Fraction(match[1]) / (100 if match[2] else 1) if match else Fraction(-1)
    if not 0 <= share <= 1:
        raise _refused(option, "a share such as 0.98 or 98%", given)
    return float(share)


def _refused(option: str, expected: str, given: str) -> ConfigError:
    return ConfigError(f"expected {expected}, found {given!r}", location=(f"--{option}",))


_READ: Final[dict[str, Callable[[str, str], Number | Limit]]] = {
    "max-peak": _peak,
    "max-sent": _tokens,
    "max-cost": _usd,
    "max-total": _usd,
    "max-rewrites": _count,
    "max-warn-probability": _share,
    "max-critical-probability": _share,
    "max-overflow-probability": _share,
    "min-recall": _share,
    "min-quote-recall": _share,
}
