"""Numbers turned into text and JSON."""
