"""The format of policy files: the rule language as pydantic models, with params filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ctxbudget.config.document import Location
from ctxbudget.config.fields import (
    Count,
    Flag,
    Frac,
    Name,
    Param,
    ShareOfBudget,
    Strict,
    Text,
    Tokens,
    Weight,
    shown,
)
from ctxbudget.core.errors import near_misses
from ctxbudget.core.policy import By, Which
from ctxbudget.core.types import ONE_AT_A_TIME, Do, Form, Kind, Layer, Trigger

E = TypeVar("E", bound=StrEnum)


def _one_of(kind: type[E], among: Iterable[E] | None = None) -> Any:
    """Return the reader of one name out of an enumeration, or of some of its names."""
    known = tuple(kind if among is None else among)

    def parse(value: Any) -> E:
        if value not in known:
            raise PydanticCustomError(
                "one_of",
                "expected one of {known}, found {found}",
                {"known": ", ".join(known), "found": shown(value)},
            )
        return kind(value)

    return parse


def _some_of(kind: type[E]) -> Any:
    """Return the reader of one or several names out of an enumeration."""
    parse = _one_of(kind)

    def parse_all(value: Any) -> tuple[E, ...]:
        if value in ([], ()):  # would take nothing, or all; nobody means either
            raise PydanticCustomError(
                "one_of", "expected one or more of {known}, found []", {"known": ", ".join(kind)}
            )
        return tuple(map(parse, value if isinstance(value, list | tuple) else [value]))

    return parse_all


OF_ONE_ITEM = tuple(one for one in Do if one is Do.DROP or one in ONE_AT_A_TIME)
"""Operations that leave nothing, or a shorter form, of one item."""


def _one_schema(kind: type[StrEnum]) -> WithJsonSchema:
    return WithJsonSchema({"enum": list(kind)})


def _some_schema(kind: type[StrEnum]) -> WithJsonSchema:
    one = {"enum": list(kind)}
    return WithJsonSchema({"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]})


Layers = Annotated[tuple[Layer, ...], BeforeValidator(_some_of(Layer)), _some_schema(Layer)]
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_some_of(Kind)), _some_schema(Kind)]
Forms = Annotated[tuple[Form, ...], BeforeValidator(_some_of(Form)), _some_schema(Form)]
Triggers = Annotated[tuple[Trigger, ...], BeforeValidator(_some_of(Trigger)), _some_schema(Trigger)]
OneDo = Annotated[Do, BeforeValidator(_one_of(Do)), _one_schema(Do)]
ItemDo = Annotated[
    Do, BeforeValidator(_one_of(Do, OF_ONE_ITEM)), WithJsonSchema({"enum": list(OF_ONE_ITEM)})
]
OneBy = Annotated[By, BeforeValidator(_one_of(By)), _one_schema(By)]
OneWhich = Annotated[Which, BeforeValidator(_one_of(Which)), _one_schema(Which)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class SelectPart(Strict):
    """Which items a rule takes; every key that is given must hold. Pinned items never match."""

    layer: Layers = Field((), description="One layer or several.")
    kind: Kinds = Field((), description="One kind or several.")
    form: Forms = Field((), description="Forms to take; unless given, all longer than `do` leaves.")
    tool: Annotated[tuple[Text, ...], BeforeValidator(_as_list)] = Field(
        (), description="Names of tools."
    )
    min_tokens: Tokens = Field(0, description="Items of at least so many tokens.")
    ready: Flag | None = Field(None, description="Outputs whose worker has finished.")
    superseded: Flag | None = Field(None, description="A later item holds a newer copy.")
    phase: OneWhich | None = Field(None, description="Items of the current or of earlier phases.")
    phase_age: Count = Field(0, description="At least so many phases started since the item's.")
    wave: OneWhich | None = Field(
        None, description="Of the current or of earlier waves of the phase."
    )
    live: Flag | None = Field(None, description="Whether an unfinished phase depends on its phase.")
    age_calls: Count = Field(0, description="Carried by at least so many calls.")
    idle_calls: Count = Field(0, description="At least so many calls since it was last used.")
    keep_last: Count = Field(0, description="Leave so many of the newest.")
    keep_last_turns: Count = Field(0, description="Leave so many of the newest turns.")


class WhenPart(Strict):
    """When a rule acts; every key that is given must hold."""

    above: ShareOfBudget | None = Field(None, description="Occupancy is strictly above.")
    until: ShareOfBudget | None = Field(None, description="Stop at or below this occupancy.")
    min_items: Count = Field(1, description="At least so many items to take.")
    min_turns: Count = Field(0, description="At least so many turns to take.")
    min_gain_tokens: Tokens = Field(1, description="At least so many tokens gained.")
    every_calls: Count = Field(0, description="At most once in so many calls.")
    pays_off: Flag = Field(False, description="Only if saved reads outweigh the rewritten cache.")


class RulePart(Strict):
    """One line of a policy."""

    name: Name | None = Field(None, description="How reports call it.")
    on: Triggers = Field(description="The moments at which it is asked.")
    select: SelectPart = Field(default_factory=SelectPart, description="What it takes.")
    do: OneDo = Field(description="What becomes of it.")
    by: OneBy = Field(By.ITEM, description="What one stand-in replaces.")
    to: Tokens | None = Field(None, description="The most tokens that a stand-in may hold.")
    leave_metadata: Flag = Field(
        False, description="With summarize: ready outputs leave their metadata beside the summary."
    )
    when: WhenPart = Field(default_factory=WhenPart, description="Under which conditions.")
    why: Text = Field(description="The reason, shown with each prune.")

    @model_validator(mode="after")
    def _check_sense(self) -> RulePart:
        if self.do is Do.SUMMARIZE and self.to is None:
            raise PydanticCustomError("rule", "summarize needs `to`, the most tokens of a summary")
        if self.do is Do.SUMMARIZE and self.by is By.ITEM:
            raise PydanticCustomError("rule", "summarize needs `by`: turn, phase or all")
        if self.do in ONE_AT_A_TIME and self.by is not By.ITEM:
            raise PydanticCustomError("rule", "`by` goes with summarize and stub only")
        if self.leave_metadata and self.do is not Do.SUMMARIZE:
            raise PydanticCustomError("rule", "`leave_metadata` goes with summarize only")
        return self


class StayPart(Strict):
    """How long one sort of items stays without being used."""

    kind: Kinds = Field(description="One kind or several.")
    tool: Annotated[tuple[Text, ...], BeforeValidator(_as_list)] = Field(
        (), description="Names of tools; without, all that no line above names for the kind."
    )
    min_tokens: Tokens = Field(100, description="Items of at least so many tokens.")
    idle_calls: Count = Field(description="Calls without use after which it may go.")
    do: ItemDo = Field(Do.NAMES, description="What becomes of it then.")


class RentPart(Strict):
    """Lets go of what was not used for long, once its rent has outweighed the rewrite."""

    stays: tuple[StayPart, ...] = Field(
        min_length=1,
        description="An item belongs to the first line that fits; what fits none stays.",
    )
    times: Weight = Field(1.0, description="All `idle_calls` times this.")
    patience: Weight = Field(1.25, description="How often a rewrite is to be paid in rent before.")
    least_gain: Tokens = Field(1000, description="Tokens that a cut gains at least.")
    room: Frac = Field(
        0.15, description="Share of the budget that is freed beyond the need when it is exceeded."
    )
    dedupe: Flag = Field(
        True, description="Whether what stands behind a cut leaves out what a later item holds."
    )


class Bound(StrEnum):
    """What makes a policy a mark to compare with, which no live run can have."""

    NEVER_PRUNES = "never_prunes"
    KNOWS_THE_FUTURE = "knows_the_future"


_FILLED_IN = ("rules", "rent")
"""Where `$key` stands for a param."""


class PolicyFile(Strict):
    """An ordered list of rules, and perhaps what items may stay for."""

    name: Name = Field(description="What it is called.")
    about: Text = Field("", description="What it is for, in a sentence or two.")
    bound: Annotated[Bound, _one_of(Bound)] | None = Field(
        None,
        description=(
            "A mark to compare with, for which no limit holds: one that never prunes, or, in "
            "replays only, one that knows what will be used."
        ),
    )
    params: dict[str, Param] = Field(
        default_factory=dict, description="Values that rules name as `$key` and users may set."
    )
    rules: tuple[RulePart, ...] = Field((), description="Asked in this order.")
    rent: RentPart | None = Field(
        None, description="Asked after the rules: what goes when its rent has outweighed a rewrite."
    )

    @model_validator(mode="after")
    def _check_bound(self) -> PolicyFile:
        if self.bound is not None and (self.rules or self.rent is not None):
            raise PydanticCustomError(
                "rule", "a bound has neither rules nor rent; remove them, or `bound`"
            )
        return self

    @model_validator(mode="after")
    def _check_names(self) -> PolicyFile:
        names = [rule.name for rule in self.rules if rule.name is not None]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "rule", "two rules are called {name}; names must differ", {"name": shown(name)}
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _fill_in_params(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("params", {}), Mapping):
            return value
        return {
            key: _fill_in(one, value.get("params", {}), (key,)) if key in _FILLED_IN else one
            for key, one in value.items()
        }


def _fill_in(value: Any, params: Mapping[str, Any], at: Location) -> Any:
    """Return rules with each `$key` replaced by its param; `at` is where the value stands."""
    if isinstance(value, Mapping):
        return {key: _fill_in(one, params, (*at, key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill_in(one, params, (*at, number)) for number, one in enumerate(value)]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value[1:] not in params:
        raise PydanticCustomError(
            "param",
            "{found} names no param; {hint}",
            {
                "found": shown(value),
                "hint": near_misses(value[1:], map(str, params)),
                "below": at,
            },
        )
    return params[value[1:]]
