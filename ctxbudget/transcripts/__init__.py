"""Recorded sessions of other programs, as the facts that a live run would have brought.

A reader for each format yields exchanges; `facts` turns them into the records of a journal, whose
items have the sizes that the recorded usage shows.
"""
