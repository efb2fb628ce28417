"""The odds of a workflow whose sizes nobody knows yet: many runs of it, and what they come to."""
