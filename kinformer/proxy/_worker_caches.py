"""`WorkerCaches`: of the processes of one service, one lists and watches, and all read from it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from kinformer._own_loop import OwnLoop
from kinformer._survivable import is_survivable, text_of
from kinformer._tasks import BackgroundTask, shielded
from kinformer._version import __version__
from kinformer.cache._compact.dictionary import require_zstd
from kinformer.config import ClusterConfig
from kinformer.errors import AlreadyStartedError, MissingDependencyError
from kinformer.proxy._kept_socket import inode_of
from kinformer.proxy._listen import UnixAddress, is_listened_on
from kinformer.proxy._process_lock import ProcessLock, Silence, has_locks, private_directory
from kinformer.resources import LEASES

if TYPE_CHECKING:
    from kinformer.cache.storage import Storage
    from kinformer.client import Client
    from kinformer.proxy._process_lock import Beat
    from kinformer.proxy._server import CacheProxy
    from kinformer.resources import Resource

__all__ = ["WorkerCaches", "workers_can_share"]

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.05
"""Seconds between two looks at the lock: the time after which another process takes over."""

_BEGIN_WITHIN: Final = 5.0
"""Seconds that a process waits at its start until one serves. After that its informers wait, as for an API server."""

_HAND_OVER_WITHIN: Final = 2.0
"""Seconds that a serving process waits at its end until another one serves its readers."""

_PAUSE: Final = 1.0
"""Seconds after a failure until the next attempt."""

_BEAT_EVERY: Final = 0.5
"""Seconds between two beats of the serving process."""

SILENT_AFTER: Final = 5.0
"""Seconds without a beat after which another process takes over: ten beats. uvicorn waits as long for a worker."""

_WINDOW_BYTES: Final = 16 * 1024 * 1024
"""Bytes of the kept changes of one scope: they are in the memory of one worker, besides all that workers have."""


def workers_can_share() -> bool:
    """Return whether this platform has Unix sockets and locks between processes."""
    return has_locks() and hasattr(socket, "AF_UNIX")


class WorkerCaches:
    """Has informers of several processes share one list and one watch per scope.

        async with Client() as client, WorkerCaches(client):
            factory = SharedInformerFactory(client)

    The first process that gets a lock serves: it lists and watches, keeps the objects (compressed, if zstd is
    installed), and listens on a Unix socket. The informers of `client` read from it, in the serving process, too. When
    that process ends or is killed, another one takes over: its list is new, so the informers list anew from it, and
    their handlers get the differences. A serving process that is left hands over first. From a process that is stopped,
    or whose event loop is blocked, another one takes over after 5 seconds.

    Informers of a shard, watches of Leases, and all verbs go to the API server as without it.

    Args:
        client: the open client of the informers. It is needed until this is left.
        directory: a directory that only the user of the processes can enter (mode 0700), made if there is none. The
            processes that name the same one, and have the same server, share. By default the processes that have the
            same parent share, in a directory below XDG_RUNTIME_DIR or the directory for temporary files.

    Attributes:
        path: the socket.
    """

    def __init__(self, client: Client, directory: str | Path | None = None) -> None:
        self._client = client
        self._directory = None if directory is None else Path(directory).expanduser().absolute()
        self.path = Path()
        self._lock: ProcessLock | None = None
        self._reader: Client | None = None
        self._known: dict[str, Resource] = {}
        self._serving = contextlib.AsyncExitStack()
        self._proxy: CacheProxy | None = None
        self._served_at = 0  # the inode of the socket of this process
        self._beaten = 0.0
        self._silence = Silence(most=4 * _LOOK_EVERY)
        self._upkeep = BackgroundTask("kinformer serves the other workers, or waits to")
        self._stack = contextlib.AsyncExitStack()
        self._started = False
        self._own_loop = OwnLoop("these caches of workers were started")

    @property
    def serves(self) -> bool:
        """True if this process lists and watches for all."""
        return self._proxy is not None

    @property
    def proxy(self) -> CacheProxy | None:
        """The proxy that this process serves with; `None` if another one serves."""
        return self._proxy

    async def __aenter__(self) -> Self:
        """Serve, or wait until another process does.

        Raises:
            AlreadyStartedError: it was started before.
            PermissionError: others can enter the directory, or it belongs to another user.
            OSError: the directory, the lock or the socket cannot be made.
        """
        if self._started:
            raise AlreadyStartedError("these caches of workers have been started before; make new ones")
        self._started = True
        self._own_loop.take()
        name, directory = _name(self._client.config, of_parent=self._directory is None), _base()
        directory = private_directory(directory if self._directory is None else self._directory)
        self.path = directory / f"{name}.sock"
        self._lock = ProcessLock(directory / f"{name}.lock")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._lock.close)
            stack.push_async_callback(self._hand_over)
            await self._begin()
            stack.push_async_callback(self._close_reader)
            await self._new_reader()
            self._client.watch_through(self._route)
            stack.callback(self._client.watch_through, None)
            stack.push_async_callback(self._upkeep.stop)
            self._upkeep.start(self._keep())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._own_loop.check()
        with shielded():
            await self._stack.aclose()

    def _route(self, resource: Resource) -> Client | None:
        if resource == LEASES:
            # The election of a leader does not depend on another process.
            return None
        self._known[resource.path()] = resource
        return self._reader

    async def _begin(self) -> None:
        clock = asyncio.get_running_loop().time
        give_up = clock() + _BEGIN_WITHIN
        while not await self._served_here():
            if await asyncio.to_thread(is_listened_on, self.path) or clock() > give_up:
                _log.info("another worker serves the caches at %s", self.path)
                return
            await asyncio.sleep(_LOOK_EVERY)

    async def _keep(self) -> None:
        logged = ""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await (self._serve_on() if self.serves else self._stand_by())
            except BaseException as error:
                if not is_survivable(error):
                    raise
                unexpected = None if isinstance(error, OSError) else error
                # A disk may be full for hours: once is enough.
                level = logging.DEBUG if text_of(error) == logged else logging.ERROR
                text = "this worker cannot serve the caches at %s, or take them over: %s"
                _log.log(level, text, self.path, text_of(error), exc_info=unexpected)
                logged = text_of(error)
                await asyncio.sleep(_PAUSE)
            else:
                logged = ""

    async def _serve_on(self) -> None:
        """Beat; serve no longer if another process does, or if the lock or the socket was removed."""
        assert self._lock is not None
        now = asyncio.get_running_loop().time()
        if now - self._beaten < _BEAT_EVERY:
            return
        if self._lock.beat() and inode_of(self.path) == self._served_at:
            self._beaten = now
            return
        text = "this worker serves the caches at %s no longer: another one does, or its lock or socket was removed"
        _log.warning(text, self.path)
        await self._serving.aclose()

    async def _stand_by(self) -> None:
        """Serve if no process does, or if the one that does has been silent for too long."""
        assert self._lock is not None
        if await self._served_here():
            return
        silence, beat = self._silence, self._lock.last_beat()
        earlier = silence.look(beat, asyncio.get_running_loop().time())
        if earlier is not None and earlier > SILENT_AFTER / 2:
            # The kernel keeps the connections to a process that is stopped.
            await self._new_reader()
        elif beat is not None and silence.seconds > SILENT_AFTER:
            text = "the worker that serves the caches at %s has not answered for %g s: another one takes over"
            _log.warning(text, self.path, silence.seconds)
            if await self._served_here(instead_of=beat):
                await self._new_reader()

    async def _new_reader(self) -> None:
        """Read by new connections, and close the earlier ones."""
        before = self._reader
        made = self._client.with_config(ClusterConfig.for_socket(self.path))
        self._reader = await made.__aenter__()
        if before is not None:
            await before.__aexit__(None, None, None)

    async def _close_reader(self) -> None:
        if self._reader is not None:
            await self._reader.__aexit__(None, None, None)

    async def _served_here(self, instead_of: Beat | None = None) -> bool:
        """Serve, if this process gets the lock; return whether it serves.

        Args:
            instead_of: the last beat of a process that is silent, to take the lock from it.

        Raises:
            OSError: it got the lock, and cannot listen.
        """
        assert self._lock is not None
        if not self.path.parent.exists():
            # Something cleans the directory for temporary files.
            private_directory(self.path.parent)
        if not (self._lock.take() if instead_of is None else self._lock.take_from(instead_of)):
            return False
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._lock.release)
            # Imported here: the workers that read need no HTTP server, which is 2 MB of each.
            from kinformer.proxy._server import CacheProxy

            # A client of its own: the other one reads from this proxy.
            upstream = await stack.enter_async_context(self._client.with_config(self._client.config))
            address = UnixAddress(self.path, replaces=True)
            proxy = CacheProxy(
                upstream,
                None,
                listen=address,
                others="refuse",
                window_bytes=_WINDOW_BYTES,
                storage=_storage(),
                known=self._known.get,
            )
            self._proxy = await stack.enter_async_context(proxy)
            self._served_at = inode_of(self.path)
            stack.callback(self._no_longer)
            self._serving = stack.pop_all()
        _log.info("this worker serves the caches at %s", self.path)
        return True

    def _no_longer(self) -> None:
        self._proxy = None

    async def _hand_over(self) -> None:
        """Let another process serve before this one ends, if others read here."""
        proxy, lock = self._proxy, self._lock
        if proxy is None or lock is None:
            return
        clock = asyncio.get_running_loop().time
        give_up = clock() + _HAND_OVER_WITHIN
        mine = inode_of(self.path)
        lock.release()
        while proxy.open_watches and inode_of(self.path) == mine and clock() < give_up:  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(_LOOK_EVERY / 5)
        await self._serving.aclose()


def _storage() -> Storage:
    try:
        require_zstd()
    except MissingDependencyError:
        return "plain"
    return "compact"


def _base() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime) / "kinformer"
    return Path(tempfile.gettempdir()) / f"kinformer-{os.geteuid()}"


def _name(config: ClusterConfig, *, of_parent: bool) -> str:
    """Return a short name that the processes of one service have in common: a path of a socket is short."""
    parts = [__version__, config.server, config.source, str(config.socket), repr(sorted(config.headers.items()))]
    if of_parent:
        parts.append(str(os.getppid()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
