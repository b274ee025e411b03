"""Waits for the cache: until it has synced, and until a predicate holds for an object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kinformer._flag import Flag
from kinformer._survivable import is_survivable
from kinformer.errors import CacheSyncError, KinformerError, WaitTimeoutError
from kinformer.informer._waiters import holds

if TYPE_CHECKING:
    from kinformer.cache.indexer import Indexer
    from kinformer.cache.lister import Lister
    from kinformer.informer._dispatcher import Dispatcher
    from kinformer.informer._failure_handling import FailureHandling
    from kinformer.informer._life_cycle import LifeCycle
    from kinformer.informer._waiters import Predicate
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.status import StatusRecord

__all__ = ["CacheWaits"]


class CacheWaits:
    """Waits of callers for one cache, and the errors that end them.

    Args:
        name: name of the informer.
        record: status of the informer, with its last error.
        indexer: the cache.
        lister: reads of the cache.
        dispatcher: knows when the cache syncs and when an object changes.
        life_cycle: refuses calls unless the informer runs.
        failures: knows a refusal of the server.
    """

    def __init__(
        self,
        name: str,
        record: StatusRecord,
        indexer: Indexer,
        lister: Lister,
        dispatcher: Dispatcher,
        life_cycle: LifeCycle,
        failures: FailureHandling,
    ) -> None:
        self._name = name
        self._record = record
        self._indexer = indexer
        self._lister = lister
        self._dispatcher = dispatcher
        self._life_cycle = life_cycle
        self._failures = failures
        # Set when the informer syncs, ends or is refused. Each waiter then checks which of them happened.
        self._changed = Flag()

    def wake(self) -> None:
        """Wake the callers of `synced`: the informer has synced, ended, or been refused."""
        self._changed.set()

    async def synced(self, timeout: float | None, *, fail_fast: bool) -> None:
        """Wait until the first list is completely in the cache; see `SharedInformer.synced`.

        Raises:
            CacheSyncError: not in time, or refused.
            StoppedError: the informer ended before that.
            WrongLoopError: the informer runs in another event loop.
        """
        dispatcher, life_cycle, failures = self._dispatcher, self._life_cycle, self._failures
        life_cycle.refuse_other_loop()
        try:
            async with asyncio.timeout(timeout):
                while not (dispatcher.has_synced or life_cycle.stopped or (fail_fast and failures.refusal is not None)):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            cause = self._record.last_error
            why = f"last error: {cause}" if cause is not None else f"no error, {self._record.listed} objects so far"
            msg = f"cache of {self._name} is not in sync after {timeout} s; {why}"
            raise CacheSyncError(msg, {self._name: cause}) from cause
        if dispatcher.has_synced:
            return
        if life_cycle.stopped:
            cause = life_cycle.failure or self._record.last_error
            raise life_cycle.ended("before its cache was in sync") from cause
        msg = f"cache of {self._name} cannot sync: {failures.refusal}"
        raise CacheSyncError(msg, {self._name: failures.refusal}) from failures.refusal

    async def wait_for(
        self,
        key: ObjectKey | str,
        predicate: Predicate | None,
        timeout: float | None,
        namespace: str | None,
    ) -> KubeObject | None:
        """Wait until a predicate holds for an object; see `SharedInformer.wait_for`.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started.
            ValueError: the name of a namespaced object was given without its namespace.
            Exception: the exception of the predicate.
        """
        dispatcher = self._dispatcher
        where = self._lister.key_of(key, namespace)
        wanted = predicate or _exists
        self._life_cycle.refuse_unless_running("there is nothing to wait for")
        now = self._indexer.get_by_key(where)
        if (now is not None or dispatcher.has_synced) and holds(wanted, now):
            return now
        try:
            async with asyncio.timeout(timeout):
                return await dispatcher.waiters.wait(where, wanted)
        except TimeoutError as error:
            if isinstance(error, KinformerError):
                raise
            state = "in the cache, but not as wanted" if where in self._indexer else "not in the cache"
            why = _reason(wanted, self._indexer.get_by_key(where))
            resource = self._lister.resource.qualified
            msg = f"{resource} {where} is {state} after {timeout} s{why}{self._failures.trouble}"
            raise WaitTimeoutError(msg) from self._record.last_error

    def close(self) -> None:
        """Let every wait end: the informer has ended."""
        self.wake()
        self._dispatcher.waiters.fail(lambda: self._life_cycle.ended("before the object was as wanted"))


def _reason(wanted: Predicate, obj: KubeObject | None) -> str:
    """Return the reason of a condition for the message of a timeout, or nothing if it cannot give one."""
    # Imported here, because only a timeout needs it.
    from kinformer.operators.wait_conditions import Condition

    if not isinstance(wanted, Condition):
        return ""
    try:
        return f": {wanted.why_not(obj)}"
    except BaseException as error:
        if not is_survivable(error):
            raise
        return ""


def _exists(obj: KubeObject | None) -> bool:
    return obj is not None
