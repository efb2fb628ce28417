"""How many tokens something has: counted exactly, estimated, learned from reports, or asked of a provider."""
