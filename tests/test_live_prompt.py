"""A prompt in each provider's shape, with its cache marks; the real client sends it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from messages_server import MessagesServer, units_of

from ctxbudget import CacheMarks, Run
from ctxbudget.core.errors import AdapterError, ConfigError
from ctxbudget.live.pieces import pieces_of
from ctxbudget.live.prompt import Prompt

MODEL = "claude-opus-5-5"
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
IMAGE = {"type": "image", "source": PNG}
THINKING = {"type": "thinking", "thinking": "Hmm.", "signature": "s"}
TOOL = {"name": "read", "description": "Reads.", "input_schema": {"type": "object"}}
HOUR = {"type": "ephemeral", "ttl": "1h"}
MINUTES = {"type": "ephemeral", "ttl": "5m"}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def call(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": name, "name": "read", "input": {"p": 1}, **more}


def result(name: str, content: Any = "found", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": name, "content": content, **more}


def said(*turns: list[Any]) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]


def prompt(messages: list[dict[str, Any]], **more: Any) -> Prompt:
    known: dict[str, Any] = {
        "thread": "main", "call": 1, "model": MODEL, "tokens": 1, "limit_tokens": 9,
        "tools": [], "system": [], "messages": messages,
    }  # fmt: skip
    return Prompt(**(known | more))


def opened(**options: Any) -> Run:
    known: dict[str, Any] = {"model": MODEL, "counter": "chars", "clock": lambda: 0.0}
    return Run.open(**(known | options))


@pytest.fixture(scope="module")
def server() -> Iterator[MessagesServer]:
    with MessagesServer(keep_requests=1) as running:
        yield running


def sent(server: MessagesServer, ready: Prompt) -> anthropic.types.Message:
    assert ready.problems() == []
    answer = server.client().messages.create(model=MODEL, max_tokens=9, **ready.anthropic())
    assert isinstance(answer, anthropic.types.Message)
    return answer


def marks_of(request: dict[str, Any]) -> list[str]:
    """Return the lifetimes of a request's marks, in order, as the server reads them."""
    return [ttl for unit in units_of(request) for ttl in unit.ttls]


# ---- cache marks

MESSAGES = said([text("a"), text("b")], [THINKING, call("c")], [result("c")], [text("d"), THINKING])


def test_marks_stand_behind_the_head_and_the_messages_named() -> None:
    ready = prompt(
        MESSAGES,
        tools=[TOOL],
        system=[text("s"), text("t")],
        marked_messages=(0, 2, 3),
        marks_head=True,
        marks=CacheMarks(),
    )
    before = copy.deepcopy(MESSAGES)
    assert ready.anthropic() == {
        "tools": [TOOL],
        "system": [text("s"), text("t", cache_control=HOUR)],
        "messages": said(
            [text("a"), text("b", cache_control=MINUTES)],
            [THINKING, call("c")],
            [result("c", cache_control=MINUTES)],
            [text("d", cache_control=MINUTES), THINKING],  # thinking takes none
        ),
    }
    assert before == MESSAGES
    assert ready.messages[1] is ready.anthropic()["messages"][1]


def test_a_mark_on_tools_alone() -> None:
    ready = prompt(MESSAGES, tools=[TOOL, TOOL], marks_head=True, marks=CacheMarks(head="5m"))
    assert ready.anthropic() == {
        "tools": [TOOL, {**TOOL, "cache_control": MINUTES}],
        "messages": MESSAGES,
    }


@pytest.mark.parametrize(
    "more",
    [
        {"marks": None, "marks_head": True, "marked_messages": (0,)},
        {"marks": CacheMarks(), "marks_head": False},
    ],
)
def test_no_marks(more: dict[str, Any]) -> None:
    ready = prompt(MESSAGES, system=[text("s")], **more)
    assert ready.anthropic() == {"system": [text("s")], "messages": MESSAGES}


def test_a_message_of_thinking_alone_takes_no_mark() -> None:
    messages = said([text("a")], [THINKING])
    ready = prompt(messages, marked_messages=(1,), marks=CacheMarks())
    assert ready.anthropic() == {"messages": messages}


def test_a_long_lifetime_cannot_stand_behind_a_short_one() -> None:
    with pytest.raises(ConfigError, match="1h"):
        CacheMarks(head="5m", rest="1h")
    assert CacheMarks(head="1h", rest="1h").rest == "1h"


def test_what_is_too_short_for_the_cache_is_not_marked() -> None:
    """The model caches from 512 tokens on; four characters are 1.5 tokens."""
    with opened() as run:
        run.system("Be short. " * 20)
        run.user("go " * 100)
        assert marks_of(run.prompt().anthropic()) == []
        run.user("go " * 600)
        assert marks_of(run.prompt().anthropic()) == ["5m"]
        run.system("Be short. " * 200)
        assert marks_of(run.prompt().anthropic())[0] == "1h"


def test_other_models_and_those_who_want_none_get_no_marks() -> None:
    for options in ({"model": "gpt-4o"}, {"marks": None}):
        with opened(**options) as run:
            run.system("Be short. " * 1000)
            run.user("go")
            assert marks_of(run.prompt().anthropic()) == []


def test_a_prompt_goes_on_where_the_cache_ends(server: MessagesServer) -> None:
    """All that a call carried is read by the next; the server counts by four characters."""
    server.clear_cache()
    with opened() as run:
        run.tools([TOOL])
        run.system("Be short. " * 500)
        run.user("go " * 100)
        carried_tokens = 0
        for number in range(12):
            ready = run.prompt()
            assert len(marks_of(ready.anthropic())) <= 4
            used = sent(server, ready).usage
            assert used.cache_read_input_tokens == carried_tokens
            carried_tokens += used.cache_creation_input_tokens or 0
            assert used.input_tokens == 0
            names = [f"c{number}.{one}" for one in range(12)]
            run.assistant([text("I read."), *(call(name) for name in names)])
            for name in names:
                run.tool_result(name, "found " * 20)
            run.user("What next?")


def test_a_prompt_that_is_counted_first_goes_on_too(server: MessagesServer) -> None:
    """The prompt that is counted is not one that is sent, so it moves no mark."""

    def counted(ready: Prompt) -> int:
        return server.prompt_tokens(ready.anthropic())

    server.clear_cache()
    with opened(count_prompt=counted) as run:
        run.user("go " * 1000)
        carried_tokens = 0
        for number in range(3):
            used = sent(server, run.prompt()).usage
            assert used.cache_read_input_tokens == carried_tokens
            carried_tokens += used.cache_creation_input_tokens or 0
            for one in range(15):
                run.assistant(f"answer {number} {one}")
                run.user(f"question {number} {one}")


# ---- what could be refused


def test_texts_that_the_client_could_not_encode(server: MessagesServer) -> None:
    """A surrogate that stands alone is not UTF-8."""
    with opened(phases=["p"]) as run:
        run.system("Be \ud800.")
        run.user("go \udfff")
        run.assistant([text("\ud83d"), {**call("c"), "input": {"q\ud800": ["\ud800"]}}])
        run.tool_result("c", [text("\ud800")])
        with run.phase("p") as phase:
            phase.deliver("\ud800", title="\ud800")
            sent(server, run.prompt())


@pytest.mark.parametrize("text", ["", " "])
def test_an_output_that_is_empty_is_refused_and_the_run_goes_on(
    server: MessagesServer, text: str
) -> None:
    with opened(phases=["p"]) as run:
        run.user("go")
        with run.phase("p") as phase:
            with pytest.raises(AdapterError, match="needs a text"):
                phase.deliver(text)
            sent(server, run.prompt())


def test_marks_and_empty_texts_of_the_host_are_left_out(server: MessagesServer) -> None:
    with opened() as run:
        mark = {"cache_control": MINUTES}
        run.user([text("go " * 2000, **mark)] * 3)
        run.assistant([call("c", **mark)])
        run.messages(said([result("c", [text("a", **mark), text("", **mark)], **mark)]))
        ready = run.prompt()
        assert marks_of(ready.anthropic()) == ["5m"]
        sent(server, ready)


def test_a_run_that_prunes_is_taken_at_each_call(server: MessagesServer) -> None:
    """Six random walks of thirty calls each, through a window of 4,000 tokens."""
    for seed in range(6):
        policy = ("compact-at-threshold", "aggressive", "moderate", "minimal", "masking", "none")[
            seed
        ]
        walk(server, policy, random.Random(seed))  # noqa: S311 - chance is meant to repeat


def walk(server: MessagesServer, policy: str, chance: random.Random) -> None:
    with opened(window_tokens=4_000, policy=policy, phases=["p"]) as run, run.phase("p") as phase:
        run.system("Be short.")
        run.tools([TOOL])
        run.register("rules", "Mind the gap.", activated_by="read")
        run.user("the goal")
        late: list[str] = []
        for number in range(30):
            ready = phase.prompt()
            assert len(marks_of(ready.anthropic())) <= 4
            sent(server, ready)
            names = [f"c{number}.{one}" for one in range(chance.randrange(4))]
            phase.answered({"content": [text("I go on."), *(call(name) for name in names)]})
            names += late
            late = [name for name in names if chance.random() < 0.2]
            chance.shuffle(names)
            for name in names:
                if name not in late:
                    phase.tool_result(name, "line of a file\n" * chance.randrange(40))
            if chance.random() < 0.3:
                phase.user(f"question {number}")
            if chance.random() < 0.2:
                phase.system(f"rule {number}")
            if chance.random() < 0.2:
                with phase.agent(f"a{number}") as agent:
                    agent.user("look")
                    sent(server, agent.prompt())
                    agent.deliver("report " * chance.randrange(1, 60), title="T")


# ---- other shapes


def test_the_shape_of_chat_completions() -> None:
    messages = said(
        [text("go"), text("now")],
        [THINKING, text("I read."), call("c"), call("d")],
        [result("c", [text("x"), text("y")]), result("d"), text("on")],
        [text("Done.")],
        [text("look"), IMAGE],
    )
    ready = prompt(messages, tools=[TOOL], system=[text("s"), text("t")])
    function = {"name": "read", "arguments": '{"p":1}'}
    assert ready.openai() == [
        {"role": "system", "content": "s\n\nt"},
        {"role": "user", "content": "go\n\nnow"},
        {
            "role": "assistant",
            "content": "I read.",
            "tool_calls": [
                {"id": "c", "type": "function", "function": function},
                {"id": "d", "type": "function", "function": function},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x\ny"},
        {"role": "tool", "tool_call_id": "d", "content": "found"},
        {"role": "user", "content": "on"},
        {"role": "assistant", "content": "Done."},
        {
            "role": "user",
            "content": [
                text("look"),
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
                },
            ],
        },
    ]
    assert ready.openai_tools() == [
        {
            "type": "function",
            "function": {
                "name": "read",
                "description": "Reads.",
                "parameters": {"type": "object"},
            },
        }
    ]


def test_an_image_inside_a_result_is_shown_behind_it() -> None:
    """A tool's message takes texts alone."""
    messages = said([text("go")], [call("c")], [result("c", [text("x"), IMAGE])])
    tool, shown = prompt(messages).openai()[-2:]
    assert (tool["role"], str(tool["content"]).strip()) == ("tool", "x")
    url = {"url": "data:image/png;base64,iVBORw0KGgo="}
    assert shown == {"role": "user", "content": [{"type": "image_url", "image_url": url}]}


def test_what_holds_only_thinking_is_no_message_elsewhere() -> None:
    messages = said([text("go")], [THINKING], [text("on")])
    assert [one["content"] for one in prompt(messages).openai()] == ["go", "on"]


def test_chat_completions_there_and_back() -> None:
    """What is read from that shape comes out in it again."""
    function = {"name": "read", "arguments": '{"p":1}'}
    image = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    chat: list[dict[str, Any]] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "found"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": [text("look"), image]},
    ]
    with opened(model="gpt-4o") as run:
        run.system(chat[0]["content"])
        run.messages(chat[1:])
        ready = run.prompt()
        assert ready.openai() == chat
        assert ready.anthropic()["messages"][-1]["content"][1]["type"] == "image"


def test_a_prompt_as_plain_text() -> None:
    messages = said([text("go")], [text("I read."), call("c")], [result("c")])
    assert prompt(messages, system=[text("s")]).text() == (
        'system: s\n\nuser: go\n\nassistant: I read.\n\nassistant: read {"p":1}\n\nuser: found'
    )


def test_a_prompt_says_why_it_would_be_refused() -> None:
    assert prompt(said([text("go")])).problems() == []
    assert prompt([]).problems() == ["there is no message; add one of the user's"]
    messages = [message for turn in (["a"], ["b"]) for message in said([text(turn[0])])]
    assert prompt(messages).problems() == []
    assert pieces_of(messages[0])[0].block == text("a")
