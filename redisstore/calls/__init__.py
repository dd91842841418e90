"""The operations as values: pure functions that say which script to call with what.

Nothing here does I/O or knows redis-py. A function that takes several calls (a sweep) is a
generator of ``Ask`` steps, which the two stores drive.
"""
