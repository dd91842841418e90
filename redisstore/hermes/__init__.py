"""The plugin for hermes-agent: its gateway's sessions in Redis, shared by all replicas.

Found through the entry-point group ``hermes_agent.plugins``; see ``docs/hermes.md``.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["register"]


def register(ctx: Any) -> None:  # noqa: ARG001 - what the gateway offers its plugins
    """Put the shared store in the place of the gateway's own; in any other process, do nothing.

    Called again, it does nothing either. Redis is not asked yet: that is done when the gateway
    makes its store, which ends the gateway with one line if Redis is away or laid out otherwise.
    """
    from redisstore.hermes.plugin import Plugin, is_gateway_process  # noqa: PLC0415 - others load plugins too

    if not is_gateway_process():
        return
    Plugin().install(importlib.import_module("gateway.session"))
