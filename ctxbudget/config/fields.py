"""The kinds of values that users' files are made of, each with its own plain error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar
from unicodedata import category

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from ctxbudget.config.document import Document, Location
from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.types import Base, Limit

MAX_TOKENS = 10**12

MAX_TIMES = 100
"""Of what may happen again; a run that goes on for ever ends nowhere."""


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Stands for what an unknown key holds, so that pydantic refuses it beside all other problems."""

    hint: str


class Strict(BaseModel):
    """A mapping in a user's file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _tell_unknown_keys(cls, value: Any) -> Any:
        known = cls.model_fields
        if isinstance(value, Mapping):
            return {
                str(key): one if key in known else _Unknown(near_misses(str(key), known))
                for key, one in value.items()
            }
        if not isinstance(value, cls):
            raise PydanticCustomError(
                "mapping",
                "expected keys and values ({keys}), found {found}",
                {"keys": ", ".join(list(cls.model_fields)[:8]), "found": shown(value)},
            )
        return value


def shown(value: object) -> str:
    """Return a value as an error message shows it: as in YAML, cut to a readable length."""
    for written, one in (("nothing", None), ("true", True), ("false", False)):
        if value is one:
            return written
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


SPREADS = (("median", "p95"), ("min", "max"))
"""The keys of an uncertain size, each pair together."""


def _plain(kind: str, message: str, value: object) -> PydanticCustomError:
    text = "{message}, found {found}"
    if isinstance(value, Mapping) and any(key in value for pair in SPREADS for key in pair):
        text += "; only sizes of items, outputs, prompts, reads and turns may be uncertain"
    return PydanticCustomError(kind, text, {"message": message, "found": shown(value)})


def _check_tokens(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        raise _plain("tokens", "expected a whole number of tokens, 0 or more (such as 5000)", value)
    return value


def _check_count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
        raise _plain("count", "expected a whole number from 0 to 1,000,000", value)
    return value


def _check_times(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TIMES:
        message = f"expected a whole number from 1 (only the first time) to {MAX_TIMES}"
        raise _plain("times", message, value)
    return value


def _check_probability(value: Any) -> float:
    try:
        return _check_frac(value)
    except PydanticCustomError:
        message = "expected a probability from 0 to 100%, such as 40% or 0.4"
        raise _plain("probability", message, value) from None


def _check_seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise _plain("seconds", "expected a number of seconds, 0 or more", value)
    return float(value)


def _check_weight(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise _plain("weight", "expected a number above 0", value)
    return float(value)


def _check_name(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > 200:
        raise _plain("name", "expected a name of 1 to 200 characters", value)
    if "/" in value or not all(map(_is_fit_for_names, value)):
        raise _plain("name", "expected a name without '/' or control characters", value)
    return value


def _is_fit_for_names(char: str) -> bool:
    """Return True for what people write; the joiners belong to Persian, Hindi and emoji."""
    return char.isprintable() or char in "\u200c\u200d" or category(char) == "Zs"


def _check_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _plain("flag", "expected true or false", value)
    return value


def _check_param(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise _plain("param", "expected a number, text, true or false", value)
    return value


def _check_text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _plain("text", "expected text", value)
    return value


_PERCENT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%\s*(?:of\s+([a-z_]+)\s*)?")
_BELOW = re.compile(r"\s*([0-9][0-9_,]{0,18})\s+below\s+([a-z_]+)\s*")
_LIMIT_HELP = (
    "expected tokens (7500), a share ('75%', '30% of window', 0.75), a distance "
    "('13000 below hard_limit') or {smaller_of: [...]}"
)


def _check_frac(value: Any) -> float:
    """Read a fraction: `75%` or 0.75."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    share = float(match[1]) / 100 if match and not match[2] else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise _plain("frac", "expected a share such as 75% or 0.75", value)
    return float(share)


def _parse_limit(default: Base) -> Callable[[Any], Limit]:
    """Return the reader of limits whose plain shares are of `default`."""

    def parse(value: Any) -> Limit:
        if isinstance(value, Limit):
            return value
        if isinstance(value, Mapping):
            return _smallest(value, parse)
        if isinstance(value, int) and not isinstance(value, bool):
            return Limit(tokens=_check_tokens(value), of=default)
        if isinstance(value, float) and 0 < value < 1:
            return Limit(share_frac=value, of=default)
        if isinstance(value, str):
            if match := _PERCENT.fullmatch(value):
                return Limit(share_frac=float(match[1]) / 100, of=_base(match[2], default, value))
            if match := _BELOW.fullmatch(value):
                distance = int(re.sub("[_,]", "", match[1]))
                return Limit(below_tokens=distance, of=_base(match[2], default, value))
        raise _plain("limit", _LIMIT_HELP, value)

    return parse


def _base(name: str | None, default: Base, value: object) -> Base:
    if name is None:
        return default
    known = [base for base in Base if base is not Base.BUDGET or default is Base.BUDGET]
    if name not in known:  # a budget cannot be a share of itself
        raise _plain("limit", f"expected a share of {', '.join(known)}", value)
    return Base(name)


def _smallest(value: Mapping[str, Any], parse: Callable[[Any], Limit]) -> Limit:
    parts = value.get("smaller_of")
    if set(value) != {"smaller_of"} or not isinstance(parts, list) or not parts:
        raise _plain("limit", _LIMIT_HELP, value)
    limits = [parse(part) for part in parts]
    amounts = [one.tokens for one in limits if one.tokens is not None]
    others = [one for one in limits if one.share_frac is not None or one.below_tokens is not None]
    if len(others) > 1:
        raise _plain("limit", "expected at most one share or distance in smaller_of", value)
    rest = others[0] if others else limits[0]
    return replace(rest, tokens=min(amounts, default=None))


_LIMIT_SCHEMA = {
    "description": "Tokens, a share of a base, a distance below one, or the smallest of several.",
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": r"^\s*[0-9.]+\s*%(\s*of\s+(window|hard_limit|budget))?\s*$"},
        {"type": "string", "pattern": r"^\s*[0-9_,]+\s+below\s+(window|hard_limit|budget)\s*$"},
        {
            "type": "object",
            "properties": {
                "smaller_of": {
                    "type": "array",
                    "minItems": 1,
                    "description": "Limits of which the smallest counts.",
                }
            },
            "required": ["smaller_of"],
            "additionalProperties": False,
        },
    ],
}
_FRAC_SCHEMA = {
    "description": "A share: 75% or 0.75.",
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"},
    ],
}
_NAME_SCHEMA = {"type": ["string", "integer", "number"], "description": "A name without '/'."}
_TEXT_SCHEMA = {"type": ["string", "integer", "number"]}
_PARAM_SCHEMA = {"type": ["string", "integer", "number", "boolean"]}

_WHOLE_SCHEMA = {"type": "integer", "minimum": 0}
_SOME_SCHEMA = {"type": "integer", "minimum": 1}

Tokens = Annotated[int, BeforeValidator(_check_tokens), WithJsonSchema(_WHOLE_SCHEMA)]
Count = Annotated[int, BeforeValidator(_check_count), WithJsonSchema(_WHOLE_SCHEMA)]
SomeTokens = Annotated[
    int, Field(ge=1), BeforeValidator(_check_tokens), WithJsonSchema(_SOME_SCHEMA)
]
SomeCount = Annotated[int, Field(ge=1), BeforeValidator(_check_count), WithJsonSchema(_SOME_SCHEMA)]
Seconds = Annotated[
    float, BeforeValidator(_check_seconds), WithJsonSchema({"type": "number", "minimum": 0})
]
Weight = Annotated[
    float, BeforeValidator(_check_weight), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
Flag = Annotated[bool, BeforeValidator(_check_flag)]
Param = Annotated[
    bool | int | float | str, BeforeValidator(_check_param), WithJsonSchema(_PARAM_SCHEMA)
]
Name = Annotated[str, BeforeValidator(_check_name), WithJsonSchema(_NAME_SCHEMA)]
Text = Annotated[str, BeforeValidator(_check_text), WithJsonSchema(_TEXT_SCHEMA)]
Frac = Annotated[float, BeforeValidator(_check_frac), WithJsonSchema(_FRAC_SCHEMA)]
Probability = Annotated[float, BeforeValidator(_check_probability), WithJsonSchema(_FRAC_SCHEMA)]
Times = Annotated[
    int,
    BeforeValidator(_check_times),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_TIMES}),
]
ShareOfBudget = Annotated[
    Limit, BeforeValidator(_parse_limit(Base.BUDGET)), WithJsonSchema(_LIMIT_SCHEMA)
]
ShareOfWindow = Annotated[
    Limit, BeforeValidator(_parse_limit(Base.WINDOW)), WithJsonSchema(_LIMIT_SCHEMA)
]


class WrongFileError(ConfigError):
    """A file is wrong, perhaps in several places; the message tells of the first, and counts them.

    Attributes:
        problems: each as an error of its own, the first included.
    """

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(
            _first_of([one.message for one in problems]),
            path=first.path,
            line=first.line,
            location=first.location,
        )


M = TypeVar("M", bound=Strict)


def validated(model: type[M], document: Document) -> M:
    """Return a document as a model.

    Raises:
        WrongFileError: names the file, the line, the key, what was found and what is allowed.
    """
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        raise WrongFileError(_problems(error, document)) from None


def budget_option(text: str, option: str) -> Limit:
    """Return the limit that an option's text says: as in a file, or with k or M for thousands.

    Raises:
        ConfigError: the text says no limit.
    """
    value: Any = _number(text)
    try:
        return _parse_limit(Base.WINDOW)(text if value is None else value)
    except PydanticCustomError as error:
        raise ConfigError(error.message(), location=(option,)) from None


def tokens_option(text: str, option: str) -> int:
    """Return the tokens that an option's text says: 200000 or 200k, at least 1.

    Raises:
        ConfigError: the text says no number of tokens.
    """
    value = _number(text)
    if not isinstance(value, int) or not 1 <= value <= MAX_TOKENS:
        raise ConfigError(
            f"expected a number of tokens such as 200000 or 200k, found {shown(text)}",
            location=(option,),
        )
    return value


def _number(text: str) -> int | float | None:
    """Return the number that a text says, or None."""
    match = re.fullmatch(r"([0-9][0-9_]{0,18}|[0-9]{0,9}\.[0-9]{1,9})([kKmM]?)", text.strip())
    if match is None:
        return None
    scale = {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
    if "." in match[1]:
        return float(match[1]) if scale == 1 else round(float(match[1]) * scale)
    return int(match[1].replace("_", "")) * scale


def first_problem(error: ValidationError) -> tuple[Location, str]:
    """Return where the first problem is, and what it is and how many more there are."""
    found = _problems(error)
    return found[0].location, _first_of([one.message for one in found])


def _first_of(messages: Sequence[str]) -> str:
    more = len(messages) - 1
    return f"{messages[0]} (and {more} more problem{'s' * (more > 1)})" if more else messages[0]


def _problems(error: ValidationError, document: Document | None = None) -> list[ConfigError]:
    """Return all that pydantic found, from the top of a document to its end.

    What is missing comes last: its key may be there, misspelt.
    """
    found = error.errors(include_url=False, include_input=True)
    told = [(one, _problem(one, document)) for one in found if not _is_an_echo(one)]
    told.sort(key=lambda pair: (pair[0]["type"] == "missing", pair[1].line or 0))
    return [one for _, one in told]


def _problem(found: ErrorDetails, document: Document | None) -> ConfigError:
    location = tuple(step for step in found["loc"] if step not in TAGS)
    if found["type"] != "missing":
        if document is not None:  # a shorthand was expanded
            location = document.within(location)
        location = (*location, *found.get("ctx", {}).get("below", ()))
    message = _in_our_words(found)
    if document is None:
        return ConfigError(message, location=location)
    line = document.line_of(location)
    return ConfigError(message, path=document.path, line=line, location=location)


def _is_an_echo(problem: ErrorDetails) -> bool:
    """Return True for a list that is too short only because pydantic left wrong elements out."""
    return problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]


def _in_our_words(problem: ErrorDetails) -> str:
    """Return what is wrong, what was found and what is allowed."""
    kind, ctx = problem["type"], problem.get("ctx", {})
    if kind == "missing":
        return "is required and missing; add it"
    if kind == _UNKNOWN_KEY:
        return f"unknown key; {problem['input'].hint}"
    if kind not in _PYDANTIC_OWN:
        return problem["msg"]
    return f"{_PYDANTIC_OWN[kind].format(**ctx)}, found {shown(problem['input'])}"


_UNKNOWN_KEY = "extra_forbidden"
"""What pydantic calls a key that a model does not have."""

TAGS = ("<name>", "<inline>")
"""Marks that pydantic puts into a location for a value that may be a name or a mapping."""

_PYDANTIC_OWN = {
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "dict_type": "expected keys and values",
    "too_short": "expected a list of {min_length} or more",
    "greater_than_equal": "expected {ge} or more",
    "enum": "expected {expected}",
}
"""Messages of pydantic's own checks, in the words of our own."""
