"""The loop that runs controllers: a queue of keys, timers, and the writes that come out.

    store ── each change ──▶ keys (each once) ──▶ reconcile(key, cluster) ──▶ actions ──▶ registry ──▶ store

Everything runs on one event loop in slices, and a controller always sees the newest state. So no write conflicts, and
no expectation of a write is needed.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kinformer.testing._apiserver.controllers.actions import (
    Action,
    Again,
    Bind,
    Create,
    Delete,
    Finish,
    Record,
    SetStatus,
    Update,
    key_of,
)
from kinformer.testing._apiserver.controllers.recorder import Recorder
from kinformer.testing._apiserver.http.pod_subresources import bind_pod
from kinformer.testing._apiserver.rules.life_cycle import DeleteOptions
from kinformer.testing._apiserver.rules.writing import Write
from kinformer.testing._apiserver.store.status import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from kinformer.testing._apiserver.controllers.actions import Manifest
    from kinformer.testing._apiserver.controllers.cluster import Cluster
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Change, Storage

__all__ = ["Controller", "ControllerLoop"]

_log = logging.getLogger(__name__)

Mapper: TypeAlias = "Callable[[Change, Cluster], Iterable[Hashable]]"

_SLICE: Final = 0.002
"""Seconds that the controllers take of the event loop at once."""

_MOST_STEPS: Final = 500_000
"""The reconciliations of one call of `settle` after which it gives up."""

_FIRST_RETRY: Final = 0.005
_LAST_RETRY: Final = 1000.0


@dataclass(frozen=True)
class Controller:
    """A controller.

    Attributes:
        name: its name.
        reconcile: the actions that bring an object to the state that is wanted; reads the cluster, and changes nothing.
        concerns: for each resource, the keys that a change concerns.
        every_change: the keys that a change of any resource concerns.
        manager: the program that a cluster runs it in: the manager of the fields that it writes.
        component: the source of its Events; by default the name of the controller.
    """

    name: str
    reconcile: Callable[[Any, Cluster], Iterable[Action]]
    concerns: Mapping[Storage, Mapper] = field(default_factory=dict)
    every_change: Mapper | None = None
    manager: str = "kube-controller-manager"
    component: str = ""


class ControllerLoop:
    """Runs controllers on a store.

    Args:
        registry: the objects and the rules.
        cluster: the state as the controllers read it.
        controllers: the controllers.
        clock: the time.
        fill: stores the pods that ReplicaSets lack, up to a share of those that are wanted; returns how many.

    Attributes:
        cluster: the state as the controllers read it.
    """

    def __init__(
        self,
        registry: Registry,
        cluster: Cluster,
        controllers: Sequence[Controller],
        clock: Callable[[], datetime],
        *,
        fill: Callable[[float], int],
    ) -> None:
        self._registry = registry
        self.cluster = cluster
        self._controllers = {controller.name: controller for controller in controllers}
        self._clock = clock
        self._fill = fill
        self._concerns: dict[Storage, list[tuple[Controller, Mapper]]] = {}
        for controller in controllers:
            for storage, mapper in controller.concerns.items():
                self._concerns.setdefault(storage, []).append((controller, mapper))
        self._everything = [(one, one.every_change) for one in controllers if one.every_change is not None]
        self._recorder = Recorder(registry, clock)
        self._queue: deque[tuple[str, Hashable]] = deque()
        self._queued: set[tuple[str, Hashable]] = set()
        self._timers: list[tuple[datetime, int, tuple[str, Hashable]]] = []
        self._due: dict[tuple[str, Hashable], datetime] = {}
        self._retries: dict[tuple[str, Hashable], float] = {}
        self._numbers = itertools.count()
        self._running: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._busy = False
        cluster.fill()
        for change in registry.store.present():
            self._note(change)
        registry.store.listen_to_all(self._changed)

    def start(self) -> None:
        """Run the controllers on the running event loop from now on."""
        self._running = asyncio.get_running_loop()
        self._wake()

    def stop(self) -> None:
        """Run nothing until the next start; changes are remembered."""
        self._running = None
        for handle in (self._turn, self._alarm):
            if handle is not None:
                handle.cancel()
        self._turn = self._alarm = None

    def settle(self, *names: str) -> None:
        """Do everything that is due now, and everything that follows from it.

        Args:
            *names: the controllers that work; without any, all do.

        Raises:
            RuntimeError: it never ends; names the controllers that go on.
        """
        if names:
            self._settle_only(frozenset(names))
            return
        steps = 0
        while self._step():
            steps += 1
            if steps >= _MOST_STEPS:
                busy = sorted({name for name, _ in self._queue})
                msg = f"the controllers do not come to rest: {', '.join(busy)} had work after {steps} steps"
                raise RuntimeError(msg)

    def _settle_only(self, names: frozenset[str]) -> None:
        while chosen := [item for item in self._queue if item[0] in names]:
            for item in chosen:
                self._queue.remove(item)
                self._queued.discard(item)
                self._reconcile(item)

    def fill(self, share: float) -> int:
        """Store the pods that Deployments and ReplicaSets lack at once; returns how many."""
        self.settle("deployment", "node-lifecycle")
        return self._fill(share)

    def reconcile_now(self, name: str, key: Hashable) -> None:
        """Let a controller look at a key at once, if it runs."""
        if name in self._controllers:
            item = (name, key)
            self._queued.discard(item)
            if item in self._queue:
                self._queue.remove(item)
            self._reconcile(item)
            self._wake()

    def next_due(self) -> datetime | None:
        """The time of the next timer; `None` if there is none."""
        self._fire()
        return self._timers[0][0] if self._timers else None

    # The queue

    def _changed(self, change: Change) -> None:
        self.cluster.observe(change)
        self._note(change)

    def _note(self, change: Change) -> None:
        for controller, mapper in self._concerns.get(change.storage, ()):
            for key in mapper(change, self.cluster):
                self._put((controller.name, key))
        for controller, mapper in self._everything:
            for key in mapper(change, self.cluster):
                self._put((controller.name, key))

    def _put(self, item: tuple[str, Hashable]) -> None:
        if item not in self._queued:
            self._queued.add(item)
            self._queue.append(item)
            self._wake()

    def _put_after(self, item: tuple[str, Hashable], seconds: float) -> None:
        if seconds <= 0:
            self._put(item)
            return
        due = self._clock() + timedelta(seconds=seconds)
        if (known := self._due.get(item)) is None or due < known:
            self._due[item] = due
            heapq.heappush(self._timers, (due, next(self._numbers), item))

    def _fire(self) -> None:
        """Queue the keys whose time has come."""
        if not self._timers:
            return
        now = self._clock()
        while self._timers:
            due, _, item = self._timers[0]
            if self._due.get(item) != due:
                # Replaced by an earlier timer.
                heapq.heappop(self._timers)
            elif due <= now:
                heapq.heappop(self._timers)
                del self._due[item]
                self._put(item)
            else:
                return

    def _wake(self) -> None:
        if self._running is not None and self._turn is None and not self._busy:
            self._turn = self._running.call_soon(self._run_slice)

    def _run_slice(self) -> None:
        self._turn = None
        self._busy = True
        try:
            until = time.perf_counter() + _SLICE
            while self._step():
                if time.perf_counter() >= until:
                    break
        finally:
            self._busy = False
        if self._queue:
            self._wake()
        else:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake at the next timer. If the clock of the server is behind then, the alarm is set again."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self.next_due()
        if self._queue:
            self._wake()
        elif due is not None and self._running is not None:
            wait = max((due - self._clock()).total_seconds(), 0.001)
            self._alarm = self._running.call_later(wait, self._wake)

    def _step(self) -> bool:
        """Reconcile one key; reports whether there was one."""
        self._fire()
        if not self._queue:
            return False
        item = self._queue.popleft()
        self._queued.discard(item)
        self._reconcile(item)
        return True

    def _reconcile(self, item: tuple[str, Hashable]) -> None:
        controller = self._controllers[item[0]]
        try:
            actions = list(controller.reconcile(item[1], self.cluster))
        except Exception:  # noqa: BLE001 - a defect of a controller must not stop the others
            _log.exception("the controller %s failed at %r", *item)
            return
        failed = False
        for action in actions:
            if failed and isinstance(action, Create):
                # The others would be refused as well.
                continue
            try:
                self._carry_out(controller, item, action)
            except Refusal as refusal:
                failed = True
                self._refused(controller, item, action, refusal)
            except Exception:  # noqa: BLE001 - as above
                _log.exception("the controller %s failed to write for %r", *item)
                return
        if not failed:
            self._retries.pop(item, None)
            if any(isinstance(action, Create) for action in actions) and self.cluster.failures.pop(item, ""):
                self._put(item)

    # The writes

    def _carry_out(self, controller: Controller, item: tuple[str, Hashable], action: Action) -> None:
        registry = self._registry
        match action:
            case Create(manifest, about, reported):
                kind = self._kind(manifest)
                made = registry.create(
                    kind, manifest["metadata"].get("namespace", ""), manifest, Write(controller.manager)
                )
                if about is not None and reported:
                    self._created(controller, about, kind, made.manifest)
            case Update(manifest):
                self._update(controller, manifest)
            case SetStatus(manifest):
                write = Write(controller.manager, "status")
                registry.put_status(self._kind(manifest), *key_of(manifest), manifest["status"], write)
            case Delete(storage, manifest, policy, grace, about):
                kind = registry.catalog.versions_of(storage)[0]
                options = DeleteOptions(
                    uid=manifest["metadata"]["uid"], propagation_policy=policy, grace_period_seconds=grace
                )
                namespace, name = key_of(manifest)
                registry.delete(kind, namespace, name, options)
                if about is not None:
                    message = f"Deleted {kind.singular}: {name}"
                    self._record(controller, Record(about, "SuccessfulDelete", message))
            case Bind(pod, node):
                bind_pod(registry, self._kind(pod), *key_of(pod), node)
            case Finish(namespace):
                registry.life_cycle.finalize_namespace(namespace)
            case Record():
                self._record(controller, action)
            case Again(seconds):
                self._put_after(item, seconds)

    def _kind(self, manifest: Manifest) -> ResourceType:
        found = self._registry.catalog.of_kind(manifest["apiVersion"], manifest["kind"])
        assert found is not None
        return found

    def _update(self, controller: Controller, manifest: Manifest) -> None:
        kind, (namespace, name) = self._kind(manifest), key_of(manifest)
        current = self._registry.get(kind, namespace, name).manifest["metadata"]
        # The function computed it from this very state, perhaps with an action before it.
        metadata = manifest["metadata"] | {"resourceVersion": current["resourceVersion"]}
        write = Write(controller.manager)
        self._registry.update(kind, namespace, name, manifest | {"metadata": metadata}, write)

    def _refused(self, controller: Controller, item: tuple[str, Hashable], action: Action, refusal: Refusal) -> None:
        """Report a refused write, and try again later, each time twice as late."""
        terminating = "is being terminated" in refusal.message
        if isinstance(action, Create) and action.about is not None and not terminating:
            # The first message stays: another may differ only by a generated name.
            if item not in self.cluster.failures:
                self.cluster.failures[item] = refusal.message
                # So that the status shows it.
                self._put(item)
            self._record(controller, Record(action.about, "FailedCreate", f"Error creating: {refusal.message}", True))
        if terminating:
            return
        delay = self._retries.get(item, _FIRST_RETRY)
        self._retries[item] = min(2 * delay, _LAST_RETRY)
        self._put_after(item, delay)

    def _created(self, controller: Controller, about: Manifest, kind: ResourceType, made: Manifest) -> None:
        message = f"Created {kind.singular}: {made['metadata']['name']}"
        self._record(controller, Record(about, "SuccessfulCreate", message))

    def _record(self, controller: Controller, event: Record) -> None:
        self._recorder.record(event, controller.component or controller.name)
