"""The store for asyncio; file by file the twin of ``redisstore.sync`` (see ``tools/async_twin.py``)."""
