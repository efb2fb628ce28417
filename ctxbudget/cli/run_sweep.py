"""What `ctxbudget sweep` does once its options are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ctxbudget.cli.exit_codes import FINE, GATE_FAILED
from ctxbudget.cli.output import console, note, print_json
from ctxbudget.cli.progress import counted_bar
from ctxbudget.config.lookup import find, names
from ctxbudget.config.policy_file import NONE, read_policy
from ctxbudget.config.workflow_file import is_workflow_file, read_workflow
from ctxbudget.core.errors import ConfigError, SourceError, near_misses, reason_of
from ctxbudget.parallel import Backend, run_all
from ctxbudget.providers.prices import price_date
from ctxbudget.recorded.files import STDIN, found_files
from ctxbudget.report.sweep_json import sweep_as_data
from ctxbudget.report.sweep_words import all_budgets, reason_text, rule_text
from ctxbudget.simulate import sizes_for
from ctxbudget.sweep.grid import Setting, budgets_of, grid, params_of
from ctxbudget.sweep.outcome import Outcome
from ctxbudget.sweep.results import Results, key_of
from ctxbudget.sweep.summary import (
    Failures,
    Row,
    best_within_budget,
    failures_of,
    recommended,
    rows_of,
)
from ctxbudget.sweep.work import Done, Task, work
from ctxbudget.writing.noted import as_text

MOST_SETTINGS_AT_ONCE: Final = 8
"""Of one task: a session is read once for them, and not much is lost when a sweep is stopped."""


def run(
    *,
    subjects: Sequence[str],
    policies: Sequence[str],
    budget: str | None,
    params: Sequence[str],
    least_recall: float,
    least_quotes: float,
    results: Path,
    write: Path | None,
    workers: int | None,
    backend: str | None,
    as_machine: bool,
) -> int:
    """Sweep, print, and return the exit code."""
    _check_floor(least_recall, "--recall")
    _check_floor(least_quotes, "--quote-recall")
    paths, are_workflows = _subjects(subjects)
    settings, notes = grid(
        policies, budgets_of(budget), params_of(params), has_bounds=not are_workflows
    )
    if write is not None:
        _check_writable(write, results, settings)
    for line in notes:
        note(line)
    kept = Results(results)
    try:
        found, apart = _outcomes(
            paths,
            settings,
            kept,
            workers,
            Backend(backend or Backend.PROCESSES),
            are_workflows=are_workflows,
        )
    except KeyboardInterrupt:
        note(f"what is finished is in {results}; start the same command again to go on")
        raise
    finally:
        kept.close()
    swept = _swept(settings, found, apart)
    choice = _choice(swept.rows, least_recall, least_quotes)
    _print(swept, choice, as_machine=as_machine)
    if write is None:
        return FINE
    if choice.row is None:
        note(f"{write} is not written")
        return GATE_FAILED
    _write(write, choice.row, choice.reason)
    return FINE


# ---- what came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swept:
    """What all settings came to.

    Attributes:
        subjects: how many count.
        apart: why others are left out, by path.
        partly_read: what of a subject could not be read, by path.
    """

    rows: Sequence[Row]
    subjects: int
    apart: Mapping[str, str]
    partly_read: Mapping[str, str]
    failures: Sequence[Failures]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """What is recommended, if anything is.

    Attributes:
        within_budget: the best that keeps its budget, where `row` does not.
    """

    row: Row | None
    within_budget: Row | None
    reason: str


def _swept(
    settings: Sequence[Setting],
    found: Mapping[str, Sequence[Outcome]],
    unread: Mapping[str, str],
) -> _Swept:
    """Return what the outcomes of each subject come to; `unread` are those without any.

    Raises:
        SourceError: no subject is left.
    """
    rows, without_none = rows_of(settings, found)
    apart = dict(sorted({**unread, **without_none}.items()))
    if not rows:
        raise SourceError(f"nothing could be swept: {next(iter(apart.values()))}")
    kept = {path: own for path, own in found.items() if path not in without_none}
    return _Swept(
        rows=rows,
        subjects=len(kept),
        apart=apart,
        partly_read={path: own[0].unread for path, own in kept.items() if own[0].unread},
        failures=failures_of(settings, kept),
    )


def _choice(rows: Sequence[Row], least_recall: float, least_quotes: float) -> _Choice:
    row = recommended(rows, least_recall=least_recall, least_quotes=least_quotes)
    within_budget = None
    if row is None or row.over:
        within_budget = best_within_budget(
            rows, least_recall=least_recall, least_quotes=least_quotes
        )
    rule = rule_text(rows, least_recall, least_quotes)
    reason = reason_text(row, within_budget, all_budgets(rows), rule)
    return _Choice(row=row, within_budget=within_budget, reason=reason)


def _print(swept: _Swept, choice: _Choice, *, as_machine: bool) -> None:
    if as_machine:
        print_json(
            sweep_as_data(
                swept.rows,
                apart=swept.apart,
                partly_read=swept.partly_read,
                failures=swept.failures,
                chosen=choice.row,
                within_budget=choice.within_budget,
                reason=choice.reason,
                price_date=price_date(),
            )
        )
        return
    from ctxbudget.report.sweep_terminal import print_sweep

    print_sweep(
        console(),
        swept.rows,
        subjects=swept.subjects,
        apart=swept.apart,
        partly_read=swept.partly_read,
        failures=swept.failures,
        reason=choice.reason,
    )


# ---- the work


def _check_floor(floor: float, option: str) -> None:
    if not 0 <= floor <= 1:  # click lets through what is no number
        raise ConfigError(f"expected a share from 0 to 1, found {floor}", location=(option,))


def _subjects(given: Sequence[str]) -> tuple[list[str], bool]:
    """Return the paths, and whether they are workflows."""
    shipped = names("workflows")
    for one in given:
        if one != STDIN and one not in shipped and not Path(one).exists():
            step = "check the path" if Path(one).suffix or "/" in one else near_misses(one, shipped)
            raise SourceError(f"{one}: there is no such file, folder or shipped workflow; {step}")
    are = [one in shipped or is_workflow_file(Path(one)) for one in given]
    if STDIN in given:
        raise SourceError("a sweep reads its sessions more than once; write stdin into a file")
    if all(are):
        return [str(find("workflows", one)) for one in dict.fromkeys(given)], True
    if any(are):
        raise ConfigError("found workflows and sessions; sweep one or the other")
    empty: list[str] = []
    paths = list(found_files(given, empty.append))
    if not paths:
        raise SourceError(
            f"{empty[0]}: there is no .jsonl, .json or .gz file in it; name a file, or a folder "
            "with recorded sessions"
        )
    return paths, False


def _outcomes(
    paths: Sequence[str],
    settings: Sequence[Setting],
    kept: Results,
    workers: int | None,
    backend: Backend,
    *,
    are_workflows: bool,
) -> tuple[dict[str, list[Outcome]], dict[str, str]]:
    """Return each subject's outcomes, and the subjects that could not be read, with the reason."""
    keys, apart = _keys(paths, settings, are_workflows=are_workflows)
    tasks: list[Task] = []
    keys_of_tasks: list[list[str]] = []
    for path, own in keys.items():
        for part in _parts([at for at, key in enumerate(own) if not kept.get(key)]):
            those = tuple(settings[at] for at in part)
            tasks.append(Task(path=path, is_workflow=are_workflows, settings=those))
            keys_of_tasks.append([own[at] for at in part])
    with counted_bar("sweeping", sum(len(task.settings) for task in tasks)) as on_done:

        def keep(place: int, done: Done) -> None:
            if done.failure is not None:
                apart[done.path] = done.failure
            kept.add(dict(zip(keys_of_tasks[place], done.outcomes, strict=False)))
            on_done(len(tasks[place].settings))

        for _ in run_all(work, tasks, workers=workers, backend=backend, on_result=keep):
            pass
    found: dict[str, list[Outcome]] = {}
    for path, own in keys.items():
        outcomes = [one for key in own if (one := kept.get(key)) is not None]
        if path not in apart:
            found[path] = outcomes
    return found, apart


def _keys(
    paths: Sequence[str], settings: Sequence[Setting], *, are_workflows: bool
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the names of each subject's results, and which subjects cannot be opened, and why."""
    keys: dict[str, list[str]] = {}
    apart: dict[str, str] = {}
    date = price_date()
    for path in paths:
        try:
            content = Path(path).read_bytes() + (_sizes(path) if are_workflows else b"")
        except OSError as error:
            apart[path] = f"{path}: {reason_of(error, 'cannot be read')}"
            continue
        digest = hashlib.sha256(content).hexdigest()
        keys[path] = [key_of(digest, one, date) for one in settings]
    return keys, apart


def _sizes(path: str) -> bytes:
    """Return the sizes of the texts and files that a workflow names, which may change beside it."""
    return repr(sizes_for(read_workflow(Path(path))).known).encode()


def _parts(places: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(places), MOST_SETTINGS_AT_ONCE):
        yield places[first : first + MOST_SETTINGS_AT_ONCE]


# ---- the policy file that is written


def _check_writable(path: Path, results: Path, settings: Sequence[Setting]) -> None:
    """Check before the work that a new file can be written, and that each policy fits into one.

    Raises:
        ConfigError: there is something at the path, no file can be made, or a policy is code.
    """
    if path.resolve() == results.resolve():
        raise ConfigError(f"{path}: keeps the results; choose another name", location=("--write",))
    for one in settings:
        if "function" in one.policy.as_data:
            raise ConfigError(
                f"{one.policy.label} is code of your own, which no policy file can hold; leave out "
                "--write, or that policy",
                location=("--write",),
            )
    try:
        path.open("x").close()
        path.unlink()
    except FileExistsError:
        raise ConfigError(
            f"{path}: is there already; choose another name", location=("--write",)
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigError:
    reason = reason_of(error, "cannot be written")
    return ConfigError(f"{path}: {reason}; choose another name", location=("--write",))


def _write(path: Path, chosen: Row, reason: str) -> None:
    """Write a policy file, and check that it can be read."""
    content = dict(chosen.setting.policy.as_data)
    if content.get("name") == NONE:
        content["name"] = "nothing-pruned"
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(as_text((reason,), content))
    except OSError as error:
        raise _unwritable(path, error) from None
    read_policy(path)
    note(f"policy written to {path}")
