"""Hosts: each module puts a run's budget into somebody else's agent loop.

`anthropic`, `langchain`, `pydantic_ai` and `openai_agents` send what the policy left of the host's
messages and leave the host's own history alone; `otel` tells OpenTelemetry what happens.
"""
