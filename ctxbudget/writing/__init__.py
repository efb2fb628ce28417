"""Workflow files that the program writes: YAML with comments, sizes that are assumed, a first file.

Nothing is imported here, so that a command needs no more than the part that it uses.
"""
