"""Tests of the listener for OpenTelemetry, with its SDK's exporters in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ctxbudget import Run, Usage
from ctxbudget.adapters.otel import OtelListener

MODEL = "claude-opus-5-5"


class Watched:
    """A listener and what its exporters hold."""

    def __init__(self, **more: Any) -> None:
        self.reader, self.spans = InMemoryMetricReader(), InMemorySpanExporter()
        self.data: MetricsData | None = None
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.listener = OtelListener(MeterProvider([self.reader]), self.tracers, **more)

    def points(self, name: str) -> list[tuple[Any, Mapping[str, Any]]]:
        """Return (value or sum, attributes) of each point of a metric, read once."""
        self.data = self.data or self.reader.get_metrics_data()
        if self.data is None:
            return []
        return [
            (getattr(point, "value", None) or getattr(point, "sum", None), point.attributes or {})
            for resource in self.data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def events(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the events of all spans that ended."""
        found = [event for span in self.spans.get_finished_spans() for event in span.events]
        return [(event.name, event.attributes or {}) for event in found]


class Chars:
    """Counts characters, exactly."""

    name = "characters"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text)


def work(watched: Watched, rounds: int = 12, model: str = MODEL) -> Run:
    run = Run.open(
        model=model,
        window_tokens=1_000,
        policy="none",
        counter=Chars(),
        listeners=[watched.listener],
    )
    run.user("GOAL")
    for number in range(rounds):
        run.tool_call("look", {}, call_id=f"c{number}")
        run.tool_result(f"c{number}", "x" * 200)
        run.prompt()
    return run


def test_the_size_of_prompts() -> None:
    watched = Watched(conversation_id="talk")
    run = work(watched, rounds=2)
    attributes = {
        "ctxbudget.thread": "main",
        "gen_ai.request.model": MODEL,
        "gen_ai.conversation.id": "talk",
    }
    first = sum(len(text) + 4 for text in ("GOAL", "look {}", "x" * 200))
    second = first + sum(len(text) + 4 for text in ("look {}", "x" * 200))
    assert run.occupancy_tokens == second
    assert watched.points("ctxbudget.context.tokens") == [(first + second, attributes)]
    assert watched.points("ctxbudget.context.utilization") == [(second / 1_000, attributes)]


def test_what_is_pruned_and_told() -> None:
    watched = Watched()
    with watched.tracers.get_tracer("host").start_as_current_span("step"):
        work(watched)
    [(pruned, attributes)] = watched.points("ctxbudget.tokens.pruned")
    assert (attributes["ctxbudget.rule"], attributes["ctxbudget.operation"]) == ("fit", "clear")
    events = watched.events()
    told = [found for name, found in events if name == "ctxbudget.threshold"]
    assert [one["ctxbudget.level"] for one in told][:3] == ["warn", "critical", "overflow"]
    assert told[2]["ctxbudget.tokens"] > told[2]["ctxbudget.limit_tokens"] == 1_000
    removed = [found for name, found in events if name == "ctxbudget.pruned"]
    assert sum(one["ctxbudget.net_tokens"] for one in removed) == pruned > 500
    assert [span.name for span in watched.spans.get_finished_spans()] == ["step"]


def test_without_a_current_span_each_event_has_its_own() -> None:
    watched = Watched()
    work(watched)
    names = {span.name for span in watched.spans.get_finished_spans()}
    assert names == {"ctxbudget.threshold", "ctxbudget.pruned"}
    assert not watched.events()


@pytest.mark.parametrize("model", [MODEL, "nobody-knows"])
def test_what_calls_cost(model: str) -> None:
    watched = Watched()
    run = work(watched, rounds=1, model=model)
    run.used(Usage(uncached_tokens=1_000, output_tokens=100, model=model))
    found = watched.points("ctxbudget.cost.usd")
    if model == MODEL:
        [(usd, attributes)] = found
        assert usd == pytest.approx(1_000 * 4e-6 + 100 * 20e-6)
        assert attributes["gen_ai.request.model"] == MODEL
    else:
        assert not found


def test_an_agents_window_is_its_own() -> None:
    watched = Watched()
    run = Run.open(window_tokens=1_000, counter=Chars(), listeners=[watched.listener])
    with run.phase("work") as phase, phase.agent("a") as agent:
        agent.user("x" * 96)
        agent.prompt()
    [(share, attributes)] = watched.points("ctxbudget.context.utilization")
    assert (share, attributes["ctxbudget.thread"]) == (0.1, "work/a")


def test_without_a_provider_nothing_is_told_and_nothing_fails() -> None:
    run = Run.open(window_tokens=1_000, listeners=[OtelListener()])
    run.user("hello")
    assert run.prompt().messages
