"""The loop with Anthropic's client: answers in, prompts out, a refusal survived."""

import anthropic
from anthropic.types import Message

from ctxbudget import AnthropicSummarizer, Prompt, Run

MODEL = "claude-opus-5-5"
READ_FILE = {
    "name": "read_file",
    "description": "Read a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}

client = anthropic.Anthropic()  # key and URL from the environment


def send(prompt: Prompt) -> Message:
    """Return what the model answers."""
    answer: Message = client.messages.create(model=MODEL, max_tokens=300, **prompt.anthropic())
    return answer


run = Run.open(
    model=MODEL,
    window_tokens=20_000,  # smaller than the model's, to see something happen
    reserve_tokens=300,  # as much as an answer may take
    policy="compact-at-threshold",
    summarize=AnthropicSummarizer(client, MODEL),
)
run.system("You are a careful engineer.")
run.tools([READ_FILE])

with run.phase("work") as work:
    work.user("Find where invoices are rounded.")
    for _ in range(40):
        prompt = work.prompt()
        try:
            answer = send(prompt)
        except anthropic.BadRequestError as error:
            work.rejected(error)  # prunes; an error that is no such refusal raises an AdapterError
            answer = send(work.prompt())
        work.answered(answer)  # adds what the model wrote, learns from its usage
        for block in answer.content:
            if block.type == "tool_use":
                text = f"# {block.input['path']}\n" + "x = round(total, 2)\n" * 80
                work.tool_result(block.id, text)
    kinds = {item.kind.value for item in work.items()}
    print("limit kept:", prompt.tokens <= prompt.limit_tokens)
    print("summaries in the prompt:", "summary" in kinds)
print("calls:", run.finish().run.calls)
