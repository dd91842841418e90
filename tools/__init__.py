"""Tools for those who work on redisstore; not part of the package."""
