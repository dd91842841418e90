"""The same random calls on the gateway's own store and on the plugin's: the same answers.

This runs inside an environment of the gateway's, which has redisstore, and none of what the tests
are built on. `python tests/hermes/differential --help`, with its python, tells how.

A guide to the house, from the ground up:

- `gateway`: the modules of the gateway, and the time that both stores live in;
- `side`: `Side`, one store with its database, its restarts and its names for session ids;
- `views`: what can be seen of a store, in a form that can be compared;
- `drawing`: random settings and random sequences of calls;
- `calls`: how each call is done on a side;
- `moment`: `Moment`, a call that was done on both sides, with what was there before it;
- `deliberate`: the differences that are meant, each with its reason; `settled`, `unlike`: when they
  are met, and what is done about that;
- `play`: one sequence on both sides, and the shortest one that still fails;
- `driver`: many sequences, from the command line.
"""
