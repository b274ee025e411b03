"""One cluster of a fleet, from its join to its end: connect, fill the caches, work, and start anew after a failure.

    CONNECTING ──▶ (DUPLICATE) ──▶ SYNCING ──▶ (STANDING_BY) ──▶ READY ◀──▶ DEGRADED
        ▲  └──▶ UNREACHABLE ◀──────────┴─────────────────┴──▶ FAILED
        └──────────────┴── after a delay, or at once when the credentials are rotated

A member shares nothing with the other members but the table of uids: it has a client, a factory and controllers of its
own. So a cluster that hangs can only hold its own tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kinformer._flag import Flag
from kinformer._survivable import is_survivable
from kinformer._tasks import BackgroundTask
from kinformer.controller import Controller
from kinformer.errors import (
    ApiError,
    ConfigError,
    LeadershipLostError,
    ServerError,
    StoppedError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
    UnexpectedError,
)
from kinformer.fleet._credentials import RotatingCredentials, same_endpoint
from kinformer.fleet.cluster import Cluster
from kinformer.fleet.status import ClusterState, ClusterStatus
from kinformer.resources import NAMESPACES
from kinformer.status import Health, InformerState, health_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kinformer.backoff import Backoff
    from kinformer.client import Client
    from kinformer.config import ClusterConfig
    from kinformer.fleet._feed import Feed
    from kinformer.informer.factory import SharedInformerFactory
    from kinformer.operators.leadership import Leadership

__all__ = ["Gate", "Member", "Plan"]

# The logger that users know.
_log = logging.getLogger("kinformer.fleet")

TRIED_AFTER: Final = 30.0
"""Seconds after which a cluster counts as tried, so that a slow one does not keep a replica from being ready."""

_UNREACHABLE = (TransportError, ApiError, ConfigError)


class Gate:
    """The permission of controllers to work: always, or only while this replica leads."""

    def __init__(self) -> None:
        self.leadership: Leadership | None = None
        self._open = Flag()
        self._open.set()

    @property
    def is_open(self) -> bool:
        """True if controllers may work now."""
        return self._open.is_set()

    def close(self) -> None:
        """Let no further controller start."""
        self._open.clear()
        self.leadership = None

    def open(self, leadership: Leadership) -> None:
        """Let controllers work in this term."""
        self.leadership = leadership
        self._open.set()

    async def wait(self) -> None:
        """Wait until controllers may work."""
        await self._open.wait()


@dataclass(eq=False)
class Plan:
    """The settings that all members of a fleet have in common.

    Attributes:
        client: makes the client of a cluster.
        factory: makes the factory of a client.
        backoff: delays between attempts to join.
        refuses_duplicates: whether a cluster is refused that has joined by another name.
        leave_grace: seconds that reconciles have when their cluster leaves.
        gate: whether controllers may work.
        declared: called with each cluster before the functions of the program; they ask for informers.
        setups: the functions of the program.
        feeds: the controllers that work on all clusters.
        by_uid: the members that have joined, by the uid of their cluster.
        changed: called when the state of a member has changed.
    """

    client: Callable[[str, ClusterConfig], Client]
    factory: Callable[[Client], SharedInformerFactory]
    backoff: Backoff
    refuses_duplicates: bool
    leave_grace: float
    changed: Callable[[], None]
    gate: Gate = field(default_factory=Gate)
    declared: list[Callable[[Cluster], object]] = field(default_factory=list)
    setups: list[Callable[[Cluster], object]] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    by_uid: dict[str, Member] = field(default_factory=dict)


class Member:
    """Keeps one cluster joined, until `leave` or `end`.

    Args:
        name: the name of the cluster.
        config: its configuration.
        plan: the settings of the fleet.

    Attributes:
        cluster: the cluster while its caches are live; `None` before and after.
        background: the task.
    """

    def __init__(self, name: str, config: ClusterConfig, plan: Plan) -> None:
        self.name = name
        self.cluster: Cluster | None = None
        self._leaving = False
        self.background = BackgroundTask(f"kinformer fleet: cluster {name}")
        self._plan = plan
        self._config = config
        self._credentials = RotatingCredentials(config)
        self._state = ClusterState.CONNECTING
        self._began = self._since = asyncio.get_running_loop().time()
        self._error: BaseException | None = None
        self._failures = 0
        self._retry_at: float | None = None
        self._tried = False
        self._uid = ""
        self._same_as = ""
        # Set when something has happened that ends a wait: new credentials, a controller that has ended.
        self._woken = Flag()
        self._released = Flag()
        self._controllers: dict[str, Controller[Any]] = {}
        self._running: list[BackgroundTask] = []
        self._grace: float | None = None
        self._work_is_over = False

    @property
    def leaving(self) -> bool:
        """True if it is to end."""
        return self._leaving

    @property
    def config(self) -> ClusterConfig:
        """The newest configuration."""
        return self._config

    @property
    def tried(self) -> bool:
        """True if the caches have synced, a first attempt has failed, or it has had time enough for both."""
        if self._tried or asyncio.get_running_loop().time() - self._began > TRIED_AFTER:
            return True
        if self.cluster is None:
            return False
        return any(informer.status.failures for informer in self.cluster.factory.informers.values())

    @property
    def live(self) -> Cluster | None:
        """The cluster if all of its caches have synced."""
        cluster = self.cluster
        if cluster is None or not all(informer.has_synced for informer in cluster.factory.informers.values()):
            return None
        return cluster

    def start(self, on_end: Callable[[], None]) -> None:
        """Begin to join."""
        self.background.start(self._run(), on_end=on_end)

    def fits(self, config: ClusterConfig) -> bool:
        """Return whether a newer configuration can be taken without a new client."""
        return same_endpoint(self._config, config)

    def rotate(self, config: ClusterConfig) -> None:
        """Take the credentials of a newer configuration. The caches stay, and no list is made."""
        if config is self._config:
            return
        self._config = config
        self._credentials.rotate(config)
        if self._state in {ClusterState.UNREACHABLE, ClusterState.FAILED}:
            self._woken.set()
        elif self.cluster is not None:
            for informer in self.cluster.factory.informers.values():
                if informer.status.state is InformerState.WAITING:
                    informer.reconnect()

    def reject(self, error: ConfigError) -> None:
        """Note that the provider has a newer configuration that cannot be used; the present one stays in use."""
        self._error = error

    def leave(self) -> None:
        """End because the cluster has left: no reconcile begins, and those under way have the grace of the fleet."""
        if not self._leaving:
            for controller in self._controllers.values():
                # A cancellation comes some turns later, and a worker could take a key before that.
                controller.discard()
            for feed in self._plan.feeds:
                feed.close(self.name)
        self._stop(self._plan.leave_grace)

    def end(self) -> None:
        """End because the program ends: reconciles under way have the grace of their controllers."""
        self._stop(None)

    def _stop(self, grace: float | None) -> None:
        if not self._leaving:
            self._leaving = True
            self._grace = grace
            self._enter(ClusterState.LEAVING)
            # Once: a second cancellation would cut the end short.
            self.background.cancel()

    async def end_work(self) -> None:
        """End the controllers and keep the caches: this replica does not lead any more."""
        self._work_is_over = True
        self._woken.set()
        await self._end_controllers()
        if self._state in {ClusterState.READY, ClusterState.SYNCING}:
            self._enter(ClusterState.STANDING_BY)

    def look(self) -> None:
        """Start anew if an informer has ended by itself: only a new one helps."""
        if self.cluster is not None and any(_has_ended(one) for one in self.cluster.factory.informers.values()):
            self._woken.set()

    def status(self, now: float) -> ClusterStatus:
        """Return the present status."""
        cluster = self.cluster
        informers = {} if cluster is None else {one.name: one.status for one in cluster.factory.informers.values()}
        state, since, error = self._state, self._since, self._error
        failing = [one for one in informers.values() if health_of(one) in {Health.FAILING, Health.ENDED}]
        if failing:
            worst = min(failing, key=lambda one: now if one.failing_since is None else one.failing_since)
            error = worst.last_error or error
            if state is ClusterState.READY:
                state, since = ClusterState.DEGRADED, worst.failing_since or since
        return ClusterStatus(
            name=self.name,
            server=self._config.server,
            state=state,
            since=since,
            error=error,
            failures=self._failures,
            retry_at=self._retry_at,
            uid=self._uid,
            same_as=self._same_as,
            tried=self.tried,
            objects=sum(one.objects for one in informers.values()),
            informers=informers,
            controllers={name: controller.status for name, controller in self._controllers.items()},
        )

    # The life of a member

    async def _run(self) -> None:
        while True:
            try:
                await self._join()
                error: BaseException = UnexpectedError(f"cluster {self.name!r} has ended by itself")
            except BaseException as failure:
                if not is_survivable(failure):
                    raise
                error = failure
            if self.leaving:
                _log.warning("cluster %r failed while it left", self.name, exc_info=error)
                return
            self._failed(error)
            await self._pause()

    async def _join(self) -> None:
        """Connect and work until something fails."""
        self._enter(ClusterState.CONNECTING)
        self._woken.clear()
        client = self._plan.client(self.name, self._credentials.using(self._config))
        async with client:
            self._uid = await _uid_of_cluster(client)
            try:
                await self._be_the_only_one()
                await self._live(client)
            finally:
                if self._plan.by_uid.get(self._uid) is self:
                    del self._plan.by_uid[self._uid]
                self._released.set()
                self._released = Flag()

    async def _be_the_only_one(self) -> None:
        """Wait while the cluster has joined by another name."""
        if not (self._uid and self._plan.refuses_duplicates):
            return
        while (other := self._plan.by_uid.get(self._uid)) is not None:
            self._same_as = other.name
            self._tried = True
            if self._state is not ClusterState.DUPLICATE:
                message = "cluster %r is the same as %r (uid of kube-system); it waits until that one has left"
                _log.warning(message, self.name, other.name)
            self._enter(ClusterState.DUPLICATE)
            await other._released.wait()
        self._same_as = ""
        self._plan.by_uid[self._uid] = self

    async def _live(self, client: Client) -> None:
        plan = self._plan
        factory = plan.factory(client)
        cluster = Cluster(self.name, client, factory)
        for declare in plan.declared:
            declare(cluster)
        contexts: list[contextlib.AbstractAsyncContextManager[Any]] = []
        controllers: dict[str, Controller[Any]] = {}
        for setup in plan.setups:
            for part in _parts_of(setup, cluster):
                if isinstance(part, Controller):
                    if part.name in controllers:
                        msg = f"cluster {self.name!r} would have two controllers named {part.name!r}; give each its own"
                        raise ValueError(msg)
                    controllers[part.name] = part
                else:
                    contexts.append(part)
        self.cluster = cluster
        self._controllers = controllers
        self._enter(ClusterState.SYNCING)
        try:
            if not factory.started:
                factory.start()
            await factory.wait_for_cache_sync()
            self._failures, self._tried = 0, True
            if not plan.gate.is_open:
                self._enter(ClusterState.STANDING_BY)
                await plan.gate.wait()
            async with contextlib.AsyncExitStack() as entered:
                for context in contexts:
                    await entered.enter_async_context(context)
                for feed in plan.feeds:
                    feed.attach(cluster)
                    entered.push_async_callback(self._detach, feed, cluster)
                await self._work(controllers)
        finally:
            self.cluster = None
            self._controllers = {}
            await factory.stop()

    async def _detach(self, feed: Feed, cluster: Cluster) -> None:
        feed.close(self.name)
        await feed.detach(cluster)

    async def _work(self, controllers: dict[str, Controller[Any]]) -> None:
        """Run the controllers until one of them ends, or an informer has ended."""
        leadership = self._plan.gate.leadership
        self._enter(ClusterState.READY)
        try:
            for name, controller in controllers.items():
                if leadership is not None:
                    controller.led_by(leadership)
                task = BackgroundTask(f"kinformer fleet: controller {name} of cluster {self.name}")
                task.start(controller.run(), on_end=self._woken.set)
                self._running.append(task)
            while not self.leaving:
                await self._woken.wait()
                self._woken.clear()
                if not self._work_is_over:
                    self._raise_failures(controllers)
        finally:
            await self._end_controllers()

    def _raise_failures(self, controllers: dict[str, Controller[Any]]) -> None:
        """Raise if a controller or an informer has ended.

        Raises:
            BaseException: the error of the controller.
            StoppedError: an informer has ended.
        """
        for task, name in zip(self._running, controllers, strict=True):
            if not task.running:
                if isinstance(task.failure, LeadershipLostError):
                    self._work_is_over = True
                    return
                if task.failure is not None:
                    raise task.failure
                raise UnexpectedError(f"controller {name} has ended by itself")
        cluster = self.cluster
        for informer in () if cluster is None else cluster.factory.informers.values():
            if _has_ended(informer):
                msg = f"the informer of {informer.name} has ended"
                raise StoppedError(msg) from informer.status.last_error

    async def _end_controllers(self) -> None:
        """End all controllers; cancel their reconciles when the grace is over."""
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        if self._grace is not None:
            # A controller must have had the first cancellation, which it takes as the request to stop.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    for task in running:
                        await task.join()
            for task in running:
                task.cancel()
        for task in running:
            await task.join()
            if task.failure is not None and self.leaving:
                _log.warning("cluster %r: a controller failed while it stopped", self.name, exc_info=task.failure)

    def _failed(self, error: BaseException) -> None:
        self._error = error
        self._failures += 1
        self._tried = True
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        delay = self._plan.backoff.delay(self._failures, retry_after=retry_after)
        self._retry_at = asyncio.get_running_loop().time() + delay
        if isinstance(error, _UNREACHABLE):
            if self._failures == 1:
                _log.warning("cluster %r cannot be reached, and is tried again: %s", self.name, error)
            self._enter(ClusterState.UNREACHABLE)
        else:
            _log.error("cluster %r has failed; next attempt in %.1f s", self.name, delay, exc_info=error)
            self._enter(ClusterState.FAILED)

    async def _pause(self) -> None:
        """Wait for the next attempt; new credentials end the wait."""
        assert self._retry_at is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._retry_at):
                await self._woken.wait()
        self._retry_at = None

    def _enter(self, state: ClusterState) -> None:
        if state is not self._state:
            if state is ClusterState.READY:
                _log.info("cluster %r is ready", self.name)
            self._state = state
            self._since = asyncio.get_running_loop().time()
            self._plan.changed()


async def _uid_of_cluster(client: Client) -> str:
    """Return the uid of the namespace kube-system; "" if it cannot be read, by RBAC for example.

    This is the first request. Any answer shows that the server is there; only a refusal of the credentials, and an
    answer that says "later", count as a failure.

    Raises:
        ApiError: 401, 429 or 5xx.
        TransportError: no answer came.
    """
    try:
        return (await client.get(NAMESPACES, "kube-system")).uid
    except (UnauthorizedError, TooManyRequestsError, ServerError):
        raise
    except ApiError:
        return ""


def _parts_of(setup: Callable[[Cluster], object], cluster: Cluster) -> Iterable[Any]:
    """Call a function of the program, and return the parts that it made.

    Raises:
        TypeError: it returned something else.
    """
    made = setup(cluster)
    if made is None:
        return []
    is_part = isinstance(made, Controller | contextlib.AbstractAsyncContextManager)
    parts: list[Any] = [made] if is_part else [*made] if isinstance(made, list | tuple) else [made]
    for part in parts:
        if not isinstance(part, Controller | contextlib.AbstractAsyncContextManager):
            name = getattr(setup, "__qualname__", repr(setup))
            msg = (
                f"{name} returned a {type(part).__name__}; a function of Fleet.add returns a Controller, an async "
                "context manager, a list of these, or None"
            )
            raise TypeError(msg)
    return parts


def _has_ended(informer: Any) -> bool:
    return informer.status.state in {InformerState.GAVE_UP, InformerState.FAILED}
