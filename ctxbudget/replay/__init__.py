"""What-if: a recorded run under another policy, what it would have cost and what it would have lost.

No model is called. The replay is open-loop: what the recorded model did is taken as given, so it
cannot tell what the model would have done with another prompt.
"""

from __future__ import annotations

from ctxbudget.replay.recorded_run import RecordedRun, recorded_run
from ctxbudget.replay.what_if import Settings, WhatIf, what_if

__all__ = ["RecordedRun", "Settings", "WhatIf", "recorded_run", "what_if"]
