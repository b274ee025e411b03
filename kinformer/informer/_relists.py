"""Lists and watches that a caller requests: `SharedInformer.relist` and `SharedInformer.reconnect`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kinformer.errors import WaitTimeoutError
from kinformer.informer._scope_reflector import ScopeReflector
from kinformer.scope import ScopedResource, checked_scope

if TYPE_CHECKING:
    from kinformer.informer._failure_handling import FailureHandling
    from kinformer.informer._life_cycle import LifeCycle
    from kinformer.reflector._reflector import Reflector
    from kinformer.resources import Resource
    from kinformer.scope import Scope

__all__ = ["Relists"]


class Relists:
    """Asks the reflector for a list, and waits until the list is in the cache.

    Args:
        name: name of the informer.
        reflector: makes the list.
        life_cycle: refuses calls unless the informer runs.
        failures: explains why a list does not come.
    """

    def __init__(
        self, name: str, reflector: Reflector | ScopeReflector, life_cycle: LifeCycle, failures: FailureHandling
    ) -> None:
        self._name = name
        self._reflector = reflector
        self._life_cycle = life_cycle
        self._failures = failures
        self._waiting: tuple[tuple[int, asyncio.Future[None]], ...] = ()
        self._listed = 0

    async def relist(self, timeout: float | None) -> None:
        """List again, and wait until the cache is equal to that list; see `SharedInformer.relist`.

        Raises:
            WaitTimeoutError: not in time.
            StoppedError: the informer ended before that.
            NotStartedError: the informer has not been started.
        """
        self._life_cycle.refuse_unless_running("nothing is listed")
        self._reflector.relist()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting += ((self._reflector.next_list, done),)
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError as error:
            msg = f"{self._name} is not listed again after {timeout} s{self._failures.trouble}"
            raise WaitTimeoutError(msg) from error

    @property
    def scope(self) -> Scope | None:
        """The present scope, if it may change."""
        return self._reflector.scope if isinstance(self._reflector, ScopeReflector) else None

    @property
    def covered(self) -> tuple[Scope, ...] | None:
        """The scopes whose objects are all in the cache; `None` if the scope is fixed."""
        return self._reflector.covered() if isinstance(self._reflector, ScopeReflector) else None

    async def set_scope(self, resource: Resource, scope: Scope, timeout: float | None) -> None:
        """Cover another scope; see `SharedInformer.set_scope`.

        Raises:
            TypeError: the scope is fixed, or the value is no scope.
            ValueError: the scope cannot be one of this informer.
            WaitTimeoutError: not in time.
            StoppedError: the informer has ended, or ended before that.
        """
        reflector = self._reflector
        if not isinstance(reflector, ScopeReflector):
            msg = f"the scope of {self._name} is fixed: ask for the informer with scope= to change it later"
            raise TypeError(msg)
        self._life_cycle.refuse_if_stopped("its scope was not changed")
        checked_scope(scope)
        if scope.metadata_only != reflector.scope.metadata_only:
            msg = f"{self._name}: metadata_only cannot change while it runs; make another informer"
            raise ValueError(msg)
        ScopedResource(resource, scope)
        try:
            async with asyncio.timeout(timeout):
                number = await reflector.set_scope(scope, started=self._life_cycle.started)
                if number > self._listed:
                    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting += ((number, done),)
                    await done
        except TimeoutError as error:
            msg = f"the cache of {self._name} does not show its new scope after {timeout} s{self._failures.trouble}"
            raise WaitTimeoutError(msg) from error

    def reconnect(self) -> None:
        """Close the watch and open another one; see `SharedInformer.reconnect`.

        Raises:
            StoppedError: the informer has ended.
            NotStartedError: the informer has not been started.
        """
        self._life_cycle.refuse_unless_running("there is no watch")
        self._reflector.reconnect()

    def listed(self, lists: int) -> None:
        """End the waits for the first `lists` lists: they are completely in the cache."""
        self._listed = lists
        for number, done in self._waiting:
            if number <= lists and not done.done():
                done.set_result(None)
        self._waiting = tuple(wait for wait in self._waiting if not wait[1].done())

    def close(self) -> None:
        """Let every wait fail: the informer has ended."""
        if isinstance(self._reflector, ScopeReflector):
            self._reflector.close()
        for _, done in self._waiting:
            if not done.done():
                done.set_exception(self._life_cycle.ended("before it had listed again"))
