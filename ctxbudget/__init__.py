"""ctxbudget: a context budget engine for multi-phase LLM-agent workflows."""
