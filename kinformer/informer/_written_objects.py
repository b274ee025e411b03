"""Written objects and the cache: waits until the cache shows a write, and answers to writes taken into the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kinformer._own_writes.catch_up import OwnWrites
from kinformer._own_writes.pending import Outcome
from kinformer.errors import WaitTimeoutError
from kinformer.objects import KubeObject

if TYPE_CHECKING:
    from typing import Any

    from kinformer._own_writes.catch_up import CoversObjects
    from kinformer.cache._pushed_fifo import PushedFIFO
    from kinformer.informer._dispatcher import Dispatcher
    from kinformer.informer._failure_handling import FailureHandling
    from kinformer.informer._life_cycle import LifeCycle
    from kinformer.informer._scope_reflector import ScopeReflector
    from kinformer.objects import ObjectKey
    from kinformer.reflector._reflector import Reflector
    from kinformer.status import StatusRecord

__all__ = ["WrittenObjects"]


class WrittenObjects:
    """Keeps one cache up with the writes of this program.

    Args:
        name: name of the informer.
        source: source of the informer; its client may announce writes.
        record: status of the informer, with its last error.
        reflector: takes answers to writes.
        dispatcher: knows the pending writes and the version of the cache.
        life_cycle: refuses calls unless the informer runs.
        failures: explains why the cache is behind.
        fifo: the queue of the cache.
    """

    def __init__(
        self,
        name: str,
        source: CoversObjects,
        record: StatusRecord,
        reflector: Reflector | ScopeReflector,
        dispatcher: Dispatcher,
        life_cycle: LifeCycle,
        failures: FailureHandling,
        fifo: PushedFIFO,
    ) -> None:
        self._name = name
        self._source = source
        self._record = record
        self._reflector = reflector
        self._dispatcher = dispatcher
        self._life_cycle = life_cycle
        self._failures = failures
        self._fifo = fifo
        self._own_writes = OwnWrites(source, dispatcher.pending_writes, self._take)

    def begin(self) -> None:
        """Listen to the writes of the source's client, if it announces them."""
        self._own_writes.begin()

    def close(self) -> None:
        """Stop listening, and let every wait fail: the informer has ended."""
        self._own_writes.close()

    async def caught_up(
        self, what: KubeObject | Mapping[str, Any] | ObjectKey | str | int | None, timeout: float | None
    ) -> None:
        """Wait until the cache shows a write; see `SharedInformer.caught_up`.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer has ended, or ended before that.
            NotStartedError: the informer has not been started.
            DecodeError: `what` is a mapping, but no object.
            ValueError: `what` is no version, or an object without one.
        """
        self._life_cycle.refuse_unless_running("there is nothing to catch up with")
        outcome = await self._own_writes.caught_up(what, timeout)
        if outcome is Outcome.STOPPED:
            raise self._life_cycle.ended("before it had caught up")
        if outcome is Outcome.GIVEN_UP:
            named = what.key if isinstance(what, KubeObject) else "an object" if isinstance(what, Mapping) else what
            msg = (
                f"the cache of {self._name} has not caught up with {named or 'all writes'} after {timeout} s, it "
                f"is at version {self._dispatcher.resource_version or '0'}{self._failures.trouble}"
            )
            raise WaitTimeoutError(msg) from self._record.last_error

    def observe(self, obj: KubeObject | Mapping[str, Any]) -> bool:
        """Take an answer to a write into the cache, ahead of the watch; see `SharedInformer.observe`.

        Raises:
            DecodeError: this is no object.
            StoppedError: the informer has ended.
            NotStartedError: the informer has not been started.
        """
        self._life_cycle.refuse_unless_running("nothing was observed")
        if not isinstance(obj, KubeObject):
            obj = KubeObject.from_dict(dict(obj), self._source.resource)
        return bool(self._source.covers(obj)) and self._take(self._source.as_listed(obj))

    def _take(self, obj: KubeObject) -> bool:
        """Take an object into the cache, at once if it has no other changes to take first; return whether it is new."""
        self._fifo.held = True
        try:
            return self._reflector.observe(obj)
        finally:
            self._fifo.release(calls_handlers=False)
