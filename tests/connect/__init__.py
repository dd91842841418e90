"""From a URL, or a client that the user made, to what the stores talk through.

- `login`: a password that only a correct quoting survives;
- `connections`: configurations, and what is asked of the connections made from them;
- `crowd`: more callers than connections.
"""
