"""The store held against a reference model, under clocks that the tests set.

- `clock`: gives stores a server clock and a client clock that tests can set;
- `times`, `reference`: what the contract says, in plain Python, without Redis and without Lua;
- `scenery`: the lanes, policies and starting times that the machine plays with;
- `face`: one way to call the sync and the async store;
- `machine`: random sequences of operations, run on a store and the model at once.
"""
