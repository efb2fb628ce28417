"""Users' files: read safely, checked with pydantic, turned into core values."""
