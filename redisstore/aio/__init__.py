"""The store for asyncio, with the names and files of ``redisstore.sync``.

`make twins` writes the operations from those, and says so in their first lines. Runner, base, turns
and holds in progress, and the maintenance are by hand.
"""
