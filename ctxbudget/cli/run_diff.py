"""What `ctxbudget diff` does once its options are read."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import click

from ctxbudget.cli.any_run import Options, any_run
from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.exit_codes import FINE, GATE_FAILED
from ctxbudget.cli.output import console, print_json
from ctxbudget.core.errors import ConfigError
from ctxbudget.gate.comparing import MAY_GROW, Allowed, Comparison, Growth, compare, growth
from ctxbudget.gate.outcome import BY_KEY, Unit
from ctxbudget.report.diff_json import compared_as_data
from ctxbudget.report.diff_markdown import compared_markdown

OPTION: Final = "--fail-on-increase"

_AMOUNT: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(%|[kKmM])?")
_SCALE: Final = {"k": 1_000, "m": 1_000_000}


def run(
    *,
    before: str,
    after: str | None,
    policies: tuple[str, ...],
    model: str | None,
    window: str | None,
    budget: str | None,
    agent: str | None,
    ttl: str | None,
    price: str | None,
    allowed: str | None,
    as_machine: bool,
    as_markdown: bool,
) -> int:
    """Play both, print what changed, and return the exit code."""
    check_one_form(as_machine=as_machine, as_markdown=as_markdown)
    limits = [] if allowed is None else [_allowed(pair) for pair in allowed.split(",")]
    options = Options(model=model, window=window, budget=budget, agent=agent, ttl=ttl, price=price)
    found = _compared(before, after, policies, options)
    judged = [growth(found, limit) for limit in limits]
    if as_machine:
        print_json(compared_as_data(found, judged))
    elif as_markdown:
        click.echo(compared_markdown(found, judged))
    else:
        _print(found, judged)
    return FINE if all(one.is_kept for one in judged) else GATE_FAILED


def _compared(
    before: str, after: str | None, policies: tuple[str, ...], options: Options
) -> Comparison:
    """Return both runs side by side; a file that is on both sides is read once."""
    if len(policies) > 2:
        raise ConfigError(
            f"expected at most two, one for each side, found {len(policies)}; "
            "`ctxbudget simulate` and `ctxbudget replay` compare more",
            location=("--policy",),
        )
    if after is None and not policies:
        raise ConfigError(
            f"there is nothing to compare {before} with; name a second file, or a --policy"
        )
    first = second = policies[0] if policies else None
    if len(policies) == 2:
        second = policies[1]
    elif after is None:
        first = None  # its own
    old = any_run(before, options)
    new = old if after in (None, before) else any_run(str(after), options)
    return compare(old(first), new(second))


def _print(found: Comparison, judged: list[Growth]) -> None:
    from ctxbudget.report.diff_terminal import print_compared

    print_compared(console(), found, judged)


def _allowed(pair: str) -> Allowed:
    key, _, text = (part.strip() for part in pair.partition("="))
    if key not in MAY_GROW:
        raise ConfigError(
            f"expected one of {', '.join(MAY_GROW)}, found {key!r}",
            location=(OPTION,),
        )
    match = _AMOUNT.fullmatch(text)
    unit = BY_KEY[key].unit
    if match is None or not _is_fit(match, unit):
        raise ConfigError(
            f"expected a share of what it was, such as {key}=5%, or {_AMOUNTS[unit]}, found "
            f"{pair.strip()!r}",
            location=(OPTION,),
        )
    amount, is_share = Decimal(match[1]), match[2] == "%"
    scale = _SCALE.get((match[2] or "").lower(), 1)
    return Allowed(
        key=key,
        amount=amount / 100 if is_share else amount * scale,
        is_share=is_share,
        said=text,
    )


_AMOUNTS: Final = {
    Unit.TOKENS: "tokens such as 500 or 2k",
    Unit.USD: "US dollars such as 0.10",
    Unit.TIMES: "a whole number",
}


def _is_fit(match: re.Match[str], unit: Unit) -> bool:
    """Return whether an amount is one of the unit: no tenths of calls, no thousands of dollars."""
    if match[2] == "%":
        return True
    if unit is Unit.TOKENS:
        return "." not in match[1] or match[2] is not None
    return match[2] is None and (unit is Unit.USD or "." not in match[1])
