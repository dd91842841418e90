"""What each operation costs, in counts that do not wobble: exact, and held by a golden file.

- `sockets`: what passes between the client and the server: round trips, commands, bytes;
- `steps`: what the client does: functions of redisstore that it enters, instructions in them;
- `table`: the operations, each with the kinds of store that it is counted in;
- `counting`: counts all of it on one server, through both faces;
- `golden`: the file of the counts, and what differs from it.

Commands inside of scripts are counted by the server itself, in ``INFO commandstats``. Nothing here
depends on time: ids, tokens and moments are of fixed width, and nothing has to be renewed.

``python -m tests.costs --write`` counts anew and writes the file. Commit what it changes with what
changed it: the difference shows what that costs, or saves.
"""
