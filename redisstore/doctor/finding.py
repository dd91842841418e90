"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, how it is, and what to do about it."""

    severity: Severity
    check: str
    """What was looked at: ``server``, ``persistence``, ``memory``, ``layout``, ``replicas`` ..."""
    message: str
    advice: str = ""
    """Empty where there is nothing to do."""
