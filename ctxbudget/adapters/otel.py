"""Tells OpenTelemetry how full prompts are, what is pruned and what it costs.

    from ctxbudget import Run
    from ctxbudget.adapters.otel import OtelListener

    run = Run.open(model="claude-sonnet-5-5", listeners=[OtelListener()])

Names are our own (`ctxbudget.*`): the client that makes the calls reports their usage itself, and
nothing is counted twice. Levels and prunes are events of the span that is current; where there is
none, each gets a span of its own.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from ctxbudget._version import __version__
from ctxbudget.core.events import (
    AgentStarted,
    CallAnswered,
    CallSent,
    Event,
    Pruned,
    RunStarted,
    Told,
)
from ctxbudget.core.pricing import used_usd
from ctxbudget.core.types import Price, Scale

Attributes: TypeAlias = dict[str, str | int | float]

_TOKEN_BUCKETS: Final = tuple(float(2**power) for power in range(10, 21))
"""1,024 to 1,048,576: from a small prompt to the largest windows."""


class OtelListener:
    """A listener of a run.

    Args:
        meter_provider, tracer_provider: the global ones unless given.
        conversation_id: what spans of the host call the conversation, if they do.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        *,
        conversation_id: str | None = None,
    ) -> None:
        meter = metrics.get_meter("ctxbudget", __version__, meter_provider)
        self._tracer = trace.get_tracer("ctxbudget", __version__, tracer_provider)
        self._prompts = meter.create_histogram(
            "ctxbudget.context.tokens",
            unit="{token}",
            description="Size of each prompt that was sent.",
            explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS,
        )
        self._utilization = meter.create_gauge(
            "ctxbudget.context.utilization",
            unit="1",
            description="Share of the context window that the last prompt took.",
        )
        self._pruned = meter.create_counter(
            "ctxbudget.tokens.pruned",
            unit="{token}",
            description="What left prompts, less what stands in for it.",
        )
        self._cost = meter.create_counter(
            "ctxbudget.cost.usd", unit="{USD}", description="What the answered calls cost."
        )
        self._always: Attributes = {}
        if conversation_id is not None:
            self._always["gen_ai.conversation.id"] = conversation_id
        self._scales: dict[str, Scale] = {}
        self._prices: dict[str, Price] = {}
        self._models: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted():
                self._scales[""] = event.scale
                self._prices = dict(event.prices)
            case AgentStarted(scale=Scale() as scale):
                self._scales[event.thread] = scale
            case CallSent():
                self._sent(event)
            case CallAnswered():
                self._answered(event)
            case Told():
                self._told(event)
            case Pruned():
                self._removed(event)
            case _:
                pass

    def _attributes(self, thread: str) -> Attributes:
        found: Attributes = {**self._always, "ctxbudget.thread": thread}
        if model := self._models.get(thread):
            found["gen_ai.request.model"] = model
        return found

    def _sent(self, event: CallSent) -> None:
        self._models[event.thread] = event.model
        attributes = self._attributes(event.thread)
        self._prompts.record(event.tokens, attributes)
        scale = self._scales.get(event.thread) or self._scales.get("")
        if scale is not None:
            self._utilization.set(event.tokens / scale.window_tokens, attributes)

    def _answered(self, event: CallAnswered) -> None:
        price = self._prices.get(event.model)
        if price is not None:
            self._cost.add(float(used_usd(event, price)), self._attributes(event.thread))

    def _told(self, event: Told) -> None:
        self._say(
            "ctxbudget.threshold",
            {
                **self._attributes(event.thread),
                "ctxbudget.level": str(event.level),
                "ctxbudget.scope": event.scope,
                "ctxbudget.tokens": event.tokens,
                "ctxbudget.limit_tokens": event.limit_tokens,
            },
        )

    def _removed(self, event: Pruned) -> None:
        attributes = {
            **self._attributes(event.thread),
            "ctxbudget.rule": event.rule,
            "ctxbudget.operation": str(event.do),
        }
        self._pruned.add(max(0, event.net_tokens), attributes)
        numbers = {
            "ctxbudget.items": len(event.items),
            "ctxbudget.net_tokens": event.net_tokens,
            "ctxbudget.tokens": event.occupancy_tokens,
        }
        self._say("ctxbudget.pruned", {**attributes, **numbers})

    def _say(self, name: str, attributes: Attributes) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(name, attributes)
            return
        with self._tracer.start_as_current_span(name, attributes=attributes):
            pass
