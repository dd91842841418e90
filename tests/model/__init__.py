"""The store held against a reference model, under clocks that the tests set.

- `clock`: gives stores a server clock and a client clock that tests can set;
- `times`, `reference_lanes`, `reference`: what the contract says, in plain Python, without Redis
  and without Lua;
- `scenery`: the lanes, policies, starting times and drawn values that the machine plays with;
- `stage`, `lane_rules`, `store_rules`, `machine`: random sequences of operations, run on a store
  and on the model at once.
"""

import pytest

# A failed assertion of a rule shows what it compared.
pytest.register_assert_rewrite(
    *(f"{__name__}.{rules}" for rules in ("stage", "lane_rules", "store_rules"))
)
