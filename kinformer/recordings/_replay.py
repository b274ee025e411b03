"""`Replay`: serves a recording to any client, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import msgspec
import yaml
from aiohttp import web

from kinformer._hosts import is_loopback
from kinformer._local_runner import LocalRunner, local_server
from kinformer._own_loop import OwnLoop
from kinformer._tasks import BackgroundTask, shielded
from kinformer.errors import AlreadyStartedError, NotStartedError, RecordingError
from kinformer.objects import ObjectKey
from kinformer.proxy._bodies import Refusal, list_pieces, too_large
from kinformer.proxy._downstream import Fanout, OpenWatch, written
from kinformer.proxy._guard import answered, check_host, refuse_websocket
from kinformer.recordings._documents import AGGREGATED, Documents
from kinformer.recordings._format import Item, Recording
from kinformer.recordings._pages import Pages
from kinformer.recordings._playback import MOST_HELD_BYTES, Playback
from kinformer.recordings._requests import form_of, limit_of, metadata_only, place_in, read_list_options
from kinformer.resources import CUSTOMRESOURCEDEFINITIONS, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.objects import KubeObject
    from kinformer.proxy._selection import ListOptions
    from kinformer.recordings._format import Header
    from kinformer.recordings._pages import Page
    from kinformer.recordings._requests import Place
    from kinformer.recordings._tables import Tables

__all__ = ["Replay"]

MAX_WATCHES: Final = 1000
"""Watches of one resource that are open at once; one more is refused with 429."""

_PATIENCE: Final = 3.0
"""Seconds that a request waits for a version that is still to come (apiserver pkg/storage/cacher, blockTimeout)."""

_FAR_BEHIND: Final = 5000
"""Events that an open watch may be behind a replay without pauses."""

_AT_ONCE: Final = 200
_ROWS_AT_ONCE: Final = 200
_LOOK_AGAIN: Final = 0.001
_JSON: Final = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class Replay:
    """An API server that does again what a recorded cluster did.

        async with Replay("out.kin", speed=10) as replay:
            async with Client(ClusterConfig.for_server(replay.url)) as client:
                ...
                await replay.finished()

    Lists, watches, bookmarks, 410, and discovery are those of the recorded resources, custom resources among them. The
    first lists are there at the start; the recorded events follow at their times. Afterwards the server goes on with
    the last state. Writes are refused with 405.

    Args:
        path: the recording.
        speed: how many times as fast as recorded; `math.inf` for no pauses.
        hold: wait with the events until `play` is called.
        host: the loopback address to listen on.
        port: the port; 0 for any free one.
        most_held_bytes: bytes of objects that may be held in memory.

    Raises:
        ValueError: a speed that is not positive, or an address that is not of loopback.

    Attributes:
        recording: the recording; `recording.truncated` after the end says whether the file is complete.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        speed: float = 1.0,
        hold: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        most_held_bytes: int = MOST_HELD_BYTES,
    ) -> None:
        if not speed > 0:
            msg = f"speed={speed}: a positive number, or math.inf for no pauses"
            raise ValueError(msg)
        if not is_loopback(host):
            msg = f"host={host!r}: a replay shows the objects of a cluster, so it listens on loopback addresses only"
            raise ValueError(msg)
        self._path = Path(path)
        self._speed = speed
        self._host = host
        self._port = port
        self._most = most_held_bytes
        self._begun = asyncio.Event()
        if not hold:
            self._begun.set()
        self._ended = asyncio.Event()
        self._task = BackgroundTask("kinformer replay")
        self._fanouts: dict[int, Fanout] = {}
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._progress = asyncio.Event()
        self._started = False
        self._listening = False
        self._stack = contextlib.AsyncExitStack()
        self._own_loop = OwnLoop("this replay was started")
        self.recording: Recording
        self._playback: Playback
        self._documents: Documents
        self._pages = Pages()
        self._tables_made: Tables | None = None

    def __repr__(self) -> str:
        where = self.url if self._listening else "not running"
        return f"<Replay of {self._path} {where}>"

    async def __aenter__(self) -> Self:
        """Read the first lists, and listen.

        Raises:
            RecordingError: the file is no recording, is damaged, or needs too much memory.
            AlreadyStartedError: it was started before.
            OSError: the file cannot be read, or the port is taken.
        """
        if self._started:
            raise AlreadyStartedError("this replay has been started before; make a new one")
        self._started = True
        self._own_loop.take()
        async with contextlib.AsyncExitStack() as stack:
            self.recording = stack.enter_context(Recording.open(self._path))
            self._playback = Playback(self.recording, most_held_bytes=self._most)
            for _ in self._playback.first_lists():
                await asyncio.sleep(0)
            for number, resource in self.recording.resources.items():
                self._numbers[resource.group, resource.version, resource.plural] = number
                self._fanouts[number] = Fanout(self._playback.caches[number])
            self._documents = Documents(self._served(), self.recording.header.server)
            server = local_server(self._answer, handler_cancellation=True)
            runner = LocalRunner(server, handle_signals=False, shutdown_timeout=0.5)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, self._host, self._port).start()
            self._port = runner.addresses[0][1]
            stack.callback(self._end_watches)
            stack.push_async_callback(self._stop_playing)
            self._task.start(self._play(), on_end=self._ended.set)
            self._listening = True
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._own_loop.check()
        self._listening = False
        with shielded():
            await self._stack.aclose()

    @property
    def url(self) -> str:
        """The URL of the server.

        Raises:
            NotStartedError: it does not listen.
        """
        if not self._listening:
            raise NotStartedError("the replay is not running; use `async with Replay(path) as replay:`")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def header(self) -> Header:
        """The facts about the recording: the version of the server, and whether it is redacted."""
        return self.recording.header

    @property
    def resources(self) -> list[Resource]:
        """The resources that can be listed."""
        return self._served()

    @property
    def position(self) -> float:
        """The time of the last record that was played, in seconds since the start of the recording."""
        return self._playback.position

    @property
    def events(self) -> int:
        """The number of events that were played."""
        return self._playback.events

    def play(self) -> None:
        """Begin with the events, if the replay was made with `hold`."""
        self._begun.set()

    async def finished(self) -> None:
        """Wait until all events were played and sent to the open watches.

        Raises:
            RecordingError: the file is damaged; everything before the damage was played.
        """
        await self._ended.wait()
        if self._task.failure is not None:
            raise self._task.failure
        while any(watch.behind for fanout in self._fanouts.values() for watch in fanout.watches):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig for this server, as kubectl takes it."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kinformer", "cluster": {"server": self.url}}],
            # Without credentials, kubectl would ask for some.
            "users": [{"name": "kinformer", "user": {"token": "anybody"}}],
            "contexts": [{"name": "kinformer", "context": {"cluster": "kinformer", "user": "kinformer"}}],
            "current-context": "kinformer",
        }

    def write_kubeconfig(self, path: str | Path) -> None:
        """Write a kubeconfig for this server to a file that only its owner may read."""
        target = Path(path)
        target.touch(mode=0o600)
        target.write_text(yaml.safe_dump(self.kubeconfig()), encoding="utf-8")

    def _served(self) -> list[Resource]:
        refused = self._playback.refused
        return [one for number, one in self.recording.resources.items() if number not in refused]

    # The playback

    async def _play(self) -> None:
        await self._begun.wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        changed: set[Fanout] = set()
        unsent = 0
        playback = self._playback
        for record in playback.rest():
            at = getattr(record, "at", None)
            due = began if at is None or math.isinf(self._speed) else began + at / self._speed
            if due > loop.time() or unsent >= _AT_ONCE:
                self._publish(changed)
                unsent = 0
                await asyncio.sleep(max(due - loop.time(), 0))
                await self._let_watches_catch_up()
            cache = playback.play(record)
            if cache is not None:
                changed.add(next(fanout for fanout in self._fanouts.values() if fanout.cache is cache))
            unsent += not isinstance(record, Item)
        self._publish(changed)

    def _publish(self, changed: set[Fanout]) -> None:
        for fanout in changed:
            fanout.cache.published()
        changed.clear()
        self._progress.set()

    async def _let_watches_catch_up(self) -> None:
        """Without pauses, wait for watches that are far behind: they would lose events otherwise."""
        if not math.isinf(self._speed):
            return
        while any(watch.behind > _FAR_BEHIND for fanout in self._fanouts.values() for watch in fanout.watches):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)

    async def _stop_playing(self) -> None:
        self._task.cancel()
        await self._task.join()

    def _end_watches(self) -> None:
        for fanout in self._fanouts.values():
            fanout.end()

    # The requests

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return await answered(self._read(request))

    async def _read(self, request: web.BaseRequest) -> web.StreamResponse:
        check_host(request, self._host)
        # Fabric8 names the server itself as the origin of its watches.
        origin = request.headers.get("Origin", "")
        if origin and urlsplit(origin).netloc != request.headers.get("Host", ""):
            raise Refusal(403, "Forbidden", "this server answers no web pages")
        path = request.path.rstrip("/") or "/"
        if path == "/kinformer/replay":
            return await self._state(request)
        if request.method != "GET":
            raise Refusal(405, "MethodNotAllowed", "this server replays a recording: it can only be read")
        place = place_in(path)
        accept = ", ".join(request.headers.getall("Accept", []))
        if place is None:
            return self._document(path, accept)
        refuse_websocket(request)
        number = self._numbers.get((place.group, place.version, place.plural))
        if number is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if (code := self._playback.refused.get(number)) is not None:
            raise Refusal(code, "", f"the recorder was refused {place.plural}: they are not in the recording")
        form = form_of(accept)
        if place.name:
            return self._get(number, place, form, request.query.get("includeObject", ""))
        return await self._list_or_watch(request, number, place, form)

    def _document(self, path: str, accept: str) -> web.Response:
        aggregated = "as=APIGroupDiscoveryList" in accept and "v=v2;" in accept.replace(" ", "") + ";"
        found = self._documents.at(path, aggregated=aggregated)
        if found is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if isinstance(found, str):
            return web.Response(text=found)
        kind = AGGREGATED if found.get("kind") == "APIGroupDiscoveryList" else "application/json"
        return web.Response(body=msgspec.json.encode(found), headers={"Content-Type": kind})

    async def _state(self, request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            self.play()
            if "wait" in request.query:
                with contextlib.suppress(RecordingError):
                    await self.finished()
        elif request.method != "GET":
            raise Refusal(
                405,
                "MethodNotAllowed",
                "GET reads the state of the replay, POST begins with the events (?wait: and waits)",
            )
        state = {
            "playing": self._begun.is_set() and not self._ended.is_set(),
            "ended": self._ended.is_set(),
            "failed": "" if self._task.failure is None else str(self._task.failure),
            "position": self.position,
            "events": self.events,
            "speed": None if math.isinf(self._speed) else self._speed,
        }
        return web.Response(body=msgspec.json.encode(state), content_type="application/json")

    def _get(self, number: int, place: Place, form: str, include: str) -> web.Response:
        obj = self._fanouts[number].cache.objects.get(ObjectKey(place.namespace, place.name))
        if obj is None:
            qualified = self.recording.resources[number].qualified
            msg = f'{qualified} "{place.name}" not found'
            raise Refusal(404, "NotFound", msg, name=place.name, group=place.group, kind=place.plural)
        if form == "Table":
            metadata = {"resourceVersion": obj.resource_version}
            table = self._tables().table(self.recording.resources[number], [obj.to_dict()], metadata, include)
            return web.Response(body=msgspec.json.encode(table), content_type="application/json")
        body = (metadata_only(obj) if form != "JSON" else obj).to_json()
        return web.Response(body=body, content_type="application/json")

    async def _list_or_watch(
        self, request: web.BaseRequest, number: int, place: Place, form: str
    ) -> web.StreamResponse:
        fanout = self._fanouts[number]
        cache = fanout.cache
        options = read_list_options(cache.resource, place, dict(request.query), cache.version)
        await self._until(fanout, options.version)
        response = web.StreamResponse(headers=_JSON)
        if options.watch:
            if form == "PartialObjectMetadata":
                raise Refusal(406, "NotAcceptable", "a replay sends watches in application/json, whole or as=Table")
            if len(fanout.watches) >= MAX_WATCHES:
                msg = f"this replay has {MAX_WATCHES} watches of this resource already"
                raise Refusal(429, "TooManyRequests", msg, retry_after=1)
            include = request.query.get("includeObject", "")
            shape = self._tables().lines(cache.form, include) if form == "Table" else None
            await OpenWatch(fanout, options, shape).serve(request, response)
        else:
            await self._list(request, response, fanout, options, form)
        await response.write_eof()
        return response

    async def _list(
        self, request: web.BaseRequest, response: web.StreamResponse, fanout: Fanout, options: ListOptions, form: str
    ) -> None:
        page = self._page(request, fanout, options)
        objects, resource = page.objects, fanout.cache.resource
        if form == "Table":
            metadata = {"resourceVersion": str(page.version), **page.more}
            include = request.query.get("includeObject", "")
            table = self._tables().table(resource, [], metadata, include)
            for at in range(0, len(objects), _ROWS_AT_ONCE):
                manifests = [obj.to_dict() for obj in objects[at : at + _ROWS_AT_ONCE]]
                part = self._tables().table(resource, manifests, metadata, include)
                table = part | {"rows": table["rows"] + part["rows"]}
                await asyncio.sleep(0)
            await response.prepare(request)
            await written(request, response, msgspec.json.encode(table))
            return
        if form != "JSON":
            resource = _PARTIAL
            objects = [metadata_only(obj) for obj in objects]
        await response.prepare(request)
        for piece in list_pieces(resource, objects, page.version, page.more):
            await written(request, response, piece)
            await asyncio.sleep(0)

    def _page(self, request: web.BaseRequest, fanout: Fanout, options: ListOptions) -> Page:
        limit, token = limit_of(request.query), request.query.get("continue", "")
        if token:
            return self._pages.next(request.path, token, limit)
        objects = sorted(fanout.cache.selected(options.selection), key=_place)
        return self._pages.first(request.path, fanout.cache.version, objects, limit)

    def _tables(self) -> Tables:
        if self._tables_made is None:
            # The columns of all kinds are read from a file, so they are read for clients that show tables only.
            from kinformer.recordings._tables import Tables, recorded_time

            self._tables_made = Tables(
                self._definitions, lambda: recorded_time(self.recording.header.started, self.position)
            )
        return self._tables_made

    def _definitions(self) -> Iterable[KubeObject]:
        crds = CUSTOMRESOURCEDEFINITIONS
        number = self._numbers.get((crds.group, crds.version, crds.plural))
        return () if number is None else self._fanouts[number].cache.objects.values()

    async def _until(self, fanout: Fanout, version: int) -> None:
        """Wait until a resource has reached a version.

        Raises:
            Refusal: 504, it has not in time.
        """
        if fanout.cache.version >= version:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                while fanout.cache.version < version:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            raise too_large(version, fanout.cache.version) from None


def _place(obj: KubeObject) -> tuple[str, str]:
    """Return the place of an object in lists: they are sorted by namespace and name, as those of etcd."""
    return (obj.key.namespace, obj.key.name)


_PARTIAL: Final = Resource("meta.k8s.io", "v1", "partialobjectmetadata", "PartialObjectMetadata")
