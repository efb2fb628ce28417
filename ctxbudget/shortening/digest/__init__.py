"""Digests: what an artifact or a tool result was, and its identifiers verbatim, in few tokens."""

from __future__ import annotations

from ctxbudget.shortening.digest.packing import DIGEST_TOKENS, digest

__all__ = ["DIGEST_TOKENS", "digest"]
