"""A demonstration: several gateways, one store, crashes in mid-turn, and proof that all held.

* `run`: the play from beginning to end; * `place`, `caretaker`: where it takes place, and who
  tidies up; * `settings`: how it opens the store; * `history`: the sessions it begins with;
* `replica`: one gateway, a process of its own; * `wire`: what is said to it and by it;
* `crew`: all of them; * `traffic`: who writes when, and who is killed when; * `post`: who gets
  a message, and who gets it again; * `ledger`: what the replicas report;
* `proof`: the verdict; * `screen`, `picture`: what is seen.
"""

from __future__ import annotations

from redisstore.demo.run import run_demo

__all__ = ["run_demo"]
