"""Controllers: workers that await `reconcile(key)` for changes of caches.

    informer ──event──▶ filter ──▶ map: which keys? ──▶ RateLimitingQueue ──▶ N workers: reconcile(key)
                                                                ▲                   │
                                                                └─ after a while ───┘ raised, Requeue

A reconcile gets a key, not an event: it reads the present state from the caches, and makes the world fit. Events that
come close together are one piece of work, and no key is ever with two workers at once. A key is not reconciled before
the caches show the writes of this program for it (`kinformer._own_writes.gate`): a reconcile never repeats its last
work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Self

from kinformer._own_writes.gate import DEFAULT_WAIT, WriteGate
from kinformer._tasks import BackgroundTask
from kinformer.controller._arguments import check_figures, check_hook, check_reconcile
from kinformer.controller._cache_sync import wait_for_caches
from kinformer.controller._ownership import Ownership
from kinformer.controller._watches import Watches
from kinformer.controller._work_sources import WorkSources
from kinformer.controller._workers import Reconcile, Workers
from kinformer.controller.reconcile import Requeue, TerminalError
from kinformer.controller.status import ControllerState, ControllerStatus, in_a_line
from kinformer.errors import AlreadyStartedError, StoppedError
from kinformer.operators.leader_election import LeaderElector
from kinformer.workqueue import RateLimitingQueue

if TYPE_CHECKING:
    from types import TracebackType

    from kinformer.controller._before_reconcile import Hook
    from kinformer.controller._slice_ownership import SliceOwnership
    from kinformer.metrics import WorkMetrics
    from kinformer.objects import ObjectKey
    from kinformer.operators.leadership import Leadership
    from kinformer.operators.shard_group import ShardGroup
    from kinformer.workqueue import Debounce

__all__ = ["Controller", "Requeue", "TerminalError"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # `Controller` alone is one of the usual keys (PEP 696).
    K = TypeVar("K", bound=Hashable, default=ObjectKey)
else:
    from typing import TypeVar

    K = TypeVar("K", bound=Hashable)

_log = logging.getLogger(__name__)

# controller-runtime: pkg/controller/controller.go (CacheSyncTimeout), pkg/manager/manager.go (GracefulShutdownTimeout).
DEFAULT_SYNC_TIMEOUT: Final = 120.0
DEFAULT_GRACE: Final = 30.0


class Controller(WorkSources[K]):
    """Workers that call `reconcile(key)` for the events of the watched informers.

        async def reconcile(key: ObjectKey) -> Requeue | None:
            deployment = deployments.lister.get(key.name, namespace=key.namespace)
            ...

        controller = Controller("web", reconcile).watches(deployments).owns(replicasets, owner=deployments)
        async with factory, controller:
            ...

    When reconcile returns `None`, the key is done with, and its failures are forgotten. `Requeue(after)` is the same,
    and the key comes again after that time. When it raises, the key and the traceback are logged, and the key comes
    again after the queue's rate limiter's time; after a `TerminalError` it does not.

    Own writes are seen: the writes of a reconcile through the `Client` of the informers, and writes elsewhere in the
    program to an object that the watches map to the key, are in the caches when reconcile is called for that key the
    next time. Usually that takes no time; otherwise the key waits and others go on.

    A controller runs once, beside any number of others. It needs no Kubernetes: without `watches`, the calls of
    `controller.queue.add(key)` bring work.

    With `leader`, only the replica that leads works. Given a `LeaderElector`, entering the controller fills the caches,
    waits until we lead, and then begins; leaving it gives the lease back. Given a `Leadership`, as when several
    controllers share one elector, that has been waited for already. When leadership is lost, the reconciles under way
    are cancelled at once, whatever `grace` says, and none begins any more.

    Args:
        name: for logs and task names.
        reconcile: the coroutine function that does the work. Never called for one key twice at once.
        workers: how many reconciles run at once.
        queue: where keys wait; a `RateLimitingQueue` with client-go's default limiter when left out. The controller
            shuts it down when it ends.
        timeout: seconds after which a reconcile is cancelled, and counts as failed; `None` for never.
        sync_timeout: seconds to wait for the caches; `None` for ever.
        grace: seconds that reconciles which are under way at the end are given before they are cancelled; `None` for
            as long as they take.
        drain: whether keys that are queued at the end are worked off in that time, too. Delayed keys are dropped, and
            keys that fail then are not tried again.
        debounce: how long events are waited for to calm down before their keys are queued; not at all when left out.
        leader: works only while this replica leads.
        shards: the group of replicas that divide the keys. Each key is reconciled by one replica, the one that owns its
            slice. Keys are `ObjectKey`s, and the informers of the watches are made with `shard=group`. Leaving the
            controller first gives all slices to the other replicas.
        own_writes: maximum seconds that a key waits until the caches show the writes for it; then it goes on with a
            warning. 0 for no wait.
        metrics: gets the reports of reconciles, and of the queue unless it was given and has its own.

    Attributes:
        name: as given.
        queue: as given, or the one that was made.

    Raises:
        TypeError: `reconcile` cannot be called.
        ValueError: there is no name, no worker, or a time is out of its range.

    Examples:
        >>> async def reconcile(key):
        ...     print("reconciling", key)
        ...     return Requeue(after=300)
        >>> async with Controller("example", reconcile, workers=2).watches(pods):
        ...     await asyncio.sleep(0.2)
        reconciling default/web-0
    """

    def __init__(
        self,
        name: str,
        reconcile: Reconcile[K],
        *,
        workers: int = 4,
        queue: RateLimitingQueue[K] | None = None,
        timeout: float | None = None,
        sync_timeout: float | None = DEFAULT_SYNC_TIMEOUT,
        grace: float | None = DEFAULT_GRACE,
        drain: bool = False,
        debounce: Debounce | None = None,
        leader: LeaderElector | Leadership | None = None,
        shards: ShardGroup | None = None,
        own_writes: float = DEFAULT_WAIT,
        metrics: WorkMetrics | None = None,
    ) -> None:
        check_reconcile(name, reconcile)
        check_figures(
            name, workers=workers, timeout=timeout, sync_timeout=sync_timeout, grace=grace, own_writes=own_writes
        )
        self.name = name
        self._watches_nothing_on_purpose = queue is not None
        # Not `queue or ...`: an empty queue is false.
        self.queue: RateLimitingQueue[K] = RateLimitingQueue(name=name, metrics=metrics) if queue is None else queue
        self._gate: WriteGate[K] = WriteGate(name, self.queue.release, timeout=own_writes)
        if shards is not None and leader is not None:
            msg = f"controller {name!r}: with a leader one replica works, and with shards all do; give one of the two"
            raise ValueError(msg)
        self._group = shards
        self._slices: SliceOwnership[K] | None = None if shards is None else _slices_of(name, shards, self.queue)
        self._ownership: Ownership[K] = Ownership(name) if self._slices is None else self._slices
        self._workers = Workers(
            *(name, self.queue, reconcile, workers, timeout),
            recording=self._gate.recording,
            ownership=self._ownership,
        )
        self.queue.hold_back(self._must_wait)
        self._sync_timeout = sync_timeout
        self._grace = grace
        self._drain = drain
        self._debounce = debounce
        self._elector = leader if isinstance(leader, LeaderElector) else None
        self._leadership = None if isinstance(leader, LeaderElector) else leader
        self._watches: Watches[K] = Watches(f"controller {name}", self._gate)
        self._state = ControllerState.NEW
        self._background = BackgroundTask(f"controller {name}")
        if self._slices is not None:
            self._slices.handlers_idle = lambda: self._watches.idle
            self._slices.in_progress = self._workers.in_progress
            self._slices.revoke = self._workers.revoke
            self._slices.join()
        if metrics is not None:
            self._workers.outcomes.report_to(metrics.controller(name, self))

    def __repr__(self) -> str:
        return f"<Controller {self.name} {self._state} workers={self.workers} {self.queue!r}>"

    def before_reconcile(self, hook: Hook[K]) -> Self:
        """Have a function asked before each reconcile of a key whether something must happen first.

        It is called by the worker that has taken the key. If it returns `None`, reconcile is called. If it returns an
        awaitable, the key is put aside while that is awaited, and the worker goes on with other keys: no other key is
        delayed. Then the key is queued again with its priority, and all hooks are asked anew, so that their conditions
        hold at the very moment at which reconcile begins. A hook must therefore bound its waiting
        itself, and answer `None` in the end. Events of a key that is aside neither bring it back sooner nor twice.

        What the hook or its awaitable raises is a failure of the key like one of reconcile. When the controller stops,
        awaitables are cancelled.

        Args:
            hook: a plain function from a key to `None` or an awaitable.

        Returns:
            The controller itself, so that calls can be chained.

        Raises:
            AlreadyStartedError: the controller runs, or has run.
            TypeError: `hook` is a coroutine function: it would never answer `None`.
        """
        self._check_not_started("be given another hook")
        check_hook(self.name, hook)
        self._workers.before.hooks.append(hook)
        return self

    def led_by(self, leader: LeaderElector | Leadership) -> Self:
        """Have it work only while this replica leads, as with the argument `leader`.

        Returns:
            The controller itself, so that calls can be chained.

        Raises:
            AlreadyStartedError: the controller runs, or has run.
            ValueError: it has a leader already, or divides its keys among replicas.
        """
        self._check_not_started("be given a leader")
        if self._group is not None:
            msg = f"controller {self.name!r} divides its keys among replicas, and cannot have a leader"
            raise ValueError(msg)
        if self.is_led:
            msg = f"controller {self.name!r} has a leader already"
            raise ValueError(msg)
        self._elector = leader if isinstance(leader, LeaderElector) else None
        self._leadership = None if isinstance(leader, LeaderElector) else leader
        return self

    @property
    def is_led(self) -> bool:
        """Return whether it works only while this replica leads."""
        return self._elector is not None or self._leadership is not None

    @property
    def elector(self) -> LeaderElector | None:
        """The elector of its own, if it was given one as `leader`."""
        return self._elector

    @property
    def shards(self) -> ShardGroup | None:
        """The group of replicas that divide the keys; `None` without one."""
        return self._group

    @property
    def workers(self) -> int:
        """Maximum number of reconciles at once."""
        return self._workers.count

    @property
    def active_workers(self) -> int:
        """Number of reconciles that run now."""
        return len(self._workers.in_progress)

    @property
    def own_write_waits(self) -> int:
        """Number of times that a key had to wait until the caches showed the writes for it."""
        return self._gate.waits

    @property
    def own_write_timeouts(self) -> int:
        """Number of times that this took too long, and reconcile was called with caches that were behind."""
        return self._gate.given_up

    @property
    def status(self) -> ControllerStatus[K]:
        """The status of the controller at this moment.

        Raises:
            RuntimeError: no event loop is running.
        """
        now = asyncio.get_running_loop().time()
        workers = self._workers
        key, error, at = workers.outcomes.last_failure or (None, "", None)
        failure = self._background.failure
        if failure is not None:
            key, error = None, in_a_line(failure)
        return ControllerStatus(
            name=self.name,
            state=self._state,
            taken_at=now,
            workers=workers.count,
            depth=self.queue.depth,
            delayed=self.queue.delayed,
            aside=len(workers.before.waits) + len(self.queue.held),
            in_progress=workers.seconds_in_progress(now),
            failing=dict(workers.outcomes.failing),
            last_error=error,
            last_error_key=key,
            last_error_at=at,
            results=dict(workers.outcomes.results),
            own_write_waits=self.own_write_waits,
            own_write_timeouts=self.own_write_timeouts,
            not_ours=self._ownership.not_ours,
            metrics_failures=self.queue.metrics_failures + workers.outcomes.metrics_failures,
        )

    async def __aenter__(self) -> Self:
        """Register with the informers, wait for their caches and, with an elector, for leadership; start the workers.

        If cancelled while waiting, the handlers are removed again, and no reconcile has been called.

        Raises:
            AlreadyStartedError: the controller runs, or has run; or its elector takes part already.
            CacheSyncError: caches were not filled within `sync_timeout`; the message names them.
            StoppedError: an informer has been stopped.
        """
        self._check_not_started("start again")
        if not (self._watches or self._watches_nothing_on_purpose or len(self.queue) or self.queue.delayed):
            message = (
                "controller %s watches nothing: only controller.queue.add(key) brings work; see watches() and owns()"
            )
            _log.warning(message, self.name)
        self._state = ControllerState.WAITING_FOR_CACHES
        try:
            self._watches.begin()
            await wait_for_caches(self.name, self._watches.sources, self._sync_timeout)
            if self._elector is not None:
                self._state = ControllerState.STANDING_BY
                self._leadership = await self._elector.__aenter__()
        except BaseException:
            self._leave_group()
            await self._discard()
            self._state = ControllerState.STOPPED
            raise
        self._state = ControllerState.RUNNING
        self._background.start(self._workers.run(self._leadership), on_end=self._workers_ended)
        if self._slices is not None:
            self._slices.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take no more work, give the reconciles under way `grace` seconds, then cancel them.

        Queued keys are dropped, unless the controller drains: the next start finds their objects in the caches. If
        cancelled meanwhile, the reconciles are cancelled at once. Nothing of the controller runs any more when this has
        returned or raised. Then the elector, if there is one, gives the lease back.

        Raises:
            LeadershipLostError: leadership was lost, and the elector has cancelled the body because of that.
        """
        self._background.refuse_other_loop()
        try:
            await self._stop()
        except BaseException as failure:
            if self._elector is not None:
                await self._elector.__aexit__(type(failure), failure, failure.__traceback__)
            raise
        if self._elector is not None:
            await self._elector.__aexit__(kind, error, traceback)

    async def run(self) -> None:
        """Run until cancelled, then stop as `async with` does; also ends when the queue was shut down and is empty.

        Raises:
            AlreadyStartedError: the controller runs, or has run; or its elector takes part already.
            CacheSyncError: caches were not filled within `sync_timeout`; the message names them.
            LeadershipLostError: this replica leads no longer.
            StoppedError: an informer has been stopped.
        """
        async with self:
            await self._background.join()
            if self._leadership is not None:
                # With `on_loss` other than "cancel", this task has not been cancelled.
                self._leadership.check()

    def discard(self) -> None:
        """Begin no reconcile any more, from this moment on; queued keys are dropped. Reconciles under way go on.

        Stop the controller afterwards, as usual.
        """
        self._workers.discard()

    def _must_wait(self, key: K) -> bool:
        return self._gate.must_wait(key) or self._workers.outcomes.patience.must_wait(key)

    def _workers_ended(self) -> None:
        """Say it loudly if the workers ended by a defect, while no one stopped the controller."""
        failure = self._background.failure
        if failure is not None and self._state is ControllerState.RUNNING:
            self._state = ControllerState.FAILED
            message = "controller %s has failed: its workers have ended, and nothing is reconciled any more"
            _log.critical(message, self.name, exc_info=failure)

    def _refuse_if_stopped(self) -> None:
        if self._state in {ControllerState.STOPPING, ControllerState.STOPPED, ControllerState.FAILED}:
            msg = f"controller {self.name!r} has stopped, and watches no other informer; make a new one"
            raise StoppedError(msg)

    def _check_not_started(self, doing: str) -> None:
        if self._state is not ControllerState.NEW:
            msg = f"controller {self.name!r} has been started, and cannot {doing}; make a new one"
            raise AlreadyStartedError(msg)

    async def _stop(self) -> None:
        self._state = ControllerState.STOPPING
        try:
            if self._group is not None:
                # While the caches and the workers are live: so no deletion is lost, and no slice is idle for long.
                await self._group.leave()
            if self._drain:
                async with asyncio.timeout(self._grace):
                    await self._stop_listening()
                    self.queue.add_debounced_now()
                    await self.queue.shut_down()
                    await self._background.join()
            else:
                await self._discard()
                async with asyncio.timeout(self._grace):
                    await self._background.join()
        except TimeoutError:
            _log.warning("controller %s: cancelling the reconciles under way after %s s", self.name, self._grace)
        finally:
            try:
                await self._background.stop()
            finally:
                self._state = ControllerState.STOPPED
                self._leave_group()
                await self._discard()

    def _leave_group(self) -> None:
        if self._slices is not None:
            self._slices.leave()

    async def _discard(self) -> None:
        """Begin no reconcile and take no event any more."""
        self._workers.discard()
        self._gate.close()
        self._workers.outcomes.patience.close()
        await self.queue.shut_down()
        await self._stop_listening()

    async def _stop_listening(self) -> None:
        await self._watches.close()


def _slices_of(name: str, group: ShardGroup, queue: RateLimitingQueue[K]) -> SliceOwnership[K]:
    # Imported here, because most programs have no shard group.
    from kinformer.controller._slice_ownership import SliceOwnership

    return SliceOwnership(name, group, queue)
