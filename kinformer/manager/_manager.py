"""Manager: the parts of an operator, started in order, watched, and stopped in the opposite order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
from typing import TYPE_CHECKING, Any, Final, Self

import anyio

from kinformer._flag import Flag
from kinformer._survivable import is_survivable
from kinformer._tasks import BackgroundTask
from kinformer.controller import Controller
from kinformer.errors import AlreadyStartedError, NotStartedError, StoppedError, UnexpectedError, WaitTimeoutError
from kinformer.fleet import Fleet
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.integrations._web.local_server import LocalServer
from kinformer.integrations.status_endpoint import STATUS_PATH
from kinformer.manager import _pages as pages
from kinformer.manager._asgi import ManagerApp
from kinformer.manager._parts import Part, Stage, part_of, work_of_fleet
from kinformer.manager._watchdog import Watchdog
from kinformer.operators.leader_election import LeaderElector
from kinformer.status import Health, health_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from kinformer.operators.leadership import Leadership

__all__ = ["Manager"]

_log = logging.getLogger(__name__)

# controller-runtime: pkg/manager/manager.go (GracefulShutdownTimeout), pkg/cache (CacheSyncTimeout).
DEFAULT_GRACE: Final = 30.0
DEFAULT_SYNC_TIMEOUT: Final = 120.0
DEFAULT_PORT: Final = 8080
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the informers."""

_LOOK_FOR_CLUSTERS: Final = 0.25
"""Seconds between two looks at the clusters of fleets, while a task waits until the manager is ready."""

_LED: Final = (Controller, Fleet)
"""The parts that an elector leads unless they say otherwise."""


class Manager:
    """Runs the parts of an operator as one.

        manager = Manager(host="0.0.0.0")
        manager.add(factory, EventRecorder(client, "shops"), elector, controller)
        await manager.run()                    # until SIGTERM or SIGINT, or until a part fails

    Parts start in this order: the HTTP server; a `WebhookServer`; factories and informers, until their caches are in
    sync; async context managers and coroutine functions; controllers that work in each replica; the elector; and, once
    this replica leads, the controllers that work in the leading replica only. They stop in the opposite order, so that
    a controller ends before its caches do, and the lease is given back when its last reconcile has ended.

    If the manager has an elector, its controllers are led, except for those that have a `leader` of their own. With
    `add(controller, led=False)` a controller works in each replica.

    A part that fails stops all others, in order, and its error is raised. A part fails when it raises, when it ends
    by itself (a coroutine function may return), or when one of its informers has ended. Losing the leadership is a
    failure, too: the process ends, and its successor stands for election.

    While it runs, it serves /livez, /readyz, /metrics (with the extra prometheus) and /kinformer/status.

    `async with manager:` is the same without signals, for tests and for programs that do more: the body runs beside the
    parts and is cancelled when one of them fails. Parts that are added meanwhile start at once.

    Args:
        host: the address of the HTTP server; "0.0.0.0" for the kubelet's probes. "" for no server.
        port: its port; 0 for any free one, which `url` then has.
        hosts: names that may stand in a request's `Host`, besides loopback; `None` for any. Every IP address is allowed
            if `host` is not a loopback address.
        grace: seconds that all parts together have to stop, before they are cancelled once more.
        sync_timeout: seconds that the caches may take; `None` for ever.
        blocked_after: seconds after which a blocked event loop is logged, with the code that blocks it; `None` for
            never.
        hung_after: seconds after which a reconcile that still runs makes /livez fail, so that the kubelet restarts the
            container; `None` for never. `Controller(timeout=...)` cancels such a reconcile instead, which is better
            where a cancellation has an effect.

    Raises:
        ValueError: a time is not more than 0.

    Examples:
        >>> factory = SharedInformerFactory(client)
        >>> controller = Controller("example", reconcile).watches(factory.core.v1.pods)
        >>> async with Manager(host="").add(factory, controller):
        ...     await asyncio.sleep(0.2)
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        hosts: Collection[str] | None = (),
        grace: float = DEFAULT_GRACE,
        sync_timeout: float | None = DEFAULT_SYNC_TIMEOUT,
        blocked_after: float | None = 10.0,
        hung_after: float | None = None,
    ) -> None:
        times = (grace, sync_timeout, blocked_after, hung_after)
        if any(time is not None and time <= 0 for time in times):
            msg = f"times are more than 0 seconds, not {', '.join(map(str, times))}"
            raise ValueError(msg)
        self._host = host
        self._port = port
        self._grace = grace
        self._sync_timeout = sync_timeout
        self._watchdog = None if blocked_after is None else Watchdog(blocked_after)
        self._parts: list[Part] = []
        self._reached: Stage | None = None
        self._stopping = False
        self._stop = Flag()
        self._failure: BaseException | None = None
        self._failed_part = ""
        self._leadership: Leadership | None = None
        self._group: asyncio.TaskGroup | None = None
        self._background = BackgroundTask("manager")
        self._body: asyncio.Task[Any] | None = None
        self._cancellations_before = 0
        self._cancelled_body = False
        self._waits_itself = False
        self._changed = Flag()
        self._noted = Flag()
        self._server = None
        answers = {
            "/livez": lambda: pages.liveness(self._informers, self._controllers, self._failed_part, hung_after),
            "/readyz": lambda: pages.readiness(self._informers, self._waiting),
            "/metrics": pages.metrics,
            STATUS_PATH: lambda: pages.status(*self._informers.values(), *self._controllers, *self._fleets),
        }
        self._app = ManagerApp(self, answers)
        if host:
            self._server = LocalServer(answers, host=host, port=port, hosts=hosts, owner="Manager")

    def __repr__(self) -> str:
        state = self._waiting or "running"
        return f"<Manager {state} parts={[part.name for part in self._parts]}>"

    @property
    def url(self) -> str:
        """Return the address of the HTTP server, without a path; "" if there is none."""
        return self._server.url if self._server is not None else ""

    @property
    def app(self) -> ManagerApp:
        """Return the paths of the HTTP server as an ASGI application, to be mounted in FastAPI or Starlette.

        Examples:
            >>> manager = Manager(host="")
            >>> app = FastAPI()
            >>> app.mount("/operator", manager.app)
        """
        return self._app

    @property
    def host(self) -> str:
        """Return the address of the HTTP server, as given; "" if there is none."""
        return self._host

    @property
    def port(self) -> int:
        """Return the port of the HTTP server, as given."""
        return self._port

    @property
    def grace(self) -> float:
        """Return the seconds that all parts together have to stop."""
        return self._grace

    @property
    def parts(self) -> tuple[Any, ...]:
        """Return the parts, in the order in which their stages start."""
        return tuple(part.given for part in sorted(self._parts, key=lambda part: part.stage))

    @property
    def is_ready(self) -> bool:
        """Return whether all parts have started, except for those that wait for leadership, and none is stopping."""
        return not self._waiting

    async def ready(self, timeout: float | None = None) -> None:
        """Wait until the manager is ready; return at once if it is. See `is_ready`.

        `async with manager:` starts the parts in the background. So tests and programs wait here before they read from
        a cache. Cancelling the wait changes nothing.

        Args:
            timeout: seconds; `None` for no limit.

        Raises:
            WaitTimeoutError: not in time; names the parts that have not started.
            NotStartedError: the manager has not been started.
            StoppedError: the manager stops, or has stopped; the cause is the error of the part that failed, if one did.
            WrongLoopError: it was started in another event loop.
        """
        self._background.refuse_other_loop()
        if self._body is None:
            raise NotStartedError("this manager does not run; use `async with manager:` or run()")
        reason = ""
        try:
            async with asyncio.timeout(timeout):
                while reason := self._waiting:
                    if self._stopping or self._stop.is_set():
                        raise StoppedError(f"the manager will not be ready: {reason}") from self._failure
                    self._noted.clear()
                    # The clusters of a fleet settle without a note.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_FOR_CLUSTERS):
                            await self._noted.wait()
        except TimeoutError:
            raise WaitTimeoutError(f"the manager is not ready after {timeout:g} s: {reason}") from None

    def add(self, *parts: Any, led: bool | None = None) -> Self:
        """Add parts; while the manager runs, they start at once, or when their stage comes.

        Args:
            parts: factories, informers, controllers, fleets, one elector, async context managers, coroutine functions
                without arguments.
            led: whether controllers, fleets and coroutine functions work in the leading replica only. By default
                controllers and fleets do if the manager has an elector; functions do not. The caches of a fleet are
                filled in each replica.

        Returns:
            The manager itself.

        Raises:
            TypeError: an object is none of these.
            ValueError: `led` does not fit, or there is a second elector, or the part was added before.
            AlreadyStartedError: the manager stops, or has stopped; or an elector comes after the start.
        """
        if self._stopping:
            raise AlreadyStartedError("this manager stops, and takes no more parts; make a new one")
        # The elector first, so that the order of the arguments does not matter.
        for given in sorted(parts, key=lambda part: not isinstance(part, LeaderElector)):
            self._add(given, led)
        return self

    def _add(self, given: Any, led: bool | None) -> None:
        is_elector = isinstance(given, LeaderElector)
        if any(part.given is given for part in self._parts):
            msg = f"{given!r} is a part of this manager already"
            raise ValueError(msg)
        if is_elector and self._elector is not None:
            raise ValueError("a manager has one elector; give a controller its own with Controller(leader=...)")
        if is_elector and (self._background.running or any(isinstance(p.given, _LED) for p in self._parts)):
            raise AlreadyStartedError("add the elector before the controllers that it leads, and before the start")
        part = part_of(
            given,
            led=led,
            has_elector=self._elector is not None,
            leadership=self._term,
            sync_timeout=self._sync_timeout,
        )
        if is_elector:
            part.run = self._lead(given)
        added = [part]
        if isinstance(given, Fleet) and (self._elector is not None if led is None else led):
            given.stand_by()
            added.append(work_of_fleet(given, self._term))
        self._parts += added
        for one in added:
            if self._group is not None and self._reached is not None and one.stage <= self._reached:
                self._launch(one)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT comes, or until a part fails; then stop all parts.

        The first signal stops the parts, with `grace`. A second one ends the process at once, with exit code 1, as
        controller-runtime does. Signals are handled in the main thread only; elsewhere, and when cancelled, the manager
        stops as `async with` does.

        Raises:
            Exception: the error of the part that failed; its notes name the part.
        """
        loop = asyncio.get_running_loop()
        self._waits_itself = True
        handled = []
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not in the main thread, or on a loop that has no signals.
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(number, self._on_signal, number)
                handled.append(number)
        try:
            async with self:
                await self._stop.wait()
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Have the manager stop, as by SIGTERM; `run` then returns."""
        self._stop.set()
        self._note()

    async def __aenter__(self) -> Self:
        """Start the HTTP server, and begin to start the parts.

        Raises:
            AlreadyStartedError: it runs, or has run.
            OSError: the port cannot be bound.
        """
        if self._body is not None:
            raise AlreadyStartedError("this manager runs, or has run; make a new one")
        self._body = asyncio.current_task()
        self._cancellations_before = 0 if self._body is None else self._body.cancelling()
        if self._server is not None:
            await self._server.start()
        if self._watchdog is not None:
            self._watchdog.start()
        self._background.start(self._supervise())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the parts, in the order opposite to their start, then the HTTP server.

        Raises:
            Exception: the error of the part that failed; its notes name the part.
        """
        self._background.refuse_other_loop()
        self._stopping = True
        self.stop()
        try:
            if self._cancelled_body and not isinstance(error, asyncio.CancelledError):
                # The body has ended just now, and our cancellation must not hit the code after it.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            try:
                with anyio.CancelScope(shield=True):
                    await self._background.join()
            finally:
                # Cancelled once more, the parts are cancelled at once.
                await self._background.stop()
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
            if self._server is not None:
                with anyio.CancelScope(shield=True):
                    await self._server.stop()
        if self._cancelled_body and self._body is not None and self._body.uncancel() > self._cancellations_before:
            # It was cancelled by others, too, and that goes on.
            return
        if self._failure is not None and (error is None or self._cancelled_body):
            raise self._failure

    # The supervisor

    async def _supervise(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for stage in Stage:
                    if self._stop.is_set():
                        break
                    self._reached = stage
                    starting = [part for part in self._parts if part.stage is stage]
                    for part in starting:
                        self._launch(part)
                    await self._until(functools.partial(_all_started, starting))
                await self._until(lambda: False)
            finally:
                self._stopping = True
                await self._end_all()
                self._group = None

    async def _until(self, done: Callable[[], bool]) -> None:
        """Wait until something is so, or the manager is to stop; look at the informers meanwhile."""
        while not (self._stop.is_set() or done()):
            self._look_at_informers()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._changed.wait()

    def _note(self) -> None:
        """Wake the supervisor, and the tasks that wait until the manager is ready."""
        self._changed.set()
        self._noted.set()

    def _has_started(self, part: Part) -> None:
        part.started.set()
        self._note()

    def _launch(self, part: Part) -> None:
        if part.task is None and self._group is not None:
            part.task = self._group.create_task(self._carry(part), name=f"kinformer manager: {part.name}")

    async def _carry(self, part: Part) -> None:
        try:
            await part.run(lambda: self._has_started(part))
        except BaseException as error:
            if not is_survivable(error):
                if isinstance(error, asyncio.CancelledError) and self._stopping:
                    return
                raise
            if self._stopping:
                _log.error("%s failed while it stopped", part.name, exc_info=error)
                if self._failure is None:
                    self._fail(part.name, error)
            else:
                self._fail(part.name, error)
        else:
            part.started.set()
            if not (part.may_end or self._stopping):
                self._fail(part.name, UnexpectedError(f"{part.name} has ended by itself"))

    def _fail(self, name: str, error: BaseException) -> None:
        if self._failure is not None:
            _log.error("%s has failed, too", name, exc_info=error)
            return
        error.add_note(f"{name} has failed, and with it the manager")
        _log.critical("%s has failed; the manager stops", name, exc_info=error)
        self._failure = error
        # The class alone: the text of an error may contain anything.
        self._failed_part = f"{name} has failed: {type(error).__name__}"
        if not self._stop.is_set():
            self._stop.set()
            self._note()
            if self._body is not None and not (self._waits_itself or self._body.done()):
                self._cancelled_body = True
                self._body.cancel(self._failed_part)

    def _look_at_informers(self) -> None:
        for name, informer in self._informers.items():
            status = informer.status
            if health_of(status) is Health.ENDED and self._failure is None:
                error = UnexpectedError(f"the informer {name} has ended ({status.state}); only a new one helps")
                error.__cause__ = status.last_error
                self._fail(f"informer {name}", error)

    async def _end_all(self) -> None:
        """Cancel the parts stage by stage, the last stage first; each stage ends before the next one begins to."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace
        for stage in reversed(Stage):
            tasks = [part.task for part in self._parts if part.stage is stage and part.task is not None]
            running = [task for task in tasks if not task.done()]
            for task in running:
                task.cancel()
            if not running:
                continue
            _, late = await asyncio.wait(running, timeout=max(0.0, deadline - loop.time()))
            for task in late:
                _log.warning("%s did not stop within %g s; it is cancelled once more", task.get_name(), self._grace)
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _lead(self, elector: LeaderElector) -> Callable[[Callable[[], None]], Any]:
        async def run(started: Callable[[], None]) -> None:
            async with elector as self._leadership:
                started()
                await asyncio.get_running_loop().create_future()

        return run

    def _term(self) -> Leadership:
        if self._leadership is None:
            raise NotStartedError("this manager does not lead yet")
        return self._leadership

    # Its state

    @property
    def _elector(self) -> LeaderElector | None:
        return next((part.given for part in self._parts if isinstance(part.given, LeaderElector)), None)

    @property
    def _controllers(self) -> list[Controller[Any]]:
        return [part.given for part in self._parts if isinstance(part.given, Controller)]

    @property
    def _fleets(self) -> list[Fleet]:
        return [part.given for part in self._parts if isinstance(part.given, Fleet)]

    @property
    def _informers(self) -> dict[str, SharedInformer]:
        found: dict[str, SharedInformer] = {}
        for part in self._parts:
            if isinstance(part.given, SharedInformerFactory):
                found |= {informer.name: informer for informer in part.given.informers.values()}
            elif isinstance(part.given, SharedInformer):
                found[part.given.name] = part.given
        return found

    @property
    def _waiting(self) -> str:
        """The reason why the manager is not ready; "" if it is."""
        if self._failed_part:
            return self._failed_part
        if self._stopping or self._stop.is_set():
            return "the manager is stopping"
        if self._reached is None:
            return "the manager has not been started"
        late = [part.name for part in self._parts if part.stage < Stage.LEADERSHIP and not part.started.is_set()]
        if late:
            return f"not started yet: {', '.join(late)}"
        new = [part.name for part in self._parts if isinstance(part.given, Fleet) and not part.given.is_settled]
        return f"clusters have not been tried yet: {', '.join(new)}" if new else ""

    def _on_signal(self, number: int) -> None:
        if self._stop.is_set():
            _log.critical("%s came again; the process ends at once", signal.Signals(number).name)
            logging.shutdown()
            os._exit(1)
        _log.info("%s came; the manager stops", signal.Signals(number).name)
        self.stop()


def _all_started(parts: list[Part]) -> bool:
    return all(part.started.is_set() for part in parts)
