"""The store for asyncio: file by file the twin of ``redisstore.sync``."""
