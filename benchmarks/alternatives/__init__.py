"""What a chat gateway would take instead of redisstore, each in a file, and the limits.

`alternative` has the one interface. All are given the same work, on one server, a database each.
"""

from __future__ import annotations

from benchmarks.alternatives.aiogram_storage import AiogramStorage
from benchmarks.alternatives.alternative import Alternative
from benchmarks.alternatives.bare import Bare, BareAsync, Ping, PingAsync
from benchmarks.alternatives.django_sessions import DjangoSessions
from benchmarks.alternatives.flask_session import FlaskSession
from benchmarks.alternatives.openai_agents import OpenAIAgents
from benchmarks.alternatives.ours import Ours, OursAsync
from benchmarks.alternatives.plain import Plain, PlainAsync
from benchmarks.alternatives.starsessions_store import Starsessions

__all__ = ["ALTERNATIVES", "Alternative"]

ALTERNATIVES: tuple[type[Alternative], ...] = (
    Ours,
    Plain,
    FlaskSession,
    DjangoSessions,
    Bare,
    Ping,
    OursAsync,
    PlainAsync,
    Starsessions,
    AiogramStorage,
    OpenAIAgents,
    BareAsync,
    PingAsync,
)
"""The blocking ones, then those for asyncio; redisstore's own first in both."""
