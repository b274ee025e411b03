"""The one list and watch of a resource at the API server, and the cache that it feeds."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kinformer._flag import Flag
from kinformer.cache._compact.indexer import CompactIndexer
from kinformer.errors import ApiError, UnexpectedError
from kinformer.objects import version_number
from kinformer.proxy._bodies import Refusal, too_large
from kinformer.reflector._reflector import Reflector
from kinformer.reflector._state_machine import ReflectorMachine
from kinformer.status import InformerState, StatusRecord

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from kinformer.backoff import Backoff
    from kinformer.errors import KinformerError
    from kinformer.listwatch import Delta, ListerWatcher
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.proxy._watch_cache import WatchCache

_log = logging.getLogger(__name__)

__all__ = ["FIRST_LIST", "PATIENCE", "Upstream"]

PATIENCE = 3.0
"""Seconds that a request waits for the version it needs (apiserver pkg/storage/cacher, blockTimeout)."""

FIRST_LIST = 25.0
"""Seconds that a request waits for a first list that is under way: a little less than a client waits for an answer."""

_FINAL = frozenset({400, 403, 404, 405, 406, 422})
"""Answers to a list that readers get as they are: asking again changes nothing."""

_LARGEST = (1 << 63) - 1
"""The largest resource version. A list without a version counts as newer, and cannot be served from a cache."""


class Upstream:
    """Keeps a `WatchCache` equal to the API server.

    Args:
        source: lists and watches the resource.
        cache: the cache to keep.
        backoff: delays between attempts after a failure.

    Attributes:
        cache: the cache.
        error: the last failure of the upstream list or watch; `None` after a success.
        synced: set when the cache has its first list.
    """

    def __init__(self, source: ListerWatcher, cache: WatchCache, *, backoff: Backoff | None = None) -> None:
        self.cache = cache
        self.error: KinformerError | None = None
        self._status = StatusRecord()
        machine = ReflectorMachine()
        if backoff is not None:
            machine.backoff = backoff
        store = cache.store
        self._compact = store if isinstance(store, CompactIndexer) else None
        self._reflector = Reflector(
            source,
            _Feed(self),
            machine=machine,
            status=self._status,
            cached=store.known_as,
            pack=None if self._compact is None else self._compact.pack,
            on_error=self._failed,
        )
        self._progress = Flag()
        self.synced = Flag()

    @property
    def state(self) -> str:
        """The step of listing and watching, as in the status of an informer."""
        return self._status.state.value

    @property
    def has_failed(self) -> bool:
        """True if a defect ended the list or watch: the cache will not change any more."""
        return self._status.state is InformerState.FAILED

    def ended_by(self, defect: BaseException) -> None:
        """Fail, loudly: a defect ended the list or watch. Requests are refused from now on."""
        name = self.cache.resource.qualified
        _log.critical("the cache of %s in a proxy has failed by a defect, and is not served any more", name,
                      exc_info=defect)  # fmt: skip
        self.error = UnexpectedError(f"the cache of {name} has failed by a defect of {type(defect).__name__}")
        self._status.enter(InformerState.FAILED, asyncio.get_running_loop().time())
        self._progress.set()

    @property
    def last_contact(self) -> float | None:
        """The time of the event loop at which the API server last sent something; `None` before that."""
        return self._status.last_contact

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._compact is not None:
                tasks.create_task(self._compact.upkeep())
            await self._reflector.run()

    async def until(self, version: int) -> None:
        """Wait until the cache has a list and has reached a version.

        Raises:
            Refusal: it has not, after `PATIENCE`, or `FIRST_LIST` while the first list is under way; or the API server
                has refused the first list for good; or the cache has failed by a defect.
        """
        cache = self.cache
        if self.has_failed:
            raise self._refusal()
        if cache.synced and cache.version >= version:
            return
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + (PATIENCE if self.synced.is_set() else FIRST_LIST)) as limit:
                while not cache.synced or cache.version < version:
                    if self.has_failed:
                        raise self._refusal()
                    if not self.synced.is_set() and isinstance(self.error, ApiError) and self.error.status in _FINAL:
                        raise Refusal(self.error.status, self.error.reason, self.error.message)
                    if self.error is not None:
                        limit.reschedule(began + PATIENCE)
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            if cache.synced:
                raise too_large(version, cache.version) from None
            why = f" ({self.error})" if self.error is not None else ""
            msg = f"the proxy has no list of {cache.resource.qualified} yet{why}"
            raise Refusal(503, "ServiceUnavailable", msg, retry_after=1) from None

    def _refusal(self) -> Refusal:
        return Refusal(500, "InternalError", str(self.error))

    def listed(self) -> None:
        """Note that a whole list is in the cache."""
        if self._compact is not None:
            self._compact.list_has_come()

    def progressed(self) -> None:
        """Wake the requests that wait, and send the changes to the watches."""
        self.error = None
        if self.cache.synced:
            self.synced.set()
        self._progress.set()
        self.cache.published()

    def _failed(self, error: KinformerError) -> None:
        self.error = error
        self._progress.set()


class _Feed:
    """The end of the reflector: what an informer's queue is there."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._cache = upstream.cache
        self.held = False
        self._events_came = False

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Take the events of a watch."""
        self._events_came = True
        self._cache.changed(deltas)

    def update(self, obj: KubeObject) -> None:
        """Do nothing: what a write has changed comes by the watch."""

    def leave_out(self, key: ObjectKey) -> None:
        """Take the key of an object that cannot be decoded."""
        self._cache.left_out(key)

    def replacing(
        self,
        by_key: Mapping[ObjectKey, KubeObject],
        *,
        slice_size: int,
        version: int = 0,
    ) -> Generator[None, None, int]:
        """Take a whole list; return the number of known objects that it lacks."""
        if version > _LARGEST:
            return 0
        lost = yield from self._cache.replacing(by_key, version, slice_size=slice_size)
        self._upstream.listed()
        return lost

    def mark(self, resource_version: str, lists: int) -> None:  # noqa: ARG002 - lists are not counted
        """Take the version that the events or the list have reached."""
        self._cache.reached(version_number(resource_version))
        if not self._events_came:
            self._cache.bookmarks += 1
        self._events_came = False
        self._upstream.progressed()

    def release(self) -> None:
        """Do nothing: the events were taken when they came."""
