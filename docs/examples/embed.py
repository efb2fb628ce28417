"""A run inside an orchestrator: phases, agents, a prompt that fits, a report after each phase."""

from itertools import count

from ctxbudget import Agent, Event, Run, Told

FILES = [f"src/auth/part_{number}.py" for number in range(5)]


def tell(event: Event) -> None:
    """Print each level that is crossed."""
    if isinstance(event, Told):
        print(f"{event.level} in {event.scope}: {event.tokens:,} tokens > {event.limit_tokens:,}")


def investigate(agent: Agent, topic: str) -> str:
    """Let an agent read file after file and return its report; a provider's call is left out."""
    agent.user(f"Find out how {topic} works and report.")
    for number, path in enumerate(FILES):
        agent.prompt()  # here you would send it, with `.anthropic()` or `.openai()`
        agent.tool_call("read_file", {"path": path}, call_id=f"call-{number}")
        agent.tool_result(f"call-{number}", "def check(token): ...\n" * 80, source=path)
    agent.prompt()
    pages = [f"## {path}\n\n" + "Read in full, nothing else to report.\n" * 12 for path in FILES]
    return f"- Finding: tokens never expire, see {FILES[0]}:41\n\n" + "\n".join(pages)


run = Run.open(
    window_tokens=20_000,
    budget=2_500,
    phases=["research", "plan"],
    policy="aggressive",
    listeners=[tell],
    counter="o200k_base",  # this and the clock only so that the numbers are always the same
    clock=count().__next__,
)
run.system("You build login for a small web shop.")

with run.phase("research") as research:
    research.wave("oauth", "sessions")  # announced together, so neither is given the other's report
    for name in ("oauth", "sessions"):
        with research.agent(name) as agent:
            report = investigate(agent, name)
            agent.deliver(report, title=f"How {name} works", path=f"reports/{name}.md")
print(research.report())

with run.phase("plan") as plan:
    plan.user("Plan the change.")
    prompt = plan.prompt()
    print(f"\nprompt of {prompt.tokens:,} tokens, problems: {prompt.problems()}")
    print(prompt.text())
    plan.deliver("1. Add refresh tokens.\n2. Test them.\n", title="Plan")

print()
print(run.finish())
