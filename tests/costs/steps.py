"""Counts what redisstore does in this process: functions entered, instructions carried out."""

from __future__ import annotations

import dis
import platform
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redisstore

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["PYTHON", "Steps"]

PYTHON = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
"""The instructions are those of this Python; the functions are the same on all."""
_PACKAGE = str(Path(redisstore.__file__).parent)
_INLINED = {"<listcomp>", "<dictcomp>", "<setcomp>"}
"""Functions of their own up to Python 3.11 only."""
_RESUME = dis.opmap["RESUME"]


class Steps:
    """A ``with`` block whose steps are counted, in this thread and in those that begin meanwhile.

    A generator or coroutine that goes on is not entered again: how often it does may depend on
    how a reply is cut into pieces.
    """

    def __init__(self) -> None:
        self.functions = 0
        self.instructions = 0

    def __enter__(self) -> Self:
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _enter(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        if frame.f_code.co_name not in _INLINED and _begins(frame):
            self.functions += 1
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, _frame: FrameType, event: str, _arg: Any) -> Any:
        self.instructions += event == "opcode"
        return self._step


def _begins(frame: FrameType) -> bool:
    """Whether a function is entered, and not a generator or coroutine that goes on."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] == _RESUME and code[at + 1] == 0
