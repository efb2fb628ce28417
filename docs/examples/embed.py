"""A run inside an orchestrator: phases, agents, a prompt that fits, a report after each phase."""

from itertools import count

from ctxbudget import Run, Told


def model(prompt):
    """Stand in for a model: read files until the prompt holds five results, then report."""
    results = sum(block["type"] == "tool_result" for m in prompt.messages for block in m["content"])
    return None if results >= 5 else f"src/auth/part_{results}.py"


def tell(event):
    if isinstance(event, Told):
        print(f"  {event.level}: {event.tokens:,} tokens, limit {event.limit_tokens:,}")


def investigate(agent):
    agent.user(f"Find out how {agent.thread} works and report.")
    for number in count():
        path = model(agent.prompt())  # here you would call your provider
        if path is None:
            return f"# {agent.thread}\n\n- Finding: tokens are checked in src/auth/part_0.py\n"
        agent.tool_call("read_file", {"path": path}, call_id=f"call-{number}")
        agent.tool_result(f"call-{number}", f"def check_{number}(token): ...\n" * 60, source=path)


run = Run.open(
    window_tokens=20_000,
    budget=6_000,
    phases=["research", "plan"],
    policy="aggressive",
    counter="o200k_base",
    listeners=[tell],
    clock=count().__next__,
)
run.system("You build login for a small web shop.")

with run.phase("research") as research:
    research.wave("oauth", "sessions")  # announced together, so neither is "earlier" than the other
    for name in ("oauth", "sessions"):
        with research.agent(name) as agent:
            report = investigate(agent)
            agent.deliver(report * 40, title=f"How {name} works", path=f"reports/{name}.md")
print(research.report())

with run.phase("plan") as plan:
    plan.user("Plan the change.")
    prompt = plan.prompt()
    print(f"\nprompt of {prompt.tokens:,} tokens, problems: {prompt.problems()}")
    plan.deliver("1. Add refresh tokens.\n2. Test them.\n", title="Plan")

print()
print(run.finish())
