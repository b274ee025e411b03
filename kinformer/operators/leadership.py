"""One term of leading: the handle that `LeaderElector` gives to the code that leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinformer._flag import Flag
from kinformer._own_loop import OwnLoop
from kinformer.errors import LeadershipLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.operators._lease_record import Election

__all__ = ["Leadership", "Term"]


class Term:
    """The state of one term, which the elector changes and `Leadership` shows.

    Args:
        election: the beliefs about the Lease.
        lease: namespace and name of the Lease.
        now: the clock of the election.

    Attributes:
        error: the reason for the loss; `None` if leadership was not lost.
    """

    def __init__(self, election: Election, lease: str, now: Callable[[], float]) -> None:
        self.election = election
        self.lease = lease
        self.error: LeadershipLostError | None = None
        self.over = Flag()
        self.own_loop = OwnLoop(f"the term of {lease} began")
        self.own_loop.take()
        self._now = now
        self._on_loss: Callable[[], None] | None = None

    @property
    def is_valid(self) -> bool:
        """True while this replica leads."""
        return not self.over.is_set() and self.election.leads(self._now())

    @property
    def remaining(self) -> float:
        """Seconds left if no renewal succeeds any more; 0 when it is over."""
        return 0.0 if self.over.is_set() else max(0.0, self.election.valid_until - self._now())

    def on_loss(self, call: Callable[[], None]) -> None:
        """Call a function once if leadership is lost."""
        self._on_loss = call

    def lose(self, reason: str, cause: BaseException | None = None) -> None:
        """End the term because leadership is lost."""
        if self.over.is_set():
            return
        self.error = LeadershipLostError(self.lease, reason)
        self.error.__cause__ = cause
        self.over.set()
        if self._on_loss is not None:
            self._on_loss()

    def finish(self) -> None:
        """End the term because the body has ended."""
        self._on_loss = None
        self.over.set()


class Leadership:
    """One term of leading, from its beginning until it is lost or given back.

    Attributes:
        identity: the identity under which this replica leads.
        transitions: number of times that the lease has changed hands so far. It grows with each new leader, as long as
            the Lease is not deleted: a fencing token for other systems, which can refuse requests with a smaller one.
    """

    def __init__(self, term: Term) -> None:
        self.identity = term.election.identity
        self.transitions = term.election.transitions
        self._term = term

    def __repr__(self) -> str:
        return f"<Leadership of {self._term.lease} as {self.identity} {'held' if self.is_leader else 'over'}>"

    @property
    def is_leader(self) -> bool:
        """True if this replica leads at this very moment. The clock is read, so it is right also after a standstill.

        A process that was stopped for a while (SIGSTOP, a suspended machine) may run a few lines before its tasks are
        cancelled. Code that must not run twice asks just before.
        """
        return self._term.is_valid

    @property
    def remaining(self) -> float:
        """Seconds left if no renewal succeeds any more; 0 when it is over."""
        return self._term.remaining

    def check(self) -> None:
        """Raise unless this replica leads at this very moment; call it before a write.

        Raises:
            LeadershipLostError: it does not lead.
        """
        if not self.is_leader:
            raise self._term.error or LeadershipLostError(
                self._term.lease, "it was not renewed in time, or was given back"
            )

    async def lost(self) -> None:
        """Wait until the term is over: lost, or given back when the `async with` was left.

        Raises:
            WrongLoopError: the elector runs in another event loop.
        """
        self._term.own_loop.check()
        await self._term.over.wait()
