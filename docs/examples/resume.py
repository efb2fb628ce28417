"""A run that is taken up again where its journal ends."""

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from ctxbudget import Run

clock = count().__next__

with TemporaryDirectory() as folder:
    journal = Path(folder) / "run.jsonl"
    run = Run.open(window_tokens=30_000, counter="o200k_base", journal=journal, clock=clock)
    phase = run.phase("work")
    phase.user("Count the tests.")
    phase.tool_call("shell", {"command": "pytest --co -q"}, call_id="c1")
    run.close()  # or the process is killed

    with journal.open("a") as file:
        file.write('{"fact":"item_added","at":9')  # a line that a crash cut off

    run = Run.resume(journal, counter="o200k_base", clock=clock)  # the plan is in the journal
    print(run.dropped)
    phase = run.phase("work")  # still open, so this goes on with it
    phase.tool_result("c1", "184 tests collected")
    print(phase.prompt().text())
    phase.finish()
    print(run.finish().run.calls, "call")
