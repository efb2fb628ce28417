"""What `ctxbudget schedule` does once its options are read."""

from __future__ import annotations

import re
from pathlib import Path

from ctxbudget.cli.new_workflow import refuse_to_replace
from ctxbudget.cli.output import console, print_json
from ctxbudget.cli.priced import price_date_if
from ctxbudget.cli.whole_file import whole_file
from ctxbudget.cli.workflow_overrides import workflow_overrides
from ctxbudget.config.lookup import find
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow, workflow_of_text
from ctxbudget.core.errors import ConfigError, reason_of
from ctxbudget.schedule.proposal import Proposal, propose
from ctxbudget.schedule.rewriting import with_order
from ctxbudget.simulate import measure_for, simulate


def run(
    *,
    workflow: str,
    policy: str | None,
    budget: str | None,
    window: str | None,
    model: str | None,
    deliver: str | None,
    slack: str | None,
    output: str | None,
    force: bool,
    as_machine: bool,
) -> None:
    """Find the order, write the file if one is wanted, and print.

    Raises:
        ConfigError: the workflow or an option is wrong, or the file cannot be written.
        BudgetExceededError: what may not be pruned does not fit the window.
    """
    target = _target(output, force=force)
    loaded = read_workflow(find("workflows", workflow))
    overrides = workflow_overrides(
        policy=policy, budget=budget, window=window, model=model, deliver=deliver
    )
    proposal = propose(loaded, overrides, _slack_frac(slack))
    if target is not None:
        text = _reordered_text(loaded, proposal)
        _check(text, target, overrides, proposal)
        _write(target, text)
    date = price_date_if(proposal.as_filed.metrics.is_priced)
    if as_machine:
        from ctxbudget.report.schedule_json import proposal_data

        print_json({**proposal_data(proposal, date), "written": output})
        return
    from ctxbudget.report.schedule_terminal import print_proposal

    out = console()
    print_proposal(out, proposal, date)
    if target is not None:
        out.print(f"written: {output}", markup=False)


def _slack_frac(given: str | None) -> float:
    if given is None:
        return 0.0
    match = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*(%?)\s*", given)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise ConfigError(
            f"expected a share such as 5% or 0.05, up to 100%, found {given!r}",
            location=("--slack",),
        )
    return share


# ---- the file that is written


def _target(output: str | None, *, force: bool) -> Path | None:
    if output is None:
        if force:
            raise ConfigError("needs a file to replace; add --write FILE", location=("--force",))
        return None
    if not output.strip():
        raise ConfigError("is empty; name a file", location=("--write",))
    path = Path(output)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ConfigError("is not a file; choose another name", path=output)
    refuse_to_replace(path, force=force)
    return path


def _reordered_text(loaded: LoadedWorkflow, proposal: Proposal) -> str:
    path = loaded.document.path
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except OSError as error:
        reason = reason_of(error, "cannot be read")
        raise ConfigError(f"{reason}; check the path", path=path) from None
    number = {part.id: index for index, part in enumerate(loaded.workflow.phases)}
    return with_order(text, path, [number[name] for name in proposal.proposed.order])


def _check(text: str, target: Path, overrides: Overrides, proposal: Proposal) -> None:
    """Check that the workflow comes out as proposed where it is to stand.

    Raises:
        ConfigError: it does not, as where it names files beside it.
    """
    suffix = f"; to write it there, `root` and what it names have to be found from {target.parent}"
    try:
        loaded = workflow_of_text(text, str(target))
        peak = simulate(set_up_run(loaded, overrides), measure_for(loaded)).run.peak_tokens
    except ConfigError as error:
        raise ConfigError(
            error.message + suffix, path=error.path, line=error.line, location=error.location
        ) from None
    if peak != proposal.proposed.peak_tokens:
        raise ConfigError(
            f"written there, it would peak at {peak:,} tokens, not at "
            f"{proposal.proposed.peak_tokens:,}" + suffix,
            path=str(target),
        )


def _write(path: Path, text: str) -> None:
    """Write a file that takes its name only when all of it is there."""
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        reason = reason_of(error, "cannot be written")
        raise ConfigError(f"{reason}; choose another place", path=str(path)) from None
