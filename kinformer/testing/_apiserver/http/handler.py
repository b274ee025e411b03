"""One request to the embedded API server: its user, its target, the faults in its way, its answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import web

from kinformer.testing._apiserver.http import control
from kinformer.testing._apiserver.http.answers import in_media, json_answer, list_answer, object_answer
from kinformer.testing._apiserver.http.documents import document, is_document
from kinformer.testing._apiserver.http.metrics import answer_metrics
from kinformer.testing._apiserver.http.negotiation import (
    check_media,
    form_of,
    media_of,
    view_of,
    wants_protobuf,
)
from kinformer.testing._apiserver.http.pod_streams import answer_stream, is_stream
from kinformer.testing._apiserver.http.reads import Lists
from kinformer.testing._apiserver.http.requests import (
    ListOptions,
    Target,
    decode_body,
    find_target,
    is_true,
    media_type,
)
from kinformer.testing._apiserver.http.reviews import Reviews
from kinformer.testing._apiserver.http.trust import check_trust, read_body
from kinformer.testing._apiserver.http.views import metadata_only
from kinformer.testing._apiserver.http.warnings import DEPRECATED, add_warnings, begin_warnings, warn
from kinformer.testing._apiserver.http.watches import OpenWatch
from kinformer.testing._apiserver.http.writes import APPLY, Writes, manager_of
from kinformer.testing._apiserver.rules.scale import read_scale
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.custom_versions import UnconvertedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from kinformer.testing._apiserver.http.access import Access
    from kinformer.testing._apiserver.http.webhooks import WebhookCaller
    from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
    from kinformer.testing._apiserver.rules.registry import Registry
    from kinformer.testing._apiserver.store.storage import Storage
    from kinformer.testing.faults import Faults

__all__ = ["Handler", "RequestRecord"]

_log = logging.getLogger(__name__)

_MOST_CONVERSIONS: Final = 1000
"""The times that a read is tried again: an old page of a list has objects that are converted one by one."""

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class RequestRecord(NamedTuple):
    """One request that was answered: for tests that count.

    Attributes:
        verb: as in RBAC: get, list, watch, create, update, patch, delete, deletecollection.
        resource: the plural; "" for a path that is no resource.
        namespace: the namespace; "" for all, or none.
        query: the query.
        user: the name of the user.
        group: the API group; "" for the core group.
        subresource: "status", "scale", ...; "" for the object itself.
        name: the name of the object; "" for all of a kind.
        creates: whether an apply, or an update of an absent object, is to create it. Then it needs the right to create,
            too.
    """

    verb: str
    resource: str
    namespace: str
    query: dict[str, str]
    user: str
    group: str = ""
    subresource: str = ""
    name: str = ""
    creates: bool = False

    @property
    def right(self) -> tuple[str, str, str]:
        """Return the right that the request needs, as a rule of RBAC names it.

        These are the verb, the API group and the resource: `("patch", "example.com", "sites/status")`.
        """
        return self.verb, self.group, f"{self.resource}/{self.subresource}".removesuffix("/")


class Handler:
    """Answers requests.

    Args:
        registry: the objects and the rules.
        access: the users and their permissions.
        faults: the faults that are injected.
        clock: the time.
        bookmark_interval: seconds between the bookmarks of a watch.
        allowed_hosts: host names that are taken beside the usual ones.
        pods: the scripted answers of pods.
        webhooks: asks webhooks.

    Attributes:
        requests: the last 100,000 requests.
        controls: answers the paths under /kinformer; `None` if there are none.
    """

    def __init__(
        self,
        registry: Registry,
        access: Access,
        faults: Faults,
        *,
        clock: Callable[[], datetime],
        bookmark_interval: float,
        allowed_hosts: Collection[str],
        pods: PodScripts,
        webhooks: WebhookCaller,
    ) -> None:
        self.requests: deque[RequestRecord] = deque(maxlen=100_000)
        self.controls: control.Controls | None = None
        self._registry = registry
        self._catalog = registry.catalog
        self._access = access
        self._faults = faults
        self._clock = clock
        self._bookmark_interval = bookmark_interval
        self._allowed_hosts = allowed_hosts
        self._pods = pods
        self._lists = Lists(registry.store, faults)
        self._reviews = Reviews(registry, access)
        self._writes = Writes(registry, self._lists, clock, webhooks)
        self._webhooks = webhooks
        self._watches: dict[OpenWatch, None] = {}

    @property
    def open_watches(self) -> list[OpenWatch]:
        """The watches that are open now."""
        return [*self._watches]

    def end_watches_of(self, storage: Storage) -> None:
        """End the watches of a resource that is no longer served."""
        for watch in self.open_watches:
            if watch.target.kind.storage == storage:
                watch.end()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; a refusal is an answer, too."""
        begin_warnings()
        answer = await self._answered(request)
        if not answer.prepared:
            add_warnings(answer)
        if isinstance(answer, web.Response) and request.path.startswith(("/api", "/version")):
            media = media_of(request.headers.get("Accept", ""), error=answer.status >= HTTPStatus.BAD_REQUEST)
            return in_media(answer, media, self._catalog.types)
        return answer

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except status.Refusal as refusal:
            headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
            return json_answer(refusal.body, code=refusal.code, headers=headers)
        except status.TextRefusal as refusal:
            return web.Response(status=refusal.code, text=refusal.text)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - a defect of the server is answered, and logged
            _log.exception("the API server failed at %s %s", request.method, request.path)
            return json_answer(status.internal("internal error; see the server's log").body, code=500)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        check_trust(request, self._allowed_hosts)
        path = request.path.rstrip("/") or "/"
        name, organizations = _certified(request)
        authorization = request.headers.get("Authorization", "")
        user = self._access.user(authorization, name, organizations, now=self._clock())
        user = self._access.impersonated(user, request.headers)
        query = dict(request.query)
        if path.startswith(control.PREFIX) and self.controls is not None:
            self._access.authorize_path(user, request.method.lower(), path)
            return await control.answer_control(request, self.controls)
        if is_document(path):
            self.requests.append(RequestRecord("get", "", "", query, user.name))
            self._access.authorize_path(user, request.method.lower(), path)
            intercepted = await self._faults.intercept(request, "get", "")
            if intercepted is None and path == "/metrics" and request.method == "GET":
                return answer_metrics(self.requests, self._watches, self._registry)
            return intercepted or document(request, path, self._catalog)
        try:
            target = find_target(path, self._catalog)
        except (status.Refusal, status.TextRefusal):
            # An unknown user does not learn which resources there are.
            self._access.authorize_path(user, request.method.lower(), path)
            raise
        verb = _verb(request.method, target, query)
        kind, named = target.kind, (target.kind.group, target.subresource, target.name)
        creates = self._creates(request, verb, target)
        self.requests.append(RequestRecord(verb, kind.plural, target.namespace, query, user.name, *named, creates))
        intercepted = await self._faults.intercept(request, verb, target.kind.plural)
        if intercepted is not None:
            return intercepted
        self._access.authorize(user, verb, target)
        if creates:
            # apiserver: pkg/endpoints/handlers/rest.go (withAuthorization).
            self._access.authorize(user, "create", target)
        if target.kind.storage in DEPRECATED:
            warn(DEPRECATED[target.kind.storage])
        if text := self._catalog.deprecation(target.kind):
            warn(text)
        if verb not in _verbs_of(target):
            raise status.method_not_allowed()
        if is_stream(target):
            return await answer_stream(request, self._registry, self._pods, target, self._clock)
        accept = request.headers.get("Accept", "")
        if not kind.custom:
            check_media(accept, listing=verb in {"watch", "list"})
        is_review = verb == "create" and Reviews.is_review(target)
        form = form_of(accept, custom=kind.custom, watch=verb == "watch", tables=not is_review)
        if verb in {"watch", "list", "get"}:
            return await self._read(request, target, verb, query, user.name)
        body = await read_body(request)
        if is_review:
            given = decode_body(body, request.headers.get("Content-Type", ""), target.kind.kind, self._catalog.types)
            review = self._reviews.answer(target, given, user, manager_of(request), self._clock())
            return json_answer(metadata_only(review) if form.view else review, code=201)
        return await self._writes.answer(request, target, verb, body, user)

    def _creates(self, request: web.BaseRequest, verb: str, target: Target) -> bool:
        """Return whether an apply, or an update, is to create the object."""
        applied = verb == "patch" and media_type(request.headers.get("Content-Type", "")) in APPLY
        if target.subresource or not (applied or verb == "update"):
            return False
        return self._registry.would_create(target.kind, target.namespace, target.name, applied=applied)

    async def _read(
        self, request: web.BaseRequest, target: Target, verb: str, query: dict[str, str], user: str
    ) -> web.StreamResponse:
        """Answer a read, again and again until a webhook has converted each object that is needed."""
        for _ in range(_MOST_CONVERSIONS):
            try:
                match verb:
                    case "watch":
                        return await self._watch(request, target, query, user)
                    case "list":
                        items, metadata = self._lists.page(target, self._options(query))
                        return list_answer(request, target.kind, items, metadata, now=self._clock())
                    case _:
                        return self._get(request, target)
            except UnconvertedError as error:
                await self._webhooks.convert(error)
        raise status.failed("the objects change faster than the webhook converts them")

    def _get(self, request: web.BaseRequest, target: Target) -> web.Response:
        stored = self._registry.get(target.kind, target.namespace, target.name)
        if target.subresource == "scale":
            return json_answer(read_scale(target.kind, stored.manifest))
        return object_answer(request, target.kind, stored, now=self._clock())

    def _options(self, query: Mapping[str, str]) -> ListOptions:
        if not self._faults.shards:
            query = {name: value for name, value in query.items() if name != "shardSelector"}
        return ListOptions.parse(query)

    async def _watch(
        self, request: web.BaseRequest, target: Target, query: dict[str, str], user: str
    ) -> web.StreamResponse:
        watch = OpenWatch(
            self._registry.store,
            target,
            self._options(query | {"watch": "1"}),
            query=query,
            user=user,
            view=view_of(request.headers.get("Accept", "")),
            in_protobuf=not target.kind.custom and wants_protobuf(request.headers.get("Accept", "")),
            bookmark_interval=self._bookmark_interval,
            clock=self._clock,
            faults=self._faults,
            convert=self._webhooks.convert,
        )
        self._watches[watch] = None
        try:
            return await watch.serve(request)
        finally:
            self._watches.pop(watch, None)


def _certified(request: web.BaseRequest) -> tuple[str, list[str]]:
    """The common name of the client certificate of the connection, or "", and its organizations."""
    certificate = None if request.transport is None else request.transport.get_extra_info("peercert")
    found = [(name, str(value)) for part in (certificate or {}).get("subject", ()) for name, value in part]
    names = [value for name, value in found if name == "commonName"]
    return names[0] if names else "", [value for name, value in found if name == "organizationName"]


def _verbs_of(target: Target) -> Collection[str]:
    """The verbs that a target has, by discovery."""
    if not target.subresource:
        return target.kind.verbs
    return target.kind.subresources[target.subresource].get("verbs") or ()


def _verb(method: str, target: Target, query: Mapping[str, str]) -> str:
    """The verb of a request, as in RBAC.

    Raises:
        Refusal: 405.
    """
    if method == "GET":
        if target.name:
            # As on a cluster: `watch=1` on the path of one object is not looked at.
            return "get"
        return "watch" if is_true(query.get("watch")) else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    if method == "POST" and target.name and not target.subresource:
        raise status.method_not_allowed()
    if method in {"PUT", "PATCH"} and not target.name:
        raise status.method_not_allowed()
    verb = _VERBS.get(method)
    if verb is None:
        raise status.method_not_allowed()
    return verb
