"""What `ctxbudget sweep` does once its options are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ctxbudget.cli.journal_view import note
from ctxbudget.cli.output import console, print_json
from ctxbudget.cli.progress import counted_bar
from ctxbudget.config.lookup import find, names
from ctxbudget.config.policy_file import read_policy
from ctxbudget.config.sizes import counted
from ctxbudget.config.workflow_file import is_workflow_file, read_workflow
from ctxbudget.core.errors import ConfigError, SourceError, near_misses
from ctxbudget.parallel import Backend, run_all
from ctxbudget.providers.prices import price_date
from ctxbudget.recorded.files import STDIN, found_files
from ctxbudget.report.sweep_json import sweep
from ctxbudget.report.sweep_words import all_budgets, reason_text, rule_text
from ctxbudget.simulate import measure_for
from ctxbudget.sweep.grid import NONE, Setting, budgets_of, grid, params_of
from ctxbudget.sweep.outcome import Outcome
from ctxbudget.sweep.results import Results, key_of
from ctxbudget.sweep.summary import Row, best_within_budget, failures_of, recommended, rows_of
from ctxbudget.sweep.work import Done, Task, work
from ctxbudget.writing.noted import as_text

MOST_SETTINGS_AT_ONCE: Final = 8
"""Of one task: a session is read once for them, and not much is lost when a sweep is stopped."""

NOTHING_FITS: Final = 1


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
    backend: str,
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
            paths, settings, kept, workers, Backend(backend), are_workflows=are_workflows
        )
    except KeyboardInterrupt:
        note(f"what is finished is in {results}; start the same command again to go on")
        raise
    finally:
        kept.close()
    rows, without_none = rows_of(settings, found)
    apart = dict(sorted((apart | without_none).items()))
    if not rows:
        raise SourceError(f"nothing could be swept: {next(iter(apart.values()))}")
    chosen = recommended(rows, least_recall=least_recall, least_quotes=least_quotes)
    within_budget = None
    if chosen is None or chosen.over:
        within_budget = best_within_budget(
            rows, least_recall=least_recall, least_quotes=least_quotes
        )
    rule = rule_text(least_recall, least_quotes)
    reason = reason_text(chosen, within_budget, all_budgets(rows), rule)
    failures = failures_of(settings, {k: v for k, v in found.items() if k not in without_none})
    partly_read = {
        path: own[0].unread for path, own in found.items() if own[0].unread and path not in apart
    }
    if as_machine:
        print_json(
            sweep(
                rows,
                apart=apart,
                partly_read=partly_read,
                failures=failures,
                chosen=chosen,
                within_budget=within_budget,
                reason=reason,
                price_date=price_date(),
            )
        )
    else:
        from ctxbudget.report.sweep_terminal import print_sweep

        print_sweep(
            console(),
            rows,
            subjects=len(found) - len(without_none),
            apart=apart,
            partly_read=partly_read,
            failures=failures,
            reason=reason,
        )
    if write is None:
        return 0
    if chosen is None:
        note(f"{write} is not written")
        return NOTHING_FITS
    _write(write, chosen, reason)
    return 0


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
            apart[path] = f"{path}: {(error.strerror or 'cannot be read').lower()}"
            continue
        digest = hashlib.sha256(content).hexdigest()
        keys[path] = [key_of(digest, one, date) for one in settings]
    return keys, apart


def _sizes(path: str) -> bytes:
    """Return the sizes of the texts and files that a workflow names, which may change beside it."""
    loaded = read_workflow(Path(path))
    return repr(counted(loaded.workflow, measure_for(loaded)).known).encode()


def _parts(places: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(places), MOST_SETTINGS_AT_ONCE):
        yield places[first : first + MOST_SETTINGS_AT_ONCE]


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
    reason = (error.strerror or "cannot be written").lower()
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
