"""Faults of the server and of the network, injected from a test: `server.faults`.

drop_watches  end_watches  cut_mid_line  freeze_watches  refuse_watches  expire    faults of open watches
fail_next  answer_next  hang  delay  down                                          faults of requests
close_watches_at_once  without_streaming_lists  without_shards
without_end_bookmark  repeat_events  lag  corrupt                                  kinds of servers
clear                                                                              the end of all faults
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from aiohttp import web

from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.storage import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from kinformer.testing._apiserver.http.watches import OpenWatch
    from kinformer.testing._apiserver.store.storage import Key, Store, Stored

__all__ = ["Corruption", "Ending", "Faults"]

Ending: TypeAlias = Literal["close", "cut", "hang"]
"""The end of an answer: "close" completes it, "cut" cuts the connection, "hang" never ends it."""

Corruption: TypeAlias = Literal["labels", "metadata"]
"""The part of an object that is invalid."""

_BROKEN: Final[dict[Corruption, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    # The key can still be read, so that a report can name it.
    "labels": lambda manifest: manifest | {"metadata": manifest["metadata"] | {"labels": ["not", "a", "map"]}},
    "metadata": lambda manifest: {name: value for name, value in manifest.items() if name != "metadata"},
}


@dataclass(slots=True)
class _Answer:
    """A faulty answer to the next requests, in place of the correct one."""

    left: int | None
    verb: str | None
    resource: str | None
    status: int
    headers: dict[str, str]
    body: bytes
    then: Ending

    def covers(self, verb: str, resource: str) -> bool:
        return self.left != 0 and self.verb in {None, verb} and self.resource in {None, resource}


class Faults:
    """Faults of the server and of the network in front of it. Each takes effect at once; `clear` ends lasting ones.

    Resources are named by their plural, verbs as in RBAC: get, list, watch, create, update, patch, delete,
    deletecollection. `None` stands for all of them. A `count` of `None` means all requests from now on.
    """

    def __init__(
        self,
        store: Store,
        open_watches: Callable[[], list[OpenWatch]],
        *,
        stop: Callable[[], Awaitable[None]],
        start: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._open_watches = open_watches
        self._stop = stop
        self._start = start
        self._answers: list[_Answer] = []
        self._delay = 0.0
        self._corrupt: dict[tuple[str, Key], Corruption] = {}
        self.freezes_new = False
        self.lagging = 0
        self.streaming_lists = True
        self.shards = True
        self.end_bookmarks = True
        self.times_sent = 1

    # Open watches

    def drop_watches(self, resource: str | None = None) -> int:
        """Cut the connections of all open watches, as a network does; return their number."""
        return self._each(resource, lambda watch: watch.drop())

    def end_watches(self, resource: str | None = None) -> int:
        """End all open watches cleanly, as a server does when it restarts; return their number."""
        return self._each(resource, lambda watch: watch.end())

    def cut_mid_line(self, resource: str | None = None) -> int:
        """Cut the connections of all open watches in the middle of an event; return their number."""
        return self._each(resource, lambda watch: watch.cut_mid_line())

    def send(self, data: bytes, resource: str | None = None) -> int:
        """Send any bytes, such as garbage, in all open watches; return their number."""
        return self._each(resource, lambda watch: watch.send(data))

    def refuse_watches(self, code: int = 500, resource: str | None = None) -> int:
        """End all open watches by an ERROR event with a Status of that code; return their number."""
        return self._each(resource, lambda watch: watch.refuse(_refusal(code)))

    def freeze_watches(self, resource: str | None = None, *, new: bool = False) -> int:
        """Keep all open watches open and silent, like half-open connections; return their number.

        Args:
            resource: only watches of that resource.
            new: also freeze watches (of any resource) that are opened from now on. `clear` lets all watches go on.
        """
        self.freezes_new = new
        return self._each(resource, lambda watch: watch.freeze())

    def expire(self, resource: str | None = None) -> int:
        """Drop the history, and refuse open watches because their version is too old (410); return their number.

        A watch from an earlier version than the present one is answered with 410, too, and so are the later pages of
        lists that are under way.
        """
        self._store.compact()
        revision = self._store.revision
        return self._each(resource, lambda watch: watch.refuse(status.version_expired(revision - 1, revision)))

    # Requests

    def fail_next(
        self,
        count: int | None = 1,
        *,
        status: int = 503,
        verb: str | None = None,
        resource: str | None = None,
        retry_after: int | None = None,
        body: str | None = None,
    ) -> None:
        """Refuse the next requests.

        Args:
            count: the number of requests.
            status: the HTTP status of the answers.
            verb: only requests of that verb.
            resource: only requests for that resource.
            retry_after: seconds for a `Retry-After` header.
            body: the answer's text, sent as HTML like a proxy's; by default a Status that fits.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if body is not None:
            headers["Content-Type"] = "text/html; charset=utf-8"
            content = body.encode()
        else:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(_refusal(status).body)
        self._answers.append(_Answer(count, verb, resource, status, headers, content, "close"))

    def answer_next(
        self,
        body: bytes,
        *,
        verb: str,
        count: int | None = 1,
        resource: str | None = None,
        status: int = 200,
        content_type: str = "application/json",
        then: Ending = "close",
    ) -> None:
        """Answer the next requests with any bytes: an empty body, a Table, half of a line, HTML.

        Args:
            body: the bytes.
            verb: only requests of that verb; "watch" for streams.
            count: the number of requests.
            resource: only requests for that resource.
            status: the HTTP status.
            content_type: the `Content-Type` header.
            then: the end of the answer.
        """
        headers = {"Content-Type": content_type}
        self._answers.append(_Answer(count, verb, resource, status, headers, body, then))

    def close_watches_at_once(self, count: int | None = None, resource: str | None = None) -> None:
        """Accept the next watches, and end them at once."""
        self.answer_next(b"", verb="watch", count=count, resource=resource)

    def hang(self, count: int | None = 1, *, verb: str | None = None, resource: str | None = None) -> None:
        """Accept the next requests, and never answer them."""
        self._answers.append(_Answer(count, verb, resource, 0, {}, b"", "hang"))

    def delay(self, seconds: float) -> None:
        """Wait for some seconds before each answer from now on; 0 ends the delay."""
        self._delay = seconds

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Do not listen inside this context: refuse new connections, and cut open ones. No object is lost."""
        await self._stop()
        try:
            yield
        finally:
            await self._start()

    # Kinds of servers

    def lag(self, writes: int) -> None:
        """Serve lists from the state some writes ago if the request allows it, as an API server that lags behind does.

        A list "not older than" a version that this state has not reached is refused (504, too large resource version).
        A list without a version is a quorum read, and returns the present state. 0 ends the lag.
        """
        self.lagging = writes

    def without_streaming_lists(self) -> None:
        """Refuse `sendInitialEvents` (422), as a server without the feature gate WatchList does."""
        self.streaming_lists = False

    def without_shards(self) -> None:
        """Ignore `shardSelector`, as a server without the feature gate ShardedListAndWatch does: everything is sent."""
        self.shards = False

    def without_end_bookmark(self) -> None:
        """Never send the bookmark that ends a streaming list, as a server that ignores `sendInitialEvents`."""
        self.end_bookmarks = False

    def repeat_events(self, times: int = 2) -> None:
        """Send each event of a watch several times."""
        self.times_sent = times

    def corrupt(self, resource: str, name: str, namespace: str = "default", *, how: Corruption = "labels") -> None:
        """Send an object in a form that cannot be decoded, in lists and watches, until `clear`.

        Args:
            resource: its plural.
            name: its name.
            namespace: its namespace; "" for a cluster-scoped object.
            how: "labels": the labels are no map; "metadata": the object has no metadata.
        """
        if how not in _BROKEN:
            msg = f"how={how!r}: an object can be corrupted in its {' or its '.join(_BROKEN)}"
            raise ValueError(msg)
        self._corrupt[resource, (namespace, name)] = how

    def clear(self) -> None:
        """End all faults."""
        self._answers.clear()
        self._corrupt.clear()
        self._delay = 0.0
        self.freezes_new = False
        self._each(None, lambda watch: watch.thaw())
        self.lagging = 0
        self.streaming_lists = self.shards = self.end_bookmarks = True
        self.times_sent = 1

    # For the server

    async def intercept(self, request: web.BaseRequest, verb: str, resource: str) -> web.StreamResponse | None:
        """Return the faulty answer to a request, or `None`; called before anything else is done."""
        if self._delay:
            await asyncio.sleep(self._delay)
        answer = next((a for a in self._answers if a.covers(verb, resource)), None)
        if answer is None:
            return None
        if answer.left is not None:
            answer.left -= 1
        if answer.status == 0:
            await asyncio.get_running_loop().create_future()
        if answer.then == "close":
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        await response.write(answer.body)
        if answer.then == "hang":
            await asyncio.get_running_loop().create_future()
        elif request.transport is not None:
            # Without the last chunk, the answer ends in the middle.
            request.transport.close()
        return response

    def disguised(self, resource: str, key: Key, stored: Stored, *, custom: bool) -> Stored:
        """Return the form of an object to send: corrupted if a test asked for it."""
        how = self._corrupt.get((resource, key)) if self._corrupt else None
        if how is None:
            return stored
        manifest = _BROKEN[how](stored.manifest)
        return stored._replace(raw=encode(manifest, custom=custom))

    def _each(self, resource: str | None, do: Callable[[OpenWatch], None]) -> int:
        watches = [watch for watch in self._open_watches() if resource in {None, watch.target.kind.plural}]
        for watch in watches:
            do(watch)
        return len(watches)


def _refusal(code: int) -> status.Refusal:
    reasons = {
        400: "BadRequest",
        401: "Unauthorized",
        403: "Forbidden",
        404: "NotFound",
        409: "Conflict",
        410: "Expired",
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
        504: "Timeout",
    }
    reason = reasons.get(code, "")
    return status.Refusal(code, f"injected fault: {code} {reason}".strip(), reason)
