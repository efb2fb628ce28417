"""Workflow files of other tools, as workflow files of ours.

`formats` tells which tool a file is of, a module per tool reads it into a `Plan`, and `as_workflow`
writes that down with comments, and says what could not be carried over.
"""

from ctxbudget.importing.as_workflow import as_data, as_yaml
from ctxbudget.importing.formats import FORMATS, recognized
from ctxbudget.importing.parts import Part
from ctxbudget.importing.plan import Format, Plan, Sizes

__all__ = ["FORMATS", "Format", "Part", "Plan", "Sizes", "as_data", "as_yaml", "recognized"]
