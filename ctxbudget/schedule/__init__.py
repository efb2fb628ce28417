"""The order of phases that keeps the main thread's peak lowest.

`loads` measures each phase alone with the engine, `search` orders these numbers without it, and
`proposal` has the engine play what was found.
"""
