"""What can be made to go wrong, from a test: `server.faults`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from kinformer.testing import status

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer.testing.storage import Store
    from kinformer.testing.watches import OpenWatch

__all__ = ["Faults"]


@dataclass(slots=True)
class _Failure:
    """Answers that are to go wrong."""

    left: int
    status: int
    verb: str | None
    resource: str | None
    retry_after: int | None
    body: str | None

    def covers(self, verb: str, resource: str) -> bool:
        return self.left > 0 and self.verb in {None, verb} and self.resource in {None, resource}


class Faults:
    """Faults of the server and of the network before it. Each takes effect at once.

    Resources are named by their plural, verbs as in RBAC: get, list, watch, create, update, patch, delete,
    deletecollection. `None` stands for all.
    """

    def __init__(self, store: Store, open_watches: Callable[[], list[OpenWatch]]) -> None:
        self._store = store
        self._open_watches = open_watches
        self._failures: list[_Failure] = []
        self._delay = 0.0

    def drop_watches(self, resource: str | None = None) -> int:
        """Cut the connections of all open watches, as a network does; returns how many."""
        return self._each(resource, lambda watch: watch.drop())

    def end_watches(self, resource: str | None = None) -> int:
        """Have the server end all open watches cleanly, as it does at its restart; returns how many."""
        return self._each(resource, lambda watch: watch.end())

    def expire(self, resource: str | None = None) -> int:
        """Forget the history, and tell open watches that their version is too old (410); returns how many were told.

        A watch from an earlier version than the present one is answered with 410, too.
        """
        self._store.compact()
        revision = self._store.revision

        def refuse(watch: OpenWatch) -> None:
            watch.refuse(status.version_expired(revision - 1, revision))

        return self._each(resource, refuse)

    def fail_next(
        self,
        count: int = 1,
        *,
        status: int = 503,
        verb: str | None = None,
        resource: str | None = None,
        retry_after: int | None = None,
        body: str | None = None,
    ) -> None:
        """Refuse the next requests.

        Args:
            count: how many.
            status: the HTTP status they are answered with.
            verb: only requests of that verb.
            resource: only requests for that resource.
            retry_after: seconds for a `Retry-After` header.
            body: the answer's text, sent as HTML like a proxy's; by default a Status that fits.
        """
        self._failures.append(_Failure(count, status, verb, resource, retry_after, body))

    def delay(self, seconds: float) -> None:
        """Wait so long before each answer from now on; 0 ends it."""
        self._delay = seconds

    def clear(self) -> None:
        """Let everything go right again."""
        self._failures.clear()
        self._delay = 0.0

    async def intercept(self, verb: str, resource: str) -> web.Response | None:
        """What a request is answered with if it is to go wrong; the server asks before it does anything else."""
        if self._delay:
            await asyncio.sleep(self._delay)
        failure = next((f for f in self._failures if f.covers(verb, resource)), None)
        if failure is None:
            return None
        failure.left -= 1
        headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
        if failure.body is not None:
            return web.Response(status=failure.status, text=failure.body, content_type="text/html", headers=headers)
        refusal = _refusal(failure.status)
        return web.json_response(refusal.body, status=failure.status, headers=headers)

    def _each(self, resource: str | None, do: Callable[[OpenWatch], None]) -> int:
        watches = [watch for watch in self._open_watches() if resource in {None, watch.target.kind.plural}]
        for watch in watches:
            do(watch)
        return len(watches)


def _refusal(code: int) -> status.Refusal:
    reasons = {
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
