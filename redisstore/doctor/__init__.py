"""Whether a store is sound: the server's settings, the layout, and every entry with its indexes.

Only judgement lives here. What is judged comes from ``SessionStore.list_servers``, ``layout`` and
``audit``; none of them needs CONFIG.
"""

from __future__ import annotations

from redisstore.doctor.examination import examine
from redisstore.doctor.finding import Finding
from redisstore.doctor.settings import judge_memory, judge_persistence, judge_version

__all__ = ["Finding", "examine", "judge_memory", "judge_persistence", "judge_version"]
