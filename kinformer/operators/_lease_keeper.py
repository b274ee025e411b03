"""Reads and writes one Lease for an elector: takes it, renews it, gives it back. `_lease_record` decides."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer._survivable import is_survivable, text_of
from kinformer.errors import ApiError, ConfigError, ConflictError, KinformerError, NotFoundError, TransportError
from kinformer.operators._lease_watch import LeaseWatcher, watch_lease
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kinformer._flag import Flag
    from kinformer.objects import KubeObject
    from kinformer.operators._lease_record import Election
    from kinformer.resources import Resource

__all__ = ["LeaseClient", "LeaseKeeper", "seconds_suspended"]

# The logger that users know.
_log = logging.getLogger("kinformer.operators.leader_election")

# Failures after which the next attempt may succeed. Others (a closed client, a wrong argument) stay.
_PASSING: Final = (ApiError, TransportError, ConfigError, TimeoutError)


class LeaseClient(Protocol):
    """The client of an elector; `kinformer.Client` is one. Reads must return the most recent state."""

    async def get(self, resource: Resource, name: str, /, *, namespace: str) -> KubeObject:
        """Read a Lease; `NotFoundError` if there is none."""
        ...

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Create a Lease; `ConflictError` if there is one."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Replace a Lease in the version that it names; `ConflictError` if that is not the present one."""
        ...


class LeaseKeeper:
    """The requests of one elector.

    Args:
        client: speaks to the server.
        name: name of the Lease.
        namespace: namespace of the Lease.
        election: the beliefs about the Lease, and what may be written.
        renew_deadline: seconds that a successful write is valid.
        retry_period: seconds between attempts.
        wall_clock: the time written into the Lease.
        on_answer: called after each attempt and each event of the watch.

    Attributes:
        last_error: the failure of the last attempt; `None` if it succeeded.
    """

    def __init__(
        self,
        client: LeaseClient,
        name: str,
        namespace: str,
        election: Election,
        *,
        renew_deadline: float,
        retry_period: float,
        wall_clock: Callable[[], datetime],
        on_answer: Callable[[], None],
    ) -> None:
        self.last_error: BaseException | None = None
        self._client = client
        self._name = name
        self._namespace = namespace
        self._election = election
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._wall_clock = wall_clock
        self._clock_failed = False
        self._on_answer = on_answer

    @property
    def can_watch(self) -> bool:
        """True if the client can watch the Lease."""
        return isinstance(self._client, LeaseWatcher)

    def now(self) -> float:
        """Return the time of the election: that of the loop, which also goes on while the machine is suspended."""
        return asyncio.get_running_loop().time() + seconds_suspended()

    def on_loop_clock(self, moment: float) -> float:
        """Return a time of the election as a time of the loop."""
        return moment - seconds_suspended()

    async def watch(self, news: Flag, pause: Callable[[], float]) -> None:
        """Follow the changes of the Lease; set `news` at each."""

        def changed(lease: dict[str, Any] | None) -> None:
            self._election.observe(lease, self.now())
            self._on_answer()
            news.set()

        client = self._client
        assert isinstance(client, LeaseWatcher)
        await watch_lease(
            client, self._name, self._namespace, known=lambda: self._election.lease, changed=changed, pause=pause
        )

    async def attempt(self) -> None:
        """Try once to take or renew the lease. A failure that may pass is noted and logged."""
        try:
            await self._take()
        except ConflictError as error:
            # Another replica was faster: an election goes like that.
            _log.debug("%s: the lease %s was changed meanwhile", self._election.identity, self._lease)
            self.last_error = error
        except _PASSING as error:
            self._log_failure(text_of(error) or "no answer in time")
            self.last_error = error
        except asyncio.CancelledError as error:
            if not is_survivable(error):
                raise
            # Something that the client awaited was cancelled, and not this task.
            self._log_failure("the request was cancelled")
            self.last_error = error
        else:
            self.last_error = None
        finally:
            self._on_answer()

    async def give_back(self) -> None:
        """Let other replicas lead at once. Without it they wait until the lease runs out."""
        identity, lease = self._election.identity, self._lease
        try:
            async with asyncio.timeout(self._renew_deadline / 2):
                while True:
                    if await self._tried_to_give_back():
                        return
                    await asyncio.sleep(self._retry_period / 10)
        except TimeoutError:
            _log.warning("%s could not give %s back; it runs out", identity, lease)
        except KinformerError as error:
            _log.warning("%s could not give %s back: %s", identity, lease, error)
        except BaseException as error:
            # The end of the body must not be replaced by the failure of a courtesy.
            if not is_survivable(error):
                raise
            _log.error("%s could not give %s back; it runs out", identity, lease, exc_info=error)

    async def _tried_to_give_back(self) -> bool:
        try:
            await self._read()
            spec = self._election.release(self._wall())
            if spec is not None:
                await self._send(spec)
                _log.info("%s gave %s back", self._election.identity, self._lease)
        except _PASSING:
            return False
        return True

    async def _take(self) -> None:
        election = self._election
        if election.leads(self.now()) and election.lease is not None:
            # Usually no other replica writes, so that one request is enough. After a lost answer, this conflicts.
            spec = election.proposal(self.now(), self._wall())
            assert spec is not None
            try:
                await self._write(spec)
            except (ConflictError, NotFoundError):
                pass
            else:
                return
        await self._read()
        spec = election.proposal(self.now(), self._wall())
        if spec is not None:
            await self._write(spec)

    async def _read(self) -> None:
        try:
            async with self._time_limit():
                lease = (await self._client.get(LEASES, self._name, namespace=self._namespace)).to_dict()
        except NotFoundError:
            lease = None
        self._election.observe(lease, self.now())

    async def _write(self, spec: dict[str, Any]) -> None:
        sent = self.now()
        lease = await self._send(spec)
        self._election.wrote(lease, sent=sent, now=self.now())

    async def _send(self, spec: dict[str, Any]) -> dict[str, Any]:
        known = self._election.lease
        async with self._time_limit():
            if known is None:
                made = {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}
                stored = await self._client.create(LEASES, made, namespace=self._namespace)
            else:
                stored = await self._client.replace(LEASES, {**known, "spec": spec}, namespace=self._namespace)
        return stored.to_dict()

    def _time_limit(self) -> asyncio.Timeout:
        # controller-runtime, pkg/leaderelection: half the deadline, so that one lost answer does not use all of it.
        return asyncio.timeout(self._renew_deadline / 2)

    def _wall(self) -> datetime:
        try:
            return self._wall_clock().astimezone(UTC)
        except BaseException as error:
            # People read this time; no election depends on it.
            if not is_survivable(error):
                raise
            if not self._clock_failed:
                self._clock_failed = True
                _log.error("wall_clock raised; the lease %s has the time of the system", self._lease, exc_info=error)
            return datetime.now(UTC)

    @property
    def _lease(self) -> str:
        return f"{self._namespace}/{self._name}"

    def _log_failure(self, reason: str) -> None:
        first = self.last_error is None or isinstance(self.last_error, ConflictError)
        _log.log(
            logging.WARNING if first else logging.DEBUG,
            "%s cannot read or write the lease %s, and tries again: %s",
            *(self._election.identity, self._lease, reason),
        )


def seconds_suspended() -> float:
    """Return how long the machine has been suspended since it started, as far as the system knows.

    The clock of the loop stands still meanwhile (Linux, clock_gettime(2): CLOCK_MONOTONIC); the clocks of the other
    replicas do not.
    """
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    if boot_time is None:
        return 0.0
    # Rounded, because the two clocks are not read at the same instant.
    return round(time.clock_gettime(boot_time) - time.clock_gettime(time.CLOCK_MONOTONIC), 1)
