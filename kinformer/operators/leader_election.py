"""One of several replicas leads: leader election on a Lease (coordination.k8s.io/v1).

    read ──▶ held by nobody, by us, or unchanged for longer than it lasts? ──no──▶ wait, hear, read again
      ▲                              │ yes
      │                              ▼
      └──conflict── write our name into it ──answered in time──▶ lead, and write again every 2 s
                                                                    │ no write succeeded for 10 s, or another's name
                                                                    ▼
                                                     lost: the body is cancelled; 5 s later others may lead

Why never two lead: a write carries the version that was read, so of two that write at once one fails. Who leads stops
believing it `renew_deadline` seconds after it *sent* the last write that succeeded; the others wait `lease_duration`
seconds after they *read* that write, which is later. Nobody compares his clock with a time that somebody else wrote:
each measures on his own how long the record has not changed. The clocks may differ by any amount, and may run at
different speeds, up to the ratio of the two durations (with the defaults, one may run half as fast again as another).

Candidates watch the Lease (`kinformer.operators._lease_watch`), so they notice a crashed leader `lease_duration` after
its last renewal; polling would see that renewal up to 2.2 × `retry_period` late. A Lease that is given back is taken at
once. A late or missing event only delays a candidate, and it always re-reads before writing.

The rules and figures are client-go's (tools/leaderelection/leaderelection.go), made stricter in four places: the
deadline counts from when the last good write was sent, not from when the next one was due; an answer that comes after
it is too late; each renewal changes the record, also while our wall clock stands still; and a Lease that is deleted
under its holder's feet is created anew by those who saw it held only when it would have run out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

import anyio

from kinformer._tasks import BackgroundTask
from kinformer.errors import (
    AlreadyStartedError,
    ApiError,
    ConfigError,
    ConflictError,
    KinformerError,
    LeadershipLostError,
    NotFoundError,
    TransportError,
)
from kinformer.operators._lease_record import Election
from kinformer.operators._lease_watch import LeaseWatcher, watch_lease
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from kinformer.objects import KubeObject
    from kinformer.resources import Resource

__all__ = ["LeaderElector", "Leadership", "LeadershipLostError", "LeaseClient"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

# component-base/config/v1alpha1/defaults.go, RecommendedDefaultLeaderElectionConfiguration
DEFAULT_LEASE_DURATION: Final = 15
DEFAULT_RENEW_DEADLINE: Final = 10.0
DEFAULT_RETRY_PERIOD: Final = 2.0
# tools/leaderelection/leaderelection.go, JitterFactor
JITTER_FACTOR: Final = 1.2

# What may be otherwise the next time. Anything else (a closed client, a wrong argument) stays wrong.
_PASSING: Final = (ApiError, TransportError, ConfigError, TimeoutError)


class LeaseClient(Protocol):
    """What is needed of a client; `kinformer.Client` has it. Reads must be of the most recent state."""

    async def get(self, resource: Resource, name: str, /, *, namespace: str) -> KubeObject:
        """Read a Lease; `NotFoundError` where there is none."""
        ...

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Create a Lease; `ConflictError` where there is one."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], /, *, namespace: str) -> KubeObject:
        """Replace a Lease in the version it names; `ConflictError` where that is not the present one."""
        ...


class Leadership:
    """One term of leading, from when it was won until it is lost or given back.

    Attributes:
        identity: under which name we lead.
        transitions: how often the lease has changed hands so far. It grows with each new leader, for as long as the
            Lease is not deleted: a fencing token for other systems, which can refuse whoever comes with a smaller one.
    """

    def __init__(self, election: Election, lease: str, now: Callable[[], float]) -> None:
        self.identity = election.identity
        self.transitions = election.transitions
        self._election = election
        self._lease = lease
        self._now = now
        self._over = asyncio.Event()
        self._error: LeadershipLostError | None = None
        self._inform: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Leadership of {self._lease} as {self.identity} {'held' if self.is_leader else 'over'}>"

    @property
    def is_leader(self) -> bool:
        """Whether we lead at this very moment: the clock is asked, so it is right also after a standstill.

        A process that was stopped for a while (SIGSTOP, a suspended machine) may run a few lines before its tasks are
        cancelled. What must not happen twice asks just before.
        """
        return not self._over.is_set() and self._election.leads(self._now())

    @property
    def remaining(self) -> float:
        """Seconds left if no renewal succeeds any more; 0 when it is over."""
        return max(0.0, self._election.valid_until - self._now()) if not self._over.is_set() else 0.0

    def check(self) -> None:
        """Call before a write: raises unless we lead at this very moment.

        Raises:
            LeadershipLostError: we do not.
        """
        if not self.is_leader:
            raise self._error or LeadershipLostError(self._lease, "it was not renewed in time, or was given back")

    async def lost(self) -> None:
        """Wait until it is over: lost, or given back as the `async with` was left."""
        await self._over.wait()

    def _end(self, reason: str, cause: BaseException | None = None) -> None:
        """It is lost, for this reason. Who leads is told, once."""
        if self._over.is_set():
            return
        self._error = LeadershipLostError(self._lease, reason)
        self._error.__cause__ = cause
        self._over.set()
        if self._inform is not None:
            self._inform()


class LeaderElector:
    """Waits to become the leader, leads while the body runs, and gives the lease back.

        async with LeaderElector(client, "my-operator", namespace="ops") as leadership:
            ...                                     # only one replica is here at a time

    Entering waits until the lease is ours, for as long as that takes: fill caches before. When leadership is lost, the
    body is cancelled and `async with` raises `LeadershipLostError`; the body then has `lease_duration - renew_deadline`
    seconds to end before anybody else can lead. Requests it has under way are cancelled with it, but may still reach
    the server: their client's time limit should be shorter than that.

    When the body ends, whether it returns, raises or is cancelled, the lease is released, and another replica takes it
    at once. After a crash it is taken `lease_duration` after the last renewal. Where watching is not allowed or does
    not work, both take up to 2.2 × `retry_period` longer. An elector can be entered again after it was left; `run` does
    so. If entering is cancelled while a write is under way, the lease may be left to run out.

    It asks for the verbs get, create and update on leases, and for watch, which it can do without.

    Args:
        client: speaks to the server. Its failures are logged, kept in `last_error`, and tried again.
        name: the Lease's name. It is created when there is none.
        namespace: the Lease's namespace.
        identity: who we are; the host's name and a random part when left out. No two living replicas may share one:
            whoever finds his own name in the Lease takes it for his.
        lease_duration: whole seconds (that is what a Lease can say) that others wait after they saw a renewal.
        renew_deadline: seconds without a successful renewal after which leadership is lost.
        retry_period: seconds between renewals; who waits and hears nothing looks after 1 to 2.2 times that, at random.
        release: whether to give the lease back at the end.
        on_loss: "cancel" the body, or only "tell" it, through `leadership.lost()` and `is_leader`; then leaving raises
            nothing.
        on_new_leader: called with an identity when another leader is seen than before, the first one and ourselves
            included. A plain function; what it raises is logged.
        wall_clock: the time written into the Lease, for people to read. Nothing depends on it.
        rng: the source of randomness.

    Raises:
        ValueError: durations that do not fit: it needs lease_duration > renew_deadline > 1.2 × retry_period > 0 and
            whole seconds for the first; or an empty name, namespace or identity.
    """

    def __init__(
        self,
        client: LeaseClient,
        name: str,
        *,
        namespace: str,
        identity: str | None = None,
        lease_duration: int = DEFAULT_LEASE_DURATION,
        renew_deadline: float = DEFAULT_RENEW_DEADLINE,
        retry_period: float = DEFAULT_RETRY_PERIOD,
        release: bool = True,
        on_loss: Literal["cancel", "tell"] = "cancel",
        on_new_leader: Callable[[str], object] | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        identity = f"{socket.gethostname()}_{uuid.uuid4()}" if identity is None else identity
        if not (name and namespace and identity):
            msg = f"an election needs a name, a namespace and an identity, not {name!r}, {namespace!r}, {identity!r}"
            raise ValueError(msg)
        if lease_duration != int(lease_duration) or not (
            lease_duration > renew_deadline > JITTER_FACTOR * retry_period > 0
        ):
            msg = (
                f"lease_duration={lease_duration}, renew_deadline={renew_deadline}, retry_period={retry_period} "
                f"(seconds) do not fit: it needs lease_duration > renew_deadline > {JITTER_FACTOR} × retry_period > 0, "
                "and whole seconds for lease_duration"
            )
            raise ValueError(msg)
        if on_loss not in {"cancel", "tell"}:
            msg = f"on_loss is 'cancel' or 'tell', not {on_loss!r}"
            raise ValueError(msg)
        self.identity = identity
        self.name = name
        self.namespace = namespace
        self._client = client
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._release = release
        self._on_loss = on_loss
        self._on_new_leader = on_new_leader
        self._wall_clock = wall_clock
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - jitter, no secret
        self._election = Election(identity, int(lease_duration), renew_deadline)
        self._last_error: BaseException | None = None
        self._reported = ""
        self._news = asyncio.Event()
        self._contesting = False
        self._leadership: Leadership | None = None
        self._renewal: BackgroundTask | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancellations_before = 0
        self._cancelled_body = False

    def __repr__(self) -> str:
        state = "leads" if self.is_leader else "waits" if self._contesting else "rests"
        return f"<LeaderElector {self.namespace}/{self.name} {self.identity} {state}>"

    @property
    def is_leader(self) -> bool:
        """Whether we lead at this very moment."""
        return self._leadership is not None and self._leadership.is_leader

    @property
    def leader(self) -> str:
        """Who has the lease, as last seen; "" for nobody."""
        return self._election.holder

    @property
    def last_error(self) -> BaseException | None:
        """What the last attempt to take or renew the lease failed with; `None` when it did not."""
        return self._last_error

    async def __aenter__(self) -> Leadership:
        """Wait until we lead.

        Raises:
            AlreadyStartedError: this elector waits or leads already.
            LifecycleError: the client is not open.
        """
        if self._contesting or self._leadership is not None:
            msg = f"{self!r} takes part already; to stand twice, make two electors with two identities"
            raise AlreadyStartedError(msg)
        self._contesting = True
        watch = BackgroundTask(f"leader election {self.namespace}/{self.name} watches")
        try:
            await self._attempt()
            if not self._election.leads(self._now()) and isinstance(self._client, LeaseWatcher):
                watch.start(self._watch(self._client))
            while not self._election.leads(self._now()):
                await self._until_next_look()
                await self._attempt()
        finally:
            await watch.stop()
            self._contesting = False
        leadership = Leadership(self._election, f"{self.namespace}/{self.name}", self._now)
        leadership._inform = self._inform_body
        self._body = asyncio.current_task()
        self._cancellations_before = 0 if self._body is None else self._body.cancelling()
        self._cancelled_body = False
        self._leadership = leadership
        self._renewal = BackgroundTask(f"leader election {self.namespace}/{self.name}")
        self._renewal.start(self._keep(leadership))
        _log.info("%s leads %s/%s", self.identity, self.namespace, self.name)
        return leadership

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop renewing, and give the lease back if it is still ours.

        Raises:
            LeadershipLostError: it was lost, and the body was cancelled because of that.
        """
        leadership, renewal = self._leadership, self._renewal
        assert leadership is not None
        assert renewal is not None
        kept = leadership.is_leader
        leadership._inform = None
        leadership._over.set()
        self._election.stand_down()
        swallowed = False
        try:
            # Not stopped by a scope of anyio that was cancelled around the body: it would stop every wait in here.
            with anyio.CancelScope(shield=True):
                if self._cancelled_body and not isinstance(error, asyncio.CancelledError):
                    swallowed = await self._take_delivery()
                await renewal.stop()
                if kept and self._release:
                    await self._give_back()
        finally:
            self._leadership = self._renewal = None
            body, self._body = self._body, None
        if self._cancelled_body:
            assert body is not None
            others = body.uncancel() > self._cancellations_before
            if isinstance(error, asyncio.CancelledError) and not others and leadership._error is not None:
                raise leadership._error
            if swallowed and others:
                raise asyncio.CancelledError

    async def run(self, lead: Callable[[Leadership], Awaitable[T]], *, recontest: bool = True) -> T:
        """Call `lead` as the leader, and again each time leadership was lost and won back.

        Args:
            lead: what to do; it is cancelled when leadership is lost, and must have ended before we stand again.
            recontest: whether to stand again after a loss, as client-go does not.

        Returns:
            What `lead` returned. Then the lease has been given back.

        Raises:
            LeadershipLostError: it was lost, and `recontest` is false.
            Exception: what `lead` raises.
        """
        while True:
            try:
                async with self as leadership:
                    return await lead(leadership)
            except LeadershipLostError as error:
                if not recontest or error.lease != f"{self.namespace}/{self.name}":
                    raise

    def _now(self) -> float:
        return asyncio.get_running_loop().time() + _seconds_suspended()

    def _wall(self) -> datetime:
        return self._wall_clock().astimezone(UTC)

    def _pause(self) -> float:
        """Seconds until those who wait look again: at random, but not past the moment the lease is free."""
        pause = self._retry_period * (1 + JITTER_FACTOR * self._rng.random())
        left = self._election.free_at() - self._now()
        # A hair more, as a timer may be a hair early.
        return min(pause, left + 0.001) if left > 0 else pause

    async def _until_next_look(self) -> None:
        """Wait until the lease may be free, or nothing was heard of it for a while."""
        while True:
            self._news.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._news.wait()
            except TimeoutError:
                return
            if self._now() >= self._election.free_at():
                return

    async def _watch(self, client: LeaseWatcher) -> None:
        def heard(lease: dict[str, Any] | None) -> None:
            self._election.saw(lease, self._now())
            self._report_leader()
            self._news.set()

        await watch_lease(
            client, self.name, self.namespace, known=lambda: self._election.lease, heard=heard, pause=self._pause
        )

    async def _keep(self, leadership: Leadership) -> None:
        """Renew until that fails for too long, or somebody else leads."""
        loop = asyncio.get_running_loop()
        next_try = loop.time()
        failure: BaseException | None = None
        try:
            while self._election.leads(self._now()):
                async with asyncio.timeout_at(self._election.valid_until - _seconds_suspended()):
                    next_try = max(next_try + self._retry_period, loop.time())
                    await asyncio.sleep(next_try - loop.time())
                    await self._attempt()
        except TimeoutError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody renews the lease any more
            failure = error
        finally:
            self._election.stand_down()
        failure = failure or self._last_error
        holder = self._election.holder
        if holder not in {"", self.identity}:
            reason = f"{holder} has it"
        else:
            reason = f"it was not renewed within {self._renew_deadline:g} s" + (f": {failure}" if failure else "")
        _log.warning("%s no longer leads %s/%s: %s", self.identity, self.namespace, self.name, reason)
        leadership._end(reason, failure)

    async def _attempt(self) -> None:
        """Try once to take or renew the lease; what fails is noted, and may be otherwise the next time."""
        try:
            await self._take()
        except ConflictError as error:
            # Somebody was faster, which is how an election goes.
            _log.debug("%s: the lease %s/%s was changed meanwhile", self.identity, self.namespace, self.name)
            self._last_error = error
        except _PASSING as error:
            first = self._last_error is None or isinstance(self._last_error, ConflictError)
            _log.log(
                logging.WARNING if first else logging.DEBUG,
                "%s cannot read or write the lease %s/%s, and tries again: %s",
                *(self.identity, self.namespace, self.name, str(error) or "no answer in time"),
            )
            self._last_error = error
        else:
            self._last_error = None
        finally:
            self._report_leader()

    async def _take(self) -> None:
        election = self._election
        if election.leads(self._now()) and election.lease is not None:
            # Usually nobody else writes, so that one request does. After an answer that was lost, this conflicts.
            spec = election.proposal(self._now(), self._wall())
            assert spec is not None
            try:
                await self._write(spec)
            except (ConflictError, NotFoundError):
                pass
            else:
                return
        await self._read()
        spec = election.proposal(self._now(), self._wall())
        if spec is not None:
            await self._write(spec)

    async def _read(self) -> None:
        try:
            async with self._time_limit():
                lease = (await self._client.get(LEASES, self.name, namespace=self.namespace)).to_dict()
        except NotFoundError:
            lease = None
        self._election.saw(lease, self._now())

    async def _write(self, spec: dict[str, Any]) -> None:
        sent = self._now()
        lease = await self._send(spec)
        self._election.wrote(lease, sent=sent, now=self._now())

    async def _send(self, spec: dict[str, Any]) -> dict[str, Any]:
        known = self._election.lease
        async with self._time_limit():
            if known is None:
                made = {"metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec}
                stored = await self._client.create(LEASES, made, namespace=self.namespace)
            else:
                stored = await self._client.replace(LEASES, {**known, "spec": spec}, namespace=self.namespace)
        return stored.to_dict()

    def _time_limit(self) -> asyncio.Timeout:
        # controller-runtime, pkg/leaderelection: half the deadline, so that one request without an answer is not all.
        return asyncio.timeout(self._renew_deadline / 2)

    async def _give_back(self) -> None:
        """Let others lead at once. A courtesy: without it they wait until the lease runs out."""
        try:
            async with asyncio.timeout(self._renew_deadline / 2):
                while True:
                    try:
                        await self._read()
                        spec = self._election.release(self._wall())
                        if spec is not None:
                            await self._send(spec)
                            _log.info("%s gave %s/%s back", self.identity, self.namespace, self.name)
                    except _PASSING:
                        await asyncio.sleep(self._retry_period / 10)
                    else:
                        return
        except TimeoutError:
            _log.warning("%s could not give %s/%s back; it runs out", self.identity, self.namespace, self.name)
        except KinformerError as error:
            _log.warning("%s could not give %s/%s back: %s", self.identity, self.namespace, self.name, error)

    def _inform_body(self) -> None:
        if self._on_loss == "cancel" and self._body is not None:
            self._cancelled_body = True
            self._body.cancel(f"the leadership of {self.namespace}/{self.name} is lost")

    async def _take_delivery(self) -> bool:
        """Take a cancellation of ours that came as the body ended, so that it does not hit whatever comes next.

        Whether somebody else's came with it is told by the count, see `__aexit__`.
        """
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return True
        return False

    def _report_leader(self) -> None:
        holder = self._election.holder
        if not holder or holder == self._reported:
            return
        self._reported = holder
        if holder != self.identity:
            _log.info("%s sees that %s leads %s/%s", self.identity, holder, self.namespace, self.name)
        if self._on_new_leader is not None:
            try:
                self._on_new_leader(holder)
            except Exception:  # noqa: BLE001 - a user's function; it is told, not asked
                _log.exception("on_new_leader of %s/%s failed", self.namespace, self.name)


def _seconds_suspended() -> float:
    """How long the machine has been suspended since it started, as far as the system knows.

    The loop's clock stands still meanwhile (Linux, clock_gettime(2): CLOCK_MONOTONIC), and everybody else's does not.
    """
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    if boot_time is None:
        return 0.0
    # Rounded, because the two are not read at the same instant.
    return round(time.clock_gettime(boot_time) - time.clock_gettime(time.CLOCK_MONOTONIC), 1)
