"""What people answer about a workflow that is to be written, on the command line or when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ctxbudget.config.fields import shown, tokens_option
from ctxbudget.core.errors import ConfigError
from ctxbudget.writing.assumed import OUTPUTS

T = TypeVar("T")

MOST_PHASES: Final = 500
MOST_ROUNDS: Final = 10_000
NO_MODEL: Final = frozenset({"", "-", "none"})


def given(answer: str, option: str, read: Callable[[str], T]) -> T:
    """Return what an option's answer means.

    Raises:
        ConfigError: it means nothing; the option is blamed.
    """
    try:
        return read(answer)
    except ConfigError as error:
        raise ConfigError(error.message, location=(option,)) from None


def name_of(answer: str) -> str:
    """Return a name; what it may hold, the check of the file says.

    Raises:
        ConfigError: there is none.
    """
    if not answer.strip():
        raise ConfigError("expected a name, found nothing; name the workflow")
    return answer.strip()


def model_of(answer: str) -> str:
    """Return a model's name; empty for none."""
    plain = answer.strip()
    return "" if plain.lower() in NO_MODEL else plain


def window_of(answer: str) -> int:
    """Return a window, in tokens. Errors as in `tokens_option`."""
    return tokens_option(answer, "--window")


def phases_of(answer: str) -> list[str]:
    """Return the ids of phases, of which each needs the one before.

    Raises:
        ConfigError: one is empty or there twice, or there are too many.
    """
    names = [name.strip() for name in answer.split(",")]
    twice = [name for name in names if names.count(name) > 1]
    if not all(names):
        raise ConfigError(f"expected names with commas between them, found {shown(answer)}")
    if len(names) > MOST_PHASES:
        raise ConfigError(f"expected at most {MOST_PHASES} phases, found {len(names):,}")
    if twice:
        raise ConfigError(f"the name {twice[0]!r} is there twice; rename or remove one of them")
    return names


def output_tokens(answer: str) -> int:
    """Return the size of an output that a word or a number says, in tokens.

    Raises:
        ConfigError: it says none.
    """
    word = answer.strip().lower()
    if word in OUTPUTS:
        return OUTPUTS[word]
    try:
        return tokens_option(answer, "--outputs")
    except ConfigError:
        words = ", ".join(f"{name} ({size:,})" for name, size in OUTPUTS.items())
        raise ConfigError(
            f"expected {words}, or tokens such as 5000 or 5k, found {shown(answer)}"
        ) from None


def rounds_of(answer: str) -> int:
    """Return a number of rounds of tools.

    Raises:
        ConfigError: it is no whole number, or too large.
    """
    digits = answer.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 9):
        raise ConfigError(f"expected a whole number up to {MOST_ROUNDS:,}, found {shown(answer)}")
    if int(digits) > MOST_ROUNDS:
        raise ConfigError(f"expected a whole number up to {MOST_ROUNDS:,}, found {digits}")
    return int(digits)
