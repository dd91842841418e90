"""Forks, and the locks that other threads of a parent had when it forked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from tests.servers import wait_until


@contextmanager
def locked_elsewhere(locks: list[Any]) -> Iterator[None]:
    """Have another thread lock them."""
    locked, done = threading.Event(), threading.Event()

    def hold_locks() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            locked.set()
            done.wait()

    holding = threading.Thread(target=hold_locks)
    holding.start()
    locked.wait()
    try:
        yield
    finally:
        done.set()
        holding.join()


def exit_code(child: Callable[[], bool]) -> int | None:
    """Fork, and return how the child ended; ``None``: it hung."""
    pid = os.fork()
    if pid == 0:
        done = 2
        with suppress(BaseException):
            done = 0 if child() else 1
        os._exit(done)
    ended: list[int] = []

    def has_ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(found)

    try:
        wait_until(has_ended, timeout=20)
    except TimeoutError:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return ended[0] if ended else None


def locks_in(*objects: object) -> list[Any]:
    return [value for one in objects for value in vars(one).values() if hasattr(value, "acquire")]
