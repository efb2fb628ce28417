"""Recall: what a policy's prompts no longer held when the recorded model used it.

A replay is open-loop: the model that is heard ran under the recorded prompts, whatever the policy
did. `Library` finds, once per session, what each call used of the items before it; a `Recall` per
policy listens to the policy's run and says which of these uses its prompts could still serve.
"""

from __future__ import annotations

from ctxbudget.recall.losses import Miss, Recall, Tally
from ctxbudget.recall.uses import Library, Use, Used, What, words

__all__ = ["Library", "Miss", "Recall", "Tally", "Use", "Used", "What", "words"]
