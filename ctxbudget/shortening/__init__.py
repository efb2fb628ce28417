"""Shorter forms of texts: snips, digests, summaries, and texts without what stands elsewhere."""
