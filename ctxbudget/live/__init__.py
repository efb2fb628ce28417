"""The engine inside a running orchestrator: real text in, prompts that fit out."""
