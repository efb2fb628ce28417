"""What became of a run, held to limits, or to another run."""
