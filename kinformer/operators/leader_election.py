"""Leader election on a Lease (coordination.k8s.io/v1): one of several replicas leads.

    read ──▶ held by none, by us, or unchanged for longer than it lasts? ──no──▶ wait, watch, read again
      ▲                              │ yes
      │                              ▼
      └──conflict── write our name into it ──answered in time──▶ lead, and write again every 2 s
                                                                    │ no write succeeded for 10 s, or another's name
                                                                    ▼
                                                     lost: the body is cancelled; 5 s later others may lead

Why two replicas never lead: a write carries the version that was read, so of two writes at once one fails. The leader
stops believing that it leads `renew_deadline` seconds after it *sent* the last write that succeeded. The others wait
`lease_duration` seconds after they *read* that write, which is later. No replica compares its clock with a time that
another one wrote: each measures on its own clock how long the record has not changed. The clocks may differ by any
amount, and may run at different speeds, up to the ratio of the two durations (with the defaults, one may run half as
fast again as another).

Candidates watch the Lease (`kinformer.operators._lease_watch`), so they notice a crashed leader `lease_duration` after
its last renewal; polling would see that renewal up to 2.2 × `retry_period` late. A Lease that is given back is taken at
once. A late or missing event only delays a candidate, and it always re-reads before writing.

The rules and figures are those of client-go (tools/leaderelection/leaderelection.go), made stricter in four places: the
deadline counts from the sending of the last good write, not from the due time of the next one; an answer that comes
after the deadline is too late; each renewal changes the record, also while our wall clock stands still; and after the
deletion of a Lease, the replicas that saw it held create it anew only when it would have run out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar

import anyio

from kinformer._callables import check_function
from kinformer._flag import Flag
from kinformer._jitter import JITTER
from kinformer._survivable import is_survivable, text_of
from kinformer._tasks import BackgroundTask
from kinformer.errors import AlreadyStartedError, LeadershipLostError
from kinformer.operators._lease_keeper import LeaseClient, LeaseKeeper
from kinformer.operators._lease_record import Election
from kinformer.operators.leadership import Leadership, Term

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = ["LeaderElector", "LeaderMetrics", "Leadership", "LeadershipLostError", "LeaseClient"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

# component-base/config/v1alpha1/defaults.go, RecommendedDefaultLeaderElectionConfiguration
DEFAULT_LEASE_DURATION: Final = 15
DEFAULT_RENEW_DEADLINE: Final = 10.0
DEFAULT_RETRY_PERIOD: Final = 2.0
# tools/leaderelection/leaderelection.go, JitterFactor
JITTER_FACTOR: Final = 1.2


class LeaderMetrics(Protocol):
    """Metrics of leader election; `kinformer.integrations.prometheus.PrometheusMetrics` is one."""

    def leader_elector(self, name: str, elector: LeaderElector) -> None:
        """Report a new elector, by the name of its Lease. Its `is_leader` may be read on the event loop."""
        ...


class LeaderElector:
    """Waits for leadership, leads while the body runs, and gives the lease back.

        async with LeaderElector(client, "my-operator", namespace="ops") as leadership:
            ...                                     # only one replica is here at a time

    Entering waits until the lease is ours, for as long as that takes: fill caches before. When leadership is lost, the
    body is cancelled and `async with` raises `LeadershipLostError`; the body then has `lease_duration - renew_deadline`
    seconds to end before another replica can lead. Its requests under way are cancelled with it, but may still reach
    the server: the time limit of their client should be shorter than that.

    When the body ends, whether it returns, raises or is cancelled, the lease is released, and another replica takes it
    at once. After a crash it is taken `lease_duration` after the last renewal. Where watching is not allowed or does
    not work, both take up to 2.2 × `retry_period` longer. An elector can be entered again after it was left; `run` does
    so. If entering is cancelled while a write is under way, the lease may be left to run out.

    It needs the verbs get, create and update on leases. The verb watch is optional.

    Args:
        client: speaks to the server. Its failures are logged, kept in `last_error`, and tried again.
        name: the Lease's name. It is created when there is none.
        namespace: the Lease's namespace.
        identity: the name of this replica; the host's name and a random part by default. No two living replicas may
            share one: a replica that finds its own name in the Lease believes that it holds it.
        lease_duration: whole seconds (that is what a Lease can say) that others wait after they saw a renewal.
        renew_deadline: seconds without a successful renewal after which leadership is lost.
        retry_period: seconds between renewals; a candidate without news reads after 1 to 2.2 times that, at random.
        release: whether to give the lease back at the end.
        on_loss: "cancel" cancels the body; `"tell"` only ends `leadership.lost()` and `is_leader`, and leaving raises
            nothing.
        on_new_leader: called with an identity when the leader has changed, the first one and this replica included. A
            plain function; its exceptions are logged.
        metrics: gets the elector, and reads `is_leader`.
        wall_clock: the time written into the Lease, for people to read. Nothing depends on it.
        rng: the source of randomness.

    Raises:
        ValueError: durations that do not fit: it needs lease_duration > renew_deadline > 1.2 × retry_period > 0 and
            whole seconds for the first; or an empty name, namespace or identity.

    Examples:
        >>> async with LeaderElector(client, "example", namespace="default") as leadership:
        ...     (await client.get("leases.coordination.k8s.io", "example", namespace="default")).name
        'example'
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
        metrics: LeaderMetrics | None = None,
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
            msg = f"on_loss is 'cancel' or `tell`, not {on_loss!r}"
            raise ValueError(msg)
        self.identity = identity
        self.name = name
        self.namespace = namespace
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._release = release
        self._on_loss = on_loss
        self._on_new_leader = on_new_leader
        self._rng = JITTER if rng is None else rng
        self._election = Election(identity, int(lease_duration), renew_deadline)
        self._keeper = LeaseKeeper(
            *(client, name, namespace, self._election),
            renew_deadline=renew_deadline,
            retry_period=retry_period,
            wall_clock=wall_clock,
            on_answer=self._report_leader,
        )
        self._reported = ""
        self._news = Flag()
        self._contesting = False
        self._term: Term | None = None
        self._renewal: BackgroundTask | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancellations_before = 0
        self._cancelled_body = False
        if metrics is not None:
            metrics.leader_elector(name, self)

    def __repr__(self) -> str:
        state = "leads" if self.is_leader else "waits" if self._contesting else "rests"
        return f"<LeaderElector {self.namespace}/{self.name} {self.identity} {state}>"

    @property
    def is_leader(self) -> bool:
        """True if this replica leads at this very moment."""
        return self._term is not None and self._term.is_valid

    @property
    def leader(self) -> str:
        """The identity that holds the lease, as last seen; "" if none does."""
        return self._election.holder

    @property
    def last_error(self) -> BaseException | None:
        """The failure of the last attempt to take or renew the lease; `None` if it succeeded."""
        return self._keeper.last_error

    async def __aenter__(self) -> Leadership:
        """Wait until this replica leads.

        Raises:
            AlreadyStartedError: this elector waits or leads already.
            LifecycleError: the client is not open.
        """
        if self._contesting or self._term is not None:
            msg = f"{self!r} takes part already; to stand twice, make two electors with two identities"
            raise AlreadyStartedError(msg)
        self._contesting = True
        keeper, election = self._keeper, self._election
        watch = BackgroundTask(f"leader election {self._lease} watches")
        try:
            await keeper.attempt()
            if not election.leads(keeper.now()) and keeper.can_watch:
                watch.start(keeper.watch(self._news, self._pause))
            while not election.leads(keeper.now()):
                await self._until_next_attempt()
                await keeper.attempt()
        finally:
            await watch.stop()
            self._contesting = False
        term = Term(election, self._lease, keeper.now)
        term.on_loss(self._cancel_body)
        self._body = asyncio.current_task()
        self._cancellations_before = 0 if self._body is None else self._body.cancelling()
        self._cancelled_body = False
        self._term = term
        self._renewal = BackgroundTask(f"leader election {self._lease}")
        self._renewal.start(self._renew(term))
        _log.info("%s leads %s", self.identity, self._lease)
        return Leadership(term)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop renewing, and give the lease back if it is still ours.

        Raises:
            LeadershipLostError: it was lost, and the body was cancelled because of that.
            WrongLoopError: it was entered in another event loop.
        """
        term, renewal = self._term, self._renewal
        assert term is not None
        assert renewal is not None
        renewal.refuse_other_loop()
        kept = term.is_valid
        term.finish()
        self._election.step_down()
        swallowed = False
        try:
            # Shielded: a cancelled scope of anyio around the body would stop every wait in here.
            with anyio.CancelScope(shield=True):
                if self._cancelled_body and not isinstance(error, asyncio.CancelledError):
                    swallowed = await _take_cancellation()
                await renewal.stop()
                if kept and self._release:
                    await self._keeper.give_back()
        finally:
            self._term = self._renewal = None
            body, self._body = self._body, None
        if self._cancelled_body:
            assert body is not None
            others = body.uncancel() > self._cancellations_before
            if isinstance(error, asyncio.CancelledError) and not others and term.error is not None:
                raise term.error
            if swallowed and others:
                raise asyncio.CancelledError

    async def run(self, lead: Callable[[Leadership], Awaitable[T]], *, recontest: bool = True) -> T:
        """Call `lead` as the leader, and again each time leadership was lost and won back.

        Args:
            lead: the work; it is cancelled when leadership is lost, and must have ended before we stand again.
            recontest: whether to stand again after a loss. client-go does not.

        Returns:
            The result of `lead`. Then the lease has been given back.

        Raises:
            LeadershipLostError: it was lost, and `recontest` is false.
            Exception: an exception of `lead`.
        """
        check_function("lead", lead, "leadership")
        while True:
            try:
                async with self as leadership:
                    return await lead(leadership)
            except LeadershipLostError as error:
                if not recontest or error.lease != self._lease:
                    raise

    @property
    def _lease(self) -> str:
        return f"{self.namespace}/{self.name}"

    def _pause(self) -> float:
        """Return the seconds until a candidate reads again: at random, but not past the moment the lease is free."""
        pause = self._retry_period * (1 + JITTER_FACTOR * self._rng.random())
        left = self._election.free_at() - self._keeper.now()
        # A little more, as a timer may be a little early.
        return min(pause, left + 0.001) if left > 0 else pause

    async def _until_next_attempt(self) -> None:
        """Wait until the lease may be free, or no news came for a while."""
        while True:
            self._news.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._news.wait()
            except TimeoutError:
                return
            if self._keeper.now() >= self._election.free_at():
                return

    async def _renew(self, term: Term) -> None:
        """Renew until that fails for too long, or another replica leads. However it ends, the term is over."""
        loop = asyncio.get_running_loop()
        keeper = self._keeper
        next_try = loop.time()
        failure: BaseException | None = None
        try:
            while self._election.leads(keeper.now()):
                async with asyncio.timeout_at(keeper.on_loop_clock(self._election.valid_until)):
                    next_try = max(next_try + self._retry_period, loop.time())
                    await asyncio.sleep(next_try - loop.time())
                    await keeper.attempt()
        except TimeoutError:
            pass
        except BaseException as error:
            # Whatever it was, the lease is not renewed any more.
            if not is_survivable(error):
                raise
            failure = error
            if not isinstance(error, Exception):
                _log.error("%s cannot renew %s any more", self.identity, self._lease, exc_info=error)
        finally:
            self._election.step_down()
        failure = failure or keeper.last_error
        holder = self._election.holder
        if holder not in {"", self.identity}:
            reason = f"{holder} has it"
        else:
            reason = f"it was not renewed within {self._renew_deadline:g} s" + (
                f": {text_of(failure)}" if failure else ""
            )
        _log.warning("%s no longer leads %s: %s", self.identity, self._lease, reason)
        term.lose(reason, failure)

    def _cancel_body(self) -> None:
        if self._on_loss == "cancel" and self._body is not None:
            self._cancelled_body = True
            self._body.cancel(f"the leadership of {self._lease} is lost")

    def _report_leader(self) -> None:
        holder = self._election.holder
        if not holder or holder == self._reported:
            return
        self._reported = holder
        if holder != self.identity:
            _log.info("%s sees that %s leads %s", self.identity, holder, self._lease)
        if self._on_new_leader is not None:
            try:
                self._on_new_leader(holder)
            except BaseException as error:
                if not is_survivable(error):
                    raise
                _log.error("on_new_leader of %s failed", self._lease, exc_info=error)


async def _take_cancellation() -> bool:
    """Take a cancellation of ours that came as the body ended, so that it does not hit the code after it.

    Another cancellation may have come with it; the count of `cancelling` shows that, see `__aexit__`.
    """
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return True
    return False
