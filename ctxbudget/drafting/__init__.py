"""Recorded sessions as drafts of workflow files: what was done once can then be simulated.

`steps` reads what each call of a session brought, `work` says what kind of work it was, `spans`
cuts the session into phases, `fitting` finds sizes under which the simulation sends what was sent,
and `as_yaml` writes them down.
"""

from ctxbudget.drafting.as_yaml import as_data, as_yaml
from ctxbudget.drafting.draft import Draft, Recorded, drafted
from ctxbudget.drafting.spans import Cut
from ctxbudget.drafting.steps import Step, steps_of

__all__ = ["Cut", "Draft", "Recorded", "Step", "as_data", "as_yaml", "drafted", "steps_of"]
