"""What a message has cost: a session's counters, as they are given and as scripts take them."""

from __future__ import annotations

from decimal import Decimal
from typing import TypedDict

from redisstore.calls.call import Arg, Context
from redisstore.errors import InvalidInput, short_repr
from redisstore.fields import COST, COUNTERS, LARGEST_NUMBER, to_nanousd
from redisstore.text import checked_text

LONGEST_COST_STATUS = 64


class Counters(TypedDict, total=False):
    """What is added to a session's counters; ``total_tokens`` is by default the sum of the others.

    ``estimated_cost_usd`` is in dollars; ``cost_status``, how it was learned, is set, not added.
    """

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    total_tokens: int | None
    estimated_cost_usd: Decimal | float | str
    cost_status: str | None


def counter_args(
    context: Context, last_prompt_tokens: int | None, counters: Counters
) -> tuple[Arg, ...]:
    """Check counters and return them, with the reset rules, as scripts take them.

    Raises:
        InvalidInput: names the one that is wrong, or unknown.

    """
    given = dict(counters)
    cost = _cost(counters.get("estimated_cost_usd", 0))
    cost_status = counters.get("cost_status")
    status = ""
    if cost_status is not None:
        status = checked_text("cost_status", cost_status, max_bytes=LONGEST_COST_STATUS)
    for name in given.keys() - {*COUNTERS, "estimated_cost_usd", "cost_status"}:
        raise InvalidInput(name, "is no counter of a session")
    amounts = {name: _amount(name, given.get(name)) for name in COUNTERS}
    if given.get("total_tokens") is None:
        amounts["total_tokens"] = sum(amounts.values())
    amounts[COST] = cost
    added = [part for name, n in amounts.items() if n for part in (name, n)]
    prompt = "" if last_prompt_tokens is None else _amount("last_prompt_tokens", last_prompt_tokens)
    return (prompt, status, len(added) // 2, *rule_args(context), *added)


def rule_args(context: Context) -> tuple[Arg, ...]:
    """Return the number of reset rules, and the rules."""
    rules = context.config.reset_rules.script_args(context.now())
    return (len(rules) // 3, *rules)


def _amount(field: str, value: object) -> int:
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise InvalidInput(field, f"must be a whole number below 2^53, not {short_repr(value)}")
    return value


def _cost(usd: Decimal | float | str) -> int:
    try:
        nanousd = to_nanousd(Decimal(str(usd)))
    except (ArithmeticError, ValueError):
        nanousd = -1
    if not 0 <= nanousd <= LARGEST_NUMBER:
        raise InvalidInput(
            "estimated_cost_usd", f"must be dollars from 0 to 9 million, not {short_repr(usd)}"
        )
    return nanousd
