"""Records the lists and watches of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from kinformer._own_loop import OwnLoop
from kinformer._tasks import BackgroundTask, shielded
from kinformer.errors import AlreadyStartedError, ApiError, KinformerError, ObjectError, UnexpectedError
from kinformer.listwatch import DeltaType
from kinformer.objects import version_number
from kinformer.recordings._format import (
    Added,
    Bookmark,
    Deleted,
    End,
    Header,
    Item,
    Listed,
    Modified,
    RecordedResource,
    RecordingWriter,
    Refused,
)
from kinformer.recordings._redaction import Redaction, crd_schemas, is_secret, without_secret_data
from kinformer.reflector._reflector import Reflector
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS
from kinformer.status import StatusRecord

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from kinformer.client import Client
    from kinformer.listwatch import Delta
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.recordings._format import Record
    from kinformer.resources import Resource

__all__ = ["Recorder", "recordable"]

log = logging.getLogger(__name__)

_FIRST_LISTS: Final = 8
"""First lists that are under way at once."""

_FLUSH: Final = 1.0
"""Seconds between two writes to the disk."""

_LARGEST: Final = (1 << 63) - 1
_FINAL_CODES: Final = frozenset({401, 403, 404, 405})
_EVENTS: Final[dict[DeltaType, type[Added | Modified | Deleted]]] = {
    DeltaType.ADDED: Added,
    DeltaType.UPDATED: Modified,
    DeltaType.DELETED: Deleted,
}


def recordable(resources: Iterable[Resource], *, namespaced_only: bool = False) -> list[Resource]:
    """Return the resources that can be recorded, each in the version that the server prefers.

    Args:
        resources: the resources in the order of discovery.
        namespaced_only: leave out cluster-scoped resources.
    """
    found: dict[tuple[str, str], Resource] = {}
    for resource in resources:
        if resource.watchable and (resource.namespaced or not namespaced_only):
            found.setdefault((resource.group, resource.plural), resource)
    if ("", "events") in found:
        # Both groups serve the same objects.
        found.pop(("events.k8s.io", "events"), None)
    return [*found.values()]


class Recorder:
    """Writes the lists and watches of resources to a file, from the start of the context to its end.

        async with Client() as client:
            resources = recordable(await client.resources())
            async with Recorder(client, "out.kin", resources, redact=True) as recorder:
                await recorder.listed()
                await asyncio.sleep(600)

    The data of Secrets is replaced by zeros of the same size, and their annotations by text of the same size. Requests
    that fail are sent again, as an informer does; a list that comes later is in the file, too. A resource that the
    server refuses to list (401, 403, 404, 405) is left out: see `refused`.

    Args:
        client: the client of the cluster.
        path: the file. It must not exist; only its owner may read it.
        resources: the resources.
        namespace: record only this namespace of the resources that have namespaces.
        redact: replace all names and values, the same one by the same one, so that references still match.
        secret_data: write the data of Secrets to the file.

    Raises:
        ValueError: no resources, or `secret_data` with `redact`.

    Attributes:
        refused: the errors of the resources that the server refuses to list.
        failed: the last error of each resource whose list has not come yet.
        events: the number of events so far.
        left_out: the number of objects that could not be decoded, and are not in the file. One that comes again counts
            again.
    """

    def __init__(
        self,
        client: Client,
        path: str | Path,
        resources: Sequence[Resource],
        *,
        namespace: str | None = None,
        redact: bool = False,
        secret_data: bool = False,
    ) -> None:
        if not resources:
            raise ValueError("a recording needs at least one resource, such as PODS")
        if redact and secret_data:
            raise ValueError("a redacted recording has no data of Secrets; leave redact or secret_data out")
        self._client = client
        self._path = Path(path)
        self._resources = list(dict.fromkeys(resources))
        self._namespace = namespace or ""
        self._redact = redact
        self._secret_data = secret_data
        self.refused: dict[Resource, ApiError] = {}
        self.failed: dict[Resource, KinformerError] = {}
        self.events = 0
        self.left_out = 0
        self._tracks: list[_Track] = []
        self._writer: RecordingWriter | None = None
        self._redaction: Redaction | None = None
        self._began = 0.0
        self._broken: asyncio.Future[None] | None = None
        self._stack = contextlib.AsyncExitStack()
        self._own_loop = OwnLoop("this recorder was started")

    async def __aenter__(self) -> Self:
        """Make the file, and begin to list.

        Raises:
            AlreadyStartedError: it was started before.
            FileExistsError: the file exists.
            ApiError, TransportError: the server cannot be asked for its version.
        """
        if self._writer is not None:
            raise AlreadyStartedError("this recorder has been started before; make a new one")
        self._own_loop.take()
        version = await self._client.version()
        if self._redact:
            known = {*await self._client.resources(), *self._resources}
            self._redaction = Redaction(known, await self._schemas())
        async with contextlib.AsyncExitStack() as stack:
            writer = self._writer = RecordingWriter(self._path)
            stack.callback(writer.close)
            self._broken = asyncio.get_running_loop().create_future()
            # The exception is for `run`; a program that does not call it sees the error of `close`.
            self._broken.add_done_callback(lambda broken: broken.cancelled() or broken.exception())
            self._began = asyncio.get_running_loop().time()
            self.write(
                Header(
                    1,
                    datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    str(version),
                    self._redact,
                    self._secret_data,
                    # The namespace is a name, too.
                    "" if self._redact else self._namespace,
                )
            )
            for number, resource in enumerate(self._resources):
                self.write(RecordedResource.of(number, resource))
            starts = asyncio.Semaphore(_FIRST_LISTS)
            stack.callback(self._finish)
            for number, resource in enumerate(self._resources):
                namespace = self._namespace if resource.namespaced else ""
                source = self._client.list_watch(resource, namespace=namespace or None)
                track = _Track(self, number, resource)
                reflector = Reflector(source, track, status=StatusRecord(), on_error=track.failed, starts=starts)
                self._tracks.append(track)
                stack.push_async_callback(_stop, track.task)
                track.task.start(reflector.run(), on_end=functools.partial(self._ended, track.task))
            flushing = BackgroundTask("kinformer recorder flush")
            stack.push_async_callback(_stop, flushing)
            flushing.start(self._flush(), on_end=functools.partial(self._ended, flushing))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._own_loop.check()
        with shielded():
            await self._stack.aclose()

    async def listed(self) -> None:
        """Wait until each resource is listed or refused, and write the lists to the disk.

        Raises:
            OSError: the file cannot be written to, for example because the disk is full.
        """
        for track in self._tracks:
            await track.listed.wait()
        self._flush_now()
        if self._broken is not None and self._broken.done():
            self._broken.result()

    def _ended(self, part: BackgroundTask) -> None:
        """End the recording, loudly, if a defect ended one of its parts."""
        assert self._broken is not None
        if part.failure is not None and not self._broken.done():
            log.critical("the recorder has failed by a defect, and records no more", exc_info=part.failure)
            defect = UnexpectedError("a defect has ended the recording; its traceback is in the log")
            self._broken.set_exception(defect)
            for track in self._tracks:
                track.listed.set()

    @property
    def unlisted(self) -> list[Resource]:
        """The resources whose list is not in the file: it has not come, or was refused."""
        return [track.resource for track in self._tracks if track.resource in self.refused or not track.listed.is_set()]

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return round(asyncio.get_running_loop().time() - self._began, 3)

    async def run(self, seconds: float) -> None:
        """Record for some seconds.

        Raises:
            OSError: the file cannot be written to, for example because the disk is full.
        """
        assert self._broken is not None
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._broken)
        except TimeoutError:
            if self._broken.done():
                raise

    def write(self, record: Record) -> None:
        """Write one record. After a failure of the file, nothing is written any more."""
        assert self._writer is not None
        assert self._broken is not None
        if self._broken.done():
            return
        try:
            self._writer.write(record)
        except OSError as error:
            self._broken.set_exception(error)

    def content(self, obj: KubeObject) -> msgspec.Raw:
        """Return the object as it is written."""
        if is_secret(obj.resource) and not self._secret_data:
            manifest = without_secret_data(obj.to_dict())
            if self._redaction is not None:
                manifest = self._redaction.manifest(manifest, "v1", "Secret")
            return msgspec.Raw(msgspec.json.encode(manifest))
        if self._redaction is not None:
            return msgspec.Raw(self._redaction.redacted(obj))
        return msgspec.Raw(obj.raw)

    def _finish(self) -> None:
        self.write(End(self.now))

    async def _flush(self) -> None:
        assert self._broken is not None
        while not self._broken.done():
            await asyncio.sleep(_FLUSH)
            self._flush_now()

    def _flush_now(self) -> None:
        assert self._writer is not None
        assert self._broken is not None
        if self._broken.done():
            return
        try:
            self._writer.flush()
        except OSError as error:
            self._broken.set_exception(error)

    async def _schemas(self) -> dict[tuple[str, str], dict[str, object]]:
        try:
            definitions = await self._client.list(CUSTOMRESOURCEDEFINITIONS)
        except KinformerError as error:
            log.debug("no schemas of custom resources: %s", error)
            return {}
        return crd_schemas(definition.to_dict() for definition in definitions)


async def _stop(part: BackgroundTask) -> None:
    with contextlib.suppress(Exception):  # `run` raises what ended it
        await part.stop()


class _Track:
    """One resource: what an informer's queue is to its reflector, this is to that of the recorder."""

    def __init__(self, recorder: Recorder, number: int, resource: Resource) -> None:
        self._recorder = recorder
        self._number = number
        self.resource = resource
        self._version = 0
        self.held = False
        self.listed = asyncio.Event()
        self.task = BackgroundTask(f"kinformer recorder of {resource}")

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Write the events of a watch."""
        recorder, now = self._recorder, self._recorder.now
        for delta in deltas:
            recorder.write(_EVENTS[delta.type](now, self._number, recorder.content(delta.object)))
            recorder.events += 1
            self._version = max(self._version, version_number(delta.object.resource_version))

    def update(self, obj: KubeObject) -> None:
        """Do nothing: the watch brings the results of writes."""

    def leave_out(self, key: ObjectKey) -> None:
        """Do nothing: an object that cannot be decoded cannot be replayed."""

    def replacing(
        self, by_key: Mapping[ObjectKey, KubeObject], *, slice_size: int, version: int = 0
    ) -> Generator[None, None, int]:
        """Write a whole list; return 0, because no objects are kept that a list could lack."""
        for count, obj in enumerate(by_key.values(), 1):
            self._recorder.write(Item(self._number, self._recorder.content(obj)))
            if count % slice_size == 0:
                yield
        if version <= _LARGEST:
            self._version = version
        self._recorder.write(Listed(self._recorder.now, self._number, str(self._version)))
        self._recorder.failed.pop(self.resource, None)
        self.listed.set()
        return 0

    def mark(self, resource_version: str, lists: int) -> None:  # noqa: ARG002 - lists are not counted
        """Write the version that the watch has reached, if no event has it."""
        version = version_number(resource_version)
        if self.listed.is_set() and self._version < version <= _LARGEST:
            self._version = version
            self._recorder.write(Bookmark(self._recorder.now, self._number, str(version)))

    def release(self) -> None:
        """Do nothing: the events were written when they came."""

    def failed(self, error: KinformerError) -> None:
        """Leave the resource out if the server refuses it for good; else it is asked again."""
        if isinstance(error, ObjectError):
            self._recorder.left_out += 1
            return
        if not self.listed.is_set():
            self._recorder.failed[self.resource] = error
        if isinstance(error, ApiError) and error.status in _FINAL_CODES and not self.listed.is_set():
            self._recorder.refused[self.resource] = error
            self._recorder.write(Refused(self._number, error.status))
            self.listed.set()
            # In this turn the reflector still has to report the error.
            asyncio.get_running_loop().call_soon(self.task.cancel)
