"""What all servers and their ensembles share: they start, and whatever happens they are closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Managed"]


class Managed(ABC):
    """Started on entering a `with` block and closed on leaving it, by Ctrl-C as well.

    A `start` that fails has closed what it had opened, so that nothing needs a second try.
    """

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start, and return when it is ready for use."""
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    @abstractmethod
    def close(self) -> None:
        """End it and leave nothing behind; safe to call twice."""

    @abstractmethod
    def _open(self) -> None:
        """Do the starting."""
