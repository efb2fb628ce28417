"""Recorded agent sessions: their formats, the calls they tell of, and what these cost."""
