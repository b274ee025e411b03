"""What is counted: a Protocol with a do-nothing default, so that the core depends on no metrics library."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NO_METRICS", "Metrics", "NoMetrics"]


class Metrics(Protocol):
    """What an implementation is told. Calls are synchronous, on the event loop, and must not raise.

    `informer` is the informer's name (its resource and scope): a small, bounded set of values.
    """

    def listed(self, informer: str, *, objects: int, reason: str) -> None:
        """A list was finished; `reason` is why it was made: "initial", "expired", ..."""
        ...

    def watch_opened(self, informer: str) -> None:
        """A watch was answered."""
        ...

    def received(self, informer: str, *, events: int) -> None:
        """A batch of watch events arrived."""
        ...

    def failed(self, informer: str, error: BaseException) -> None:
        """Something went wrong, and will be tried again."""
        ...

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """A handler raised."""
        ...


class NoMetrics:
    """Counts nothing."""

    def listed(self, informer: str, *, objects: int, reason: str) -> None:
        """Do nothing."""

    def watch_opened(self, informer: str) -> None:
        """Do nothing."""

    def received(self, informer: str, *, events: int) -> None:
        """Do nothing."""

    def failed(self, informer: str, error: BaseException) -> None:
        """Do nothing."""

    def handler_failed(self, informer: str, handler: str, error: BaseException) -> None:
        """Do nothing."""


NO_METRICS = NoMetrics()
