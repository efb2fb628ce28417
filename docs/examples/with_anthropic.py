"""The loop with Anthropic's client: answers in, prompts out, a refusal survived."""

import anthropic

from ctxbudget import AnthropicSummarizer, Run

MODEL = "claude-opus-5-5"
client = anthropic.Anthropic()  # key and URL from the environment
run = Run.open(
    model=MODEL,
    window_tokens=20_000,  # smaller than the model's, to see something happen
    policy="compact-at-threshold",
    summarize=AnthropicSummarizer(client, MODEL),
)
run.system("You are a careful engineer.")
run.tools([{"name": "read_file", "description": "Read a file.", "input_schema": {"type": "object"}}])

with run.phase("work") as work:
    work.user("Find where invoices are rounded.")
    for _ in range(40):
        prompt = work.prompt()
        try:
            answer = client.messages.create(model=MODEL, max_tokens=300, **prompt.anthropic())
        except anthropic.BadRequestError as error:
            work.rejected(error)  # prunes; an error that is no refusal is raised again
            prompt = work.prompt()
            answer = client.messages.create(model=MODEL, max_tokens=300, **prompt.anthropic())
        work.answered(answer)  # adds what the model wrote, learns from its usage
        for block in answer.content:
            if block.type == "tool_use":
                work.tool_result(block.id, f"# {block.input['path']}\n" + "x = round(total, 2)\n" * 80)
    kinds = {item.kind.value for item in work.items()}
    print("limit kept:", prompt.tokens <= prompt.limit_tokens)
    print("summaries in the prompt:", "summary" in kinds)
print("calls:", run.finish().run.calls)
