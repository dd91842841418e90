"""The test servers themselves: what other tests rely on is shown here to be so.

Each file tests the module of `tests.servers` that it is named after.
"""
