"""The embedded server: one a directory, shared by processes, ended by nobody's death.

- `servers`: makes servers in directories of a test, reaches them, and ends them by force.
"""
