"""``python -m redisstore``: the command line."""

from redisstore.cli import main

if __name__ == "__main__":
    main()
