"""The parts of a manager: their stage, their names, and the coroutine that runs each of them until it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kinformer.controller import Controller
from kinformer.errors import UnexpectedError
from kinformer.fleet import Fleet
from kinformer.informer import SharedInformer
from kinformer.informer.factory import SharedInformerFactory
from kinformer.informer.typed import TypedInformer
from kinformer.operators.leader_election import LeaderElector
from kinformer.status import InformerState
from kinformer.webhooks import WebhookServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kinformer.operators.leadership import Leadership

__all__ = ["Part", "Stage", "part_of", "work_of_fleet"]


class Stage(enum.IntEnum):
    """The order in which parts start; they stop in the opposite order.

    controller-runtime: pkg/manager/runnable_group.go. Its HTTP server is started before all of these.
    """

    WEBHOOKS = 0
    """A WebhookServer: the caches may need its conversions."""
    CACHES = 1
    """Factories and informers. The next stage starts when all of them are in sync."""
    OTHERS = 2
    """Context managers, such as an EventRecorder, coroutine functions, and fleets. No cluster of a fleet is waited
    for."""
    WARM = 3
    """Controllers that work in each replica."""
    LEADERSHIP = 4
    """The elector: a replica that does not lead waits here."""
    LED = 5
    """Controllers and coroutine functions that work in the leading replica only."""


@dataclass(eq=False)
class Part:
    """One part of a manager.

    Attributes:
        name: for logs and errors.
        stage: the time of its start.
        given: the object that was added.
        run: runs it until it ends or is cancelled; calls the function that it is given when it has started.
        may_end: whether it may end by itself without that being a failure.
        started: set when it has started.
        task: its task, once it was started.
    """

    name: str
    stage: Stage
    given: Any
    run: Callable[[Callable[[], None]], Awaitable[None]]
    may_end: bool = False
    started: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


def part_of(
    given: Any, *, led: bool | None, has_elector: bool, leadership: Callable[[], Leadership], sync_timeout: float | None
) -> Part:
    """Make a part of an object.

    Args:
        given: the object.
        led: whether it works in the leading replica only; `None` for the default of its kind.
        has_elector: whether the manager has an elector.
        leadership: returns the present term, once the manager leads.
        sync_timeout: seconds that caches may take.

    Raises:
        TypeError: it is no part.
        ValueError: it cannot be led, or needs an elector.
    """
    if isinstance(given, TypedInformer):
        given = given.informer
    name = getattr(given, "name", "") or getattr(given, "__name__", "") or type(given).__name__
    is_controller, is_function = isinstance(given, Controller), inspect.iscoroutinefunction(given)
    if led and not (is_controller or is_function or isinstance(given, Fleet)):
        msg = f"{name} runs in each replica; only controllers, fleets and coroutine functions can be led"
        raise ValueError(msg)
    if led and not has_elector:
        msg = f"{name} is to work in the leading replica only; add a LeaderElector before it"
        raise ValueError(msg)
    match given:
        case SharedInformerFactory() | SharedInformer():
            return Part(name, Stage.CACHES, given, _Caches(given, sync_timeout).run)
        case LeaderElector():
            return Part(f"leader election {given.namespace}/{given.name}", Stage.LEADERSHIP, given, _unset)
        case Controller():
            # One with an elector of its own takes part in that election by itself.
            is_led = (has_elector and not given.is_led) if led is None else led
            run = _controller(given, leadership if is_led else None)
            return Part(f"controller {name}", Stage.LED if is_led else Stage.WARM, given, run)
        case _ if is_function:
            stage = Stage.LED if led else Stage.OTHERS
            return Part(name, stage, given, _function(given), may_end=True)
        case WebhookServer():
            return Part(name, Stage.WEBHOOKS, given, _webhooks(given))
        case Fleet():
            return Part(f"fleet {name}", Stage.OTHERS, given, _context(given))
        case contextlib.AbstractAsyncContextManager():
            return Part(name, Stage.OTHERS, given, _context(given))
    msg = (
        f"{given!r} is no part of a manager: give factories, informers, controllers, electors, async context managers "
        "and coroutine functions without arguments"
    )
    raise TypeError(msg)


def work_of_fleet(fleet: Fleet, leadership: Callable[[], Leadership]) -> Part:
    """Make the part in which the controllers of a fleet work, once this replica leads; its caches are filled before."""

    async def run(started: Callable[[], None]) -> None:
        async with fleet.leads(leadership()):
            started()
            await asyncio.get_running_loop().create_future()

    return Part(f"controllers of fleet {fleet.name}", Stage.LED, None, run)


async def _unset(started: Callable[[], None]) -> None:
    raise NotImplementedError  # the manager runs the elector itself


class _Caches:
    def __init__(self, caches: SharedInformerFactory | SharedInformer, sync_timeout: float | None) -> None:
        self._caches = caches
        self._sync_timeout = sync_timeout

    async def run(self, started: Callable[[], None]) -> None:
        caches = self._caches
        # Caches that the program has started itself are its own to stop.
        ours = _is_new(caches)
        if ours:
            caches.start()
        try:
            if isinstance(caches, SharedInformerFactory):
                await caches.wait_for_cache_sync(timeout=self._sync_timeout)
            else:
                await caches.synced(timeout=self._sync_timeout)
            started()
            await asyncio.get_running_loop().create_future()
        finally:
            if ours:
                await caches.stop()


def _is_new(caches: SharedInformerFactory | SharedInformer) -> bool:
    if isinstance(caches, SharedInformerFactory):
        return not caches.started
    return caches.status.state is InformerState.NEW


def _controller(
    controller: Controller[Any], leadership: Callable[[], Leadership] | None
) -> Callable[[Callable[[], None]], Awaitable[None]]:
    async def run(started: Callable[[], None]) -> None:
        if leadership is not None:
            controller.led_by(leadership())
        # It waits for its caches, and maybe for a lease of its own; nothing waits for it.
        started()
        await controller.run()

    return run


def _function(call: Callable[[], Awaitable[object]]) -> Callable[[Callable[[], None]], Awaitable[None]]:
    async def run(started: Callable[[], None]) -> None:
        started()
        await call()

    return run


def _webhooks(server: WebhookServer) -> Callable[[Callable[[], None]], Awaitable[None]]:
    async def run(started: Callable[[], None]) -> None:
        async with server:
            started()
            failure = await server.certificate_ended()
            if failure is not None:
                # The certificate would expire unnoticed.
                raise UnexpectedError("a defect has ended the renewal of the certificate") from failure
            await asyncio.get_running_loop().create_future()

    return run


def _context(context: contextlib.AbstractAsyncContextManager[Any]) -> Callable[[Callable[[], None]], Awaitable[None]]:
    async def run(started: Callable[[], None]) -> None:
        async with context:
            started()
            await asyncio.get_running_loop().create_future()

    return run
