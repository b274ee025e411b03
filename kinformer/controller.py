"""Workers awaiting `reconcile(key)`: what turns caches that change into work.

    informer ──event──▶ filter ──▶ map: which keys? ──▶ RateLimitingQueue ──▶ N workers: reconcile(key)
                                                                ▲                   │
                                                                └─ after a while ───┘ raised, Requeue

A reconcile is given a key, not an event: it reads what is so now from the caches, and makes the world fit. Events that
come close together are one piece of work, and no key is ever with two workers at once.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, MappingView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar, cast, overload

from kinformer._tasks import BackgroundTask
from kinformer.errors import AlreadyStartedError, CacheSyncError, StoppedError
from kinformer.events import Added, Event, Updated
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import Resource
from kinformer.workqueue import DEFAULT_PRIORITY, LOW_PRIORITY, RateLimitingQueue

if TYPE_CHECKING:
    from types import TracebackType

    from kinformer.metrics import ControllerMetrics, FailureCause, ReconcileResult, WorkMetrics

__all__ = ["Controller", "Requeue", "TerminalError"]

K = TypeVar("K", bound=Hashable)

_log = logging.getLogger(__name__)

# controller-runtime: pkg/controller/controller.go (CacheSyncTimeout), pkg/manager/manager.go (GracefulShutdownTimeout).
DEFAULT_SYNC_TIMEOUT: Final = 120.0
DEFAULT_GRACE: Final = 30.0

# Seconds until it is tried again after what must not happen: a limiter or a queue of the user's own that raises.
_PAUSE_AFTER_BUG: Final = 1.0


@dataclass(frozen=True, slots=True)
class Requeue:
    """What a reconcile returns to be called again.

    Args:
        after: seconds to wait; 0 is as soon as a worker is free, without any backoff.
        priority: with which the key comes again; the one it came with when left out.

    Raises:
        ValueError: `after` is negative or not finite.
    """

    after: float
    priority: int | None = None

    def __post_init__(self) -> None:
        if not (self.after >= 0 and math.isfinite(self.after)):
            msg = f"Requeue(after={self.after}): expected a finite number of seconds, 0 or more"
            raise ValueError(msg)


class TerminalError(Exception):
    """Raised by a reconcile that need not be tried again: it is logged, and the key rests until its next event."""


class Registration(Protocol):
    """What an informer returns for a handler."""

    async def remove(self) -> None:
        """Take the handler away; it is not called again."""
        ...


class Source(Protocol):
    """What a controller can watch; a `SharedInformer` is one."""

    @property
    def resource(self) -> Resource:
        """What its events are about."""
        ...

    def add_event_handler(self, *, on_event: Callable[[Event], None], name: str) -> Registration:
        """Have the function called with each event, beginning with an `Added` for all that is there."""
        ...

    async def synced(self, timeout: float | None = None) -> None:
        """Wait until the cache is filled.

        Raises:
            CacheSyncError: it was not in `timeout` seconds.
        """
        ...


Reconcile: TypeAlias = Callable[[K], Awaitable[Requeue | None]]
Keys: TypeAlias = K | list[K] | AbstractSet[K] | Iterator[K] | None
Filter: TypeAlias = Callable[[Event], bool]
Hook: TypeAlias = Callable[[K], Awaitable[object] | None]


def _as_keys(mapped: Any) -> Iterable[Any]:
    """One key or many? Tuples and strings are keys: an `ObjectKey` is a tuple."""
    if mapped is None:
        return ()
    many = isinstance(mapped, list | AbstractSet | Iterator | MappingView)
    return cast("Iterable[Any]", mapped) if many else (mapped,)


def _key_of(obj: KubeObject) -> ObjectKey:
    return obj.key


def _priority_of(event: Event) -> int:
    """What was there already, and what has not changed, can wait until what has changed is done."""
    match event:
        case Added(initial=True):
            return LOW_PRIORITY
        case Updated(is_resync=True):
            return LOW_PRIORITY
        case _:
            return DEFAULT_PRIORITY


class _OwnerKeys:
    """Maps an object to the key of its controlling owner, if that is of the given resource."""

    def __init__(self, owner: Resource) -> None:
        self._owner = owner

    def __call__(self, obj: KubeObject) -> list[ObjectKey]:
        owner = self._owner
        return [
            ObjectKey(obj.namespace if owner.namespaced else "", reference["name"])
            for reference in obj.at("metadata.ownerReferences") or ()
            if reference.get("controller")
            and reference.get("kind") == owner.kind
            # The version may be another one: the owner is the same object in all of them.
            and reference.get("apiVersion", "").rpartition("/")[0] == owner.group
        ]


class _Watch(Generic[K]):
    """One informer a controller listens to: which events count, and which keys they concern."""

    def __init__(
        self, source: Source, keys_of: Callable[[KubeObject], Any], admit: Filter | None, queue: RateLimitingQueue[K]
    ) -> None:
        self.source = source
        self._keys_of = keys_of
        self._admit = admit
        self.queue = queue

    def on_event(self, event: Event) -> None:
        """Queue the keys of the object; of an update, those of the new state and of the old one."""
        if self._admit is not None and not self._admit(event):
            return
        priority = _priority_of(event)
        for key in _as_keys(self._keys_of(event.obj)):
            self.queue.add(key, priority=priority)
        if isinstance(event, Updated):
            for key in _as_keys(self._keys_of(event.old)):
                self.queue.add(key, priority=priority)


class Controller(Generic[K]):
    """Workers that call `reconcile(key)` for whatever the watched informers say.

        async def reconcile(key: ObjectKey) -> Requeue | None:
            deployment = deployments.lister.get(key.name, namespace=key.namespace)
            ...

        controller = Controller("web", reconcile).watches(deployments).owns(replicasets, owner=deployments)
        async with factory, controller:
            ...

    When reconcile returns `None`, the key is done with, and its failures are forgotten. `Requeue(after)` is the same,
    and the key comes again after that time. When it raises, the key and the traceback are logged, and the key comes
    again after the queue's rate limiter's time; after a `TerminalError` it does not.

    A controller runs once. It needs no Kubernetes: without `watches`, `controller.queue.add(key)` is what brings work.

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
        metrics: told of each reconcile, and of the queue, unless that was given and has its own.

    Attributes:
        name: as given.
        queue: as given, or the one that was made.

    Raises:
        TypeError: `reconcile` cannot be called.
        ValueError: there is no name, no worker, or a time is out of its range.
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
        metrics: WorkMetrics | None = None,
    ) -> None:
        if not name:
            raise ValueError("a controller needs a name; its logs and tasks go by it")
        if not callable(reconcile):
            msg = f"controller {name!r}: reconcile must be a coroutine function, not {type(reconcile).__name__}"
            raise TypeError(msg)
        if workers < 1:
            msg = f"controller {name!r}: workers={workers}; at least 1 is needed to get anything done"
            raise ValueError(msg)
        for what, seconds in (("timeout", timeout), ("sync_timeout", sync_timeout)):
            if seconds is not None and not seconds > 0:
                msg = f"controller {name!r}: {what}={seconds}; expected seconds above 0, or None for no limit"
                raise ValueError(msg)
        if grace is not None and not grace >= 0:
            msg = f"controller {name!r}: grace={grace}; expected 0 seconds or more, or None for no limit"
            raise ValueError(msg)
        self.name = name
        # Not `queue or ...`: an empty queue is false.
        self.queue: RateLimitingQueue[K] = RateLimitingQueue(name=name, metrics=metrics) if queue is None else queue
        self._reconcile = reconcile
        self._number_of_workers = workers
        self._timeout = timeout
        self._sync_timeout = sync_timeout
        self._grace = grace
        self._watches: list[_Watch[K]] = []
        self._registrations: list[Registration] = []
        self._background = BackgroundTask(f"controller {name}")
        self._started = False
        self._stopping = False
        self._hooks: list[Hook[K]] = []
        self._aside: set[asyncio.Task[BaseException | None]] = set()
        self._active = 0
        self._metrics: ControllerMetrics | None = None if metrics is None else metrics.controller(name, self)

    def __repr__(self) -> str:
        state = "stopped" if self._stopping else "started" if self._started else "not started"
        return f"<Controller {self.name} {state} workers={self._number_of_workers} {self.queue!r}>"

    @overload
    def watches(
        self: Controller[ObjectKey],
        informer: Source,
        map: None = None,
        filter: Filter | None = None,
    ) -> Controller[ObjectKey]: ...

    @overload
    def watches(
        self,
        informer: Source,
        map: Callable[[KubeObject], Keys[K]],
        filter: Filter | None = None,
    ) -> Self: ...

    def watches(
        self,
        informer: Source,
        map: Callable[[KubeObject], Any] | None = None,  # noqa: A002 - the name everybody expects
        filter: Filter | None = None,  # noqa: A002 - the name everybody expects
    ) -> Any:
        """Have the events of an informer bring work. The handler is registered when the controller starts.

        Args:
            informer: what to listen to; the controller waits for its cache before it calls reconcile.
            map: from an object to what must be reconciled because of it: one key, or a list, set or iterator of keys,
                or `None` for nothing. Of an update both the new and the old object are mapped. The object's own key
                when left out. If it raises, the informer logs and counts that as a handler's failure.
            filter: takes an event (`Added`, `Updated`, `Deleted`); returns whether it counts. All do when left out.

        Returns:
            The controller itself, so that calls can be chained.

        Raises:
            AlreadyStartedError: the controller runs, or has run.
        """
        self._check_not_started("watch another informer")
        self._watches.append(_Watch(informer, _key_of if map is None else map, filter, self.queue))
        return self

    def owns(
        self: Controller[ObjectKey],
        informer: Source,
        owner: Resource | Source,
        filter: Filter | None = None,  # noqa: A002 - the name everybody expects
    ) -> Controller[ObjectKey]:
        """Have the events of an informer bring work for the objects that control (own) its objects.

        The owner is found in `metadata.ownerReferences`: the one reference with `controller: true`, if its kind and
        API group are those of `owner`; other objects bring no work.

        Args:
            informer: the informer of what is owned; the controller waits for its cache before it calls reconcile.
            owner: the owners' resource, or their informer (for its resource: it is not itself watched).
            filter: as for `watches`.

        Returns:
            The controller itself, so that calls can be chained.

        Raises:
            AlreadyStartedError: the controller runs, or has run.
            ValueError: the owners live in namespaces and the owned do not, which Kubernetes does not allow.
        """
        owners = owner if isinstance(owner, Resource) else owner.resource
        owned = informer.resource
        if owners.namespaced and not owned.namespaced:
            msg = (
                f"controller {self.name!r}: {owned.qualified} are cluster-scoped and cannot be owned by "
                f"{owners.qualified}, which live in namespaces; use watches(..., map=...)"
            )
            raise ValueError(msg)
        return self.watches(informer, _OwnerKeys(owners), filter)

    def before_reconcile(self, hook: Hook[K]) -> Self:
        """Have a function asked before each reconcile of a key whether something must happen first.

        It is called by the worker that has taken the key. If it returns `None`, reconcile is called. If it returns an
        awaitable, the key is put aside while that is awaited, and the worker goes on with other keys: nobody else is
        held up, whatever it takes. Then the key is queued again with its priority, and all hooks are asked anew, so
        that what they promise is so in the very moment reconcile begins. A hook must therefore bound its waiting
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
        if inspect.iscoroutinefunction(hook):
            msg = (
                f"controller {self.name!r}: a hook is a plain function that returns None, or an awaitable when there "
                "is something to wait for; a coroutine function would be waited for again and again"
            )
            raise TypeError(msg)
        self._hooks.append(hook)
        return self

    @property
    def workers(self) -> int:
        """How many reconciles may run at once."""
        return self._number_of_workers

    @property
    def active_workers(self) -> int:
        """How many reconciles run now."""
        return self._active

    async def __aenter__(self) -> Self:
        """Register with the informers, wait for their caches, and start the workers.

        If cancelled while waiting, the handlers are removed again, and no reconcile has been called.

        Raises:
            AlreadyStartedError: the controller runs, or has run.
            CacheSyncError: caches were not filled within `sync_timeout`; the message names them.
            StoppedError: an informer has been stopped.
        """
        self._check_not_started("start again")
        self._started = True
        try:
            handler = f"controller {self.name}"
            for watch in self._watches:
                self._registrations.append(watch.source.add_event_handler(on_event=watch.on_event, name=handler))
            await self._wait_for_caches()
        except BaseException:
            await self._stop_taking_work()
            raise
        self._background.start(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take no more work, give the reconciles under way `grace` seconds, then cancel them.

        What is still queued is dropped: the next start finds it in the caches. If cancelled meanwhile, the reconciles
        are cancelled at once. Nothing of the controller runs any more when this has returned or raised.
        """
        try:
            await self._stop_taking_work()
            async with asyncio.timeout(self._grace):
                await self._background.join()
        except TimeoutError:
            _log.warning("controller %s: cancelling what is still under way after %s s", self.name, self._grace)
        finally:
            await self._background.stop()

    async def run(self) -> None:
        """Run until cancelled, then stop as `async with` does; also ends when the queue was shut down and is empty.

        Raises:
            AlreadyStartedError: the controller runs, or has run.
            CacheSyncError: caches were not filled within `sync_timeout`; the message names them.
            StoppedError: an informer has been stopped.
        """
        async with self:
            await self._background.join()

    def _check_not_started(self, doing: str) -> None:
        if self._started:
            msg = f"controller {self.name!r} has been started, and cannot {doing}; make a new one"
            raise AlreadyStartedError(msg)

    async def _wait_for_caches(self) -> None:
        async def wait_for(source: Source) -> CacheSyncError | None:
            try:
                await source.synced(timeout=self._sync_timeout)
            except CacheSyncError as error:
                return error
            return None

        sources = {id(watch.source): watch.source for watch in self._watches}
        name = f"kinformer controller {self.name} waits for caches"
        try:
            async with asyncio.TaskGroup() as group:
                waits = [group.create_task(wait_for(source), name=name) for source in sources.values()]
        except ExceptionGroup as group_error:
            # One that will never be filled (its informer was stopped) ends the waiting for the others.
            raise group_error.exceptions[0] from None
        late = [error for wait in waits if (error := wait.result()) is not None]
        if late:
            msg = f"controller {self.name!r} cannot start: {'; '.join(map(str, late))}"
            raise CacheSyncError(msg, {cache: cause for error in late for cache, cause in error.causes.items()})

    async def _stop_taking_work(self) -> None:
        self._stopping = True
        await self.queue.shut_down()
        for task in self._aside:
            task.cancel()
        for registration in self._registrations:
            await registration.remove()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._number_of_workers):
                group.create_task(self._work(group), name=f"kinformer controller {self.name} worker {number}")

    async def _work(self, group: asyncio.TaskGroup) -> None:
        task = asyncio.current_task()
        # A reconcile may have swallowed the cancellation that was meant for the worker.
        while task is not None and not task.cancelling():
            try:
                await self._work_once(group)
            except StoppedError:
                if not self._aside:
                    return
                # The queue is drained, and what is aside will be queued once more.
                await asyncio.wait(self._aside, return_when=asyncio.FIRST_COMPLETED)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # Not a reconcile's: a bug in here or in a queue of the user's own. One must not stop all the others.
                _log.exception("controller %s: a worker failed, and goes on", self.name)
                await asyncio.sleep(_PAUSE_AFTER_BUG)
            # With work waiting, and a reconcile that never really waits, nobody else would have a turn.
            await asyncio.sleep(0)

    async def _work_once(self, group: asyncio.TaskGroup) -> None:
        key = await self.queue.get()
        aside = False
        try:
            if self._stopping:
                raise StoppedError("the controller stops; what is queued is not begun")
            aside = self._put_aside(key, group)
            if not aside:
                await self._process(key)
        finally:
            if not aside:
                self.queue.done(key)

    def _put_aside(self, key: K, group: asyncio.TaskGroup) -> bool:
        """Ask the hooks; if one of them wants something awaited, have that done, and return whether it is so."""
        for hook in self._hooks:
            try:
                waiting = hook(key)
            except Exception as error:  # noqa: BLE001 - a user's function; logged with its traceback by _failed
                self._failed(key, "failed before it began", error)
                self.queue.done(key)
                return True
            if waiting is not None:
                name = f"kinformer controller {self.name} waits before a reconcile"
                task = group.create_task(self._outcome_of(waiting), name=name)
                self._aside.add(task)
                # Not at the end of the coroutine: that is not reached when the task is cancelled before its first step.
                task.add_done_callback(functools.partial(self._come_back, key, waiting))
                return True
        return False

    async def _outcome_of(self, waiting: Awaitable[object]) -> BaseException | None:
        """What the awaitable raised; our own cancellation excepted."""
        try:
            await waiting
        except Exception as error:  # noqa: BLE001 - a user's awaitable; logged with its traceback by _failed
            return error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error
        return None

    def _come_back(self, key: K, waiting: Awaitable[object], task: asyncio.Task[BaseException | None]) -> None:
        """A key that was put aside is no longer."""
        self._aside.discard(task)
        error = None if task.cancelled() else task.result()
        if task.cancelled():
            if inspect.iscoroutine(waiting):
                waiting.close()
        elif error is None:
            self.queue.give_back(key)
            return
        else:
            self._failed(key, "failed before it began", error)
        self.queue.done(key)

    async def _process(self, key: K) -> None:
        limit = asyncio.timeout(self._timeout)
        outcome: Requeue | None = None
        cause: FailureCause | None = None
        began = asyncio.get_running_loop().time()
        self._active += 1
        try:
            async with limit:
                outcome = await self._reconcile(key)
            if not (outcome is None or isinstance(outcome, Requeue)):
                msg = f"reconcile returned a {type(outcome).__name__}; expected None or Requeue(after=...)"
                raise TypeError(msg)  # noqa: TRY301 - a failure of the reconcile like any other
        except TerminalError:
            cause = "terminal"
            self.queue.forget(key)
            _log.exception("controller %s: reconcile of %s failed for good", self.name, key)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                _log.warning("controller %s: reconcile of %s was cancelled", self.name, key)
                raise
            # Not we were cancelled, but something that the reconcile awaited.
            cause = "cancelled"
            self._failed(key, "was cancelled from within", error)
        except Exception as error:  # noqa: BLE001 - a user's reconcile; logged with its traceback by _failed
            cause = "timeout" if limit.expired() else "raised"
            self._failed(key, f"took longer than {self._timeout} s" if limit.expired() else "failed", error)
        else:
            self.queue.forget(key)
            if outcome is not None:
                priority = self._priority(key) if outcome.priority is None else outcome.priority
                self.queue.add_after(key, outcome.after, priority=priority)
        finally:
            self._active -= 1
        if self._metrics is not None:
            seconds = asyncio.get_running_loop().time() - began
            try:
                self._metrics.reconciled(_result(outcome, cause), seconds, cause)
            except Exception:  # noqa: BLE001 - logged with its traceback
                _log.exception("controller %s: its metrics raised", self.name)

    def _priority(self, key: K) -> int:
        priority = self.queue.priority(key)
        return DEFAULT_PRIORITY if priority is None else priority

    def _failed(self, key: K, how: str, error: BaseException) -> None:
        """Log what a key failed with, and have the key come again."""
        try:
            failures = self.queue.num_requeues(key) + 1
            text = "controller %s: reconcile of %s %s (failure %d)"
            _log.error(text, self.name, key, how, failures, exc_info=error)
            self.queue.add_rate_limited(key, priority=self._priority(key))
        except Exception:  # noqa: BLE001 - logged with its traceback
            # A limiter of the user's own. The key must come again all the same, and the worker go on.
            text = "controller %s: the rate limiter failed; %s comes again in %s s"
            _log.exception(text, self.name, key, _PAUSE_AFTER_BUG)
            self.queue.add_after(key, _PAUSE_AFTER_BUG, priority=self._priority(key))


def _result(outcome: Requeue | None, cause: FailureCause | None) -> ReconcileResult:
    if cause is not None:
        return "error"
    if outcome is None:
        return "success"
    return "requeue_after" if outcome.after > 0 else "requeue"
