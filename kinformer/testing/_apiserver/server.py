"""ApiServer: the embedded Kubernetes API server, over real HTTP."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import msgspec
import yaml
from aiohttp import web

from kinformer.testing._apiserver.http import openapi
from kinformer.testing._apiserver.http.access import Access
from kinformer.testing._apiserver.http.pod_subresources import bind_pod, post_to_pod
from kinformer.testing._apiserver.http.reads import Lists, selection_of
from kinformer.testing._apiserver.http.requests import (
    ListOptions,
    Target,
    decode_body,
    find_target,
    is_true,
    view_of,
    wants_aggregated,
)
from kinformer.testing._apiserver.http.views import list_bytes, object_bytes
from kinformer.testing._apiserver.http.watches import OpenWatch
from kinformer.testing._apiserver.rules.patches import apply_json_patch, apply_merge_patch, apply_strategic_patch
from kinformer.testing._apiserver.rules.registry import DeleteOptions, Registry
from kinformer.testing._apiserver.rules.scale import read_scale, written_scale
from kinformer.testing._apiserver.store import status
from kinformer.testing._apiserver.store.catalog import Catalog
from kinformer.testing._apiserver.store.storage import Store, Stored
from kinformer.testing.faults import Faults

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from kinformer.testing._apiserver.store.catalog import ResourceType
    from kinformer.testing._apiserver.store.storage import Storage

__all__ = ["ApiServer", "RequestRecord"]

_log = logging.getLogger(__name__)

_GZIP_FROM: Final = 128 * 1024
"""Shorter answers are never compressed (apiserver handlers/responsewriters, defaultGzipThresholdBytes)."""

_VERSION: Final = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+kinformer",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_SYSTEM_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class RequestRecord(NamedTuple):
    """One request that was answered: for tests that count.

    Attributes:
        verb: as in RBAC: get, list, watch, create, update, patch, delete, deletecollection.
        resource: the plural; "" for a path that is no resource.
        namespace: the namespace; "" for all, or none.
        query: the query.
        user: who asked.
    """

    verb: str
    resource: str
    namespace: str
    query: dict[str, str]
    user: str


class ApiServer:
    """A Kubernetes API server in this process, for tests and demos.

        async with ApiServer() as server:
            server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})
            ...                                          # requests to server.url

    It speaks HTTP like a kube-apiserver 1.36 (checked against recordings of one), with all its built-in resources and
    whatever CRD is posted. No controller runs: a Deployment makes no pods, and nothing but the caller changes a status.
    What follows from a write follows at once: garbage collection, the end of a namespace's content.

    The methods `create`, `get`, `list`, `update`, `patch` and `delete` do without HTTP what an administrator's request
    would do; they are plain calls, for the loop the server runs on.

    Args:
        host: where to listen.
        port: 0 for any free one.
        tokens: user names by bearer token. Without it, everybody may do everything. With it, who sends a wrong one is
            answered with 401, and who sends none (and no certificate) is `system:anonymous`, who may do nothing.
        history: how many changes can be watched back; older versions answer 410.
        bookmark_interval: seconds between the bookmarks of a watch.
        ssl_context: to serve HTTPS. If it verifies client certificates, who presents one is the user that its common
            name says.
        clock: the time, for timestamps; by default the wall clock.

    Attributes:
        faults: what can be made to go wrong.
        requests: the last 100,000 requests.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Mapping[str, str] | None = None,
        history: int = 10_000,
        bookmark_interval: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._clock = clock
        self._bookmark_interval = bookmark_interval
        self._store = Store(history=history)
        self._catalog = Catalog()
        self._registry = Registry(self._store, self._catalog, clock=clock, on_gone=self._resource_gone)
        self._access = Access(tokens)
        self._watches: dict[OpenWatch, None] = {}
        self.faults = Faults(self._store, lambda: self.open_watches, stop=self.stop, start=self.start)
        self._lists = Lists(self._store, self.faults)
        self.requests: deque[RequestRecord] = deque(maxlen=100_000)
        self._runner: web.ServerRunner | None = None
        self._server: web.Server | None = None
        for namespace in _SYSTEM_NAMESPACES:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def __repr__(self) -> str:
        where = self.url if self._runner is not None else "not running"
        return f"<ApiServer {where} revision={self.resource_version}>"

    @property
    def url(self) -> str:
        """Where it listens.

        Raises:
            RuntimeError: it does not.
        """
        if self._runner is None:
            msg = "the API server is not running; use `async with ApiServer() as server:`"
            raise RuntimeError(msg)
        scheme = "http" if self._ssl_context is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    @property
    def resource_version(self) -> int:
        """The newest version: that of the last write."""
        return self._store.revision

    @property
    def open_watches(self) -> list[OpenWatch]:
        """The watches that are open now."""
        return [*self._watches]

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return 0 if self._server is None else len(self._server.connections)

    @property
    def tokens(self) -> dict[str, str]:
        """User names by bearer token; may be changed while the server runs."""
        return self._access.tokens

    def deny(self, user: str, verb: str, resource: str, namespace: str | None = None) -> None:
        """Forbid a user something from now on: 403. "*" stands for every verb, or every resource."""
        self._access.deny(user, verb, resource, namespace)

    def allow(self, user: str, verb: str = "*", resource: str = "*", namespace: str | None = None) -> None:
        """Take denials of a user back."""
        self._access.allow(user, verb, resource, namespace)

    def compact(self, revision: int | None = None) -> None:
        """Forget the changes up to a version, by default all: watches from older ones are answered with 410."""
        self._store.compact(revision)

    def send_bookmarks(self) -> None:
        """Send every open watch that takes bookmarks one of the present version, behind all that it has to tell.

        Whoever has received it has received everything up to now, however narrow its selectors are.
        """
        for watch in self.open_watches:
            watch.bookmark()

    def count(self, verb: str, resource: str | None = None) -> int:
        """How many requests of a verb there were (for a resource)."""
        return sum(r.verb == verb and resource in {None, r.resource} for r in self.requests)

    def kubeconfig(self, token: str = "", ca_file: str = "") -> dict[str, Any]:
        """A kubeconfig for this server, as kubectl takes it."""
        cluster: dict[str, Any] = {"server": self.url} | ({"certificate-authority": ca_file} if ca_file else {})
        if self._ssl_context is not None and not ca_file:
            cluster |= {"insecure-skip-tls-verify": True}
        # A user without credentials would make kubectl ask for some.
        user = {"token": token or "anybody"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kinformer", "cluster": cluster}],
            "users": [{"name": "kinformer", "user": user}],
            "contexts": [{"name": "kinformer", "context": {"cluster": "kinformer", "user": "kinformer"}}],
            "current-context": "kinformer",
        }

    def write_kubeconfig(self, path: str | Path, token: str = "", ca_file: str = "") -> None:
        """Write a kubeconfig for this server to a file that only its owner may read."""
        target = Path(path)
        target.touch(mode=0o600)
        target.write_text(yaml.safe_dump(self.kubeconfig(token, ca_file)))

    # Without HTTP

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; its namespace is "default" if it names none.

        Raises:
            Refusal: as the server would refuse a request.
        """
        kind, namespace = self._kind_of(manifest)
        return _copied(self._registry.create(kind, namespace, dict(manifest), manager="kinformer").manifest)

    def update(self, manifest: Mapping[str, Any], *, subresource: str = "") -> dict[str, Any]:
        """Replace an object; without a `metadata.resourceVersion`, whatever state it is in.

        Raises:
            Refusal: as the server would refuse a request.
        """
        kind, namespace = self._kind_of(manifest)
        name = manifest["metadata"]["name"]
        manifest = self._with_version(kind, namespace, name, dict(manifest))
        stored = self._registry.update(kind, namespace, name, manifest, subresource=subresource, manager="kinformer")
        return _copied(stored.manifest)

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        namespace: str = "default",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Apply a JSON merge patch to an object.

        Raises:
            Refusal: as the server would refuse a request.
        """
        found, place = self._kind(api_version, kind, namespace)
        current = self._registry.get(found, place, name)
        merged = apply_merge_patch(current.manifest, dict(patch))
        stored = self._registry.update(found, place, name, merged, subresource=subresource, manager="kinformer")
        return _copied(stored.manifest)

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str = "default", *, grace_period_seconds: int = 0
    ) -> None:
        """Delete an object; by default at once, unless it has finalizers.

        Raises:
            Refusal: as the server would refuse a request.
        """
        found, place = self._kind(api_version, kind, namespace)
        self._registry.delete(found, place, name, DeleteOptions(grace_period_seconds=grace_period_seconds))

    def bind(self, name: str, node: str, namespace: str = "default") -> None:
        """Give a pod its node, as a scheduler does; nothing else may.

        Raises:
            Refusal: as the server would refuse a request: 409 when the pod has a node.
        """
        pods, place = self._kind("v1", "Pod", namespace)
        bind_pod(self._registry, pods, place, name, node)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """An object, as a copy.

        Raises:
            Refusal: 404.
        """
        found, place = self._kind(api_version, kind, namespace)
        return _copied(self._registry.get(found, place, name).manifest)

    def _kind(self, api_version: str, kind: str, namespace: str) -> tuple[ResourceType, str]:
        found = self._catalog.of_kind(api_version, kind)
        if found is None:
            msg = f"the server has no kind {kind!r} in {api_version!r}; post its CustomResourceDefinition first"
            raise ValueError(msg)
        return found, namespace if found.namespaced else ""

    def _kind_of(self, manifest: Mapping[str, Any]) -> tuple[ResourceType, str]:
        api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
        if not isinstance(api_version, str) or not isinstance(kind, str):
            raise ValueError("the manifest needs its apiVersion and kind")  # noqa: TRY004
        return self._kind(api_version, kind, (manifest.get("metadata") or {}).get("namespace") or "default")

    def _with_version(self, kind: ResourceType, namespace: str, name: str, manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["metadata"].get("resourceVersion"):
            return manifest
        current = self._registry.get(kind, namespace, name)
        version = current.manifest["metadata"]["resourceVersion"]
        return manifest | {"metadata": manifest["metadata"] | {"resourceVersion": version}}

    # Its life

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be had.
            RuntimeError: it listens already.
        """
        if self._runner is not None:
            msg = f"the API server is running already, at {self.url}"
            raise RuntimeError(msg)
        self._server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl_context, backlog=1024)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening and cut every connection, open watches among them. What is stored stays."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for watch in self.open_watches:
            watch.drop()
        # The handlers of the watches see their end in the loop's next turns.
        while self._watches:  # noqa: ASYNC110 - they end within a turn or two
            await asyncio.sleep(0)
        await runner.cleanup()
        self._server = None

    async def restart(self) -> None:
        """Stop, if it runs, and start, as a kube-apiserver does over its etcd.

        What is stored stays, also the past that pages of a list are read from. But a kube-apiserver's watch cache has
        no past when it is young, and it writes (a Lease of its own) before it serves: a watch from any version of
        before is answered with 410.

        Raises:
            OSError: somebody else has taken the port meanwhile.
        """
        await self.stop()
        self._renew_own_lease()
        self._store.watchable_from = self._store.revision
        await self.start()

    def _renew_own_lease(self) -> None:
        """As each kube-apiserver has one (pkg/controlplane/apiserver, identity lease)."""
        kind, namespace = self._kind("coordination.k8s.io/v1", "Lease", "kube-system")
        name = "apiserver-kinformer"
        labels = {"apiserver.kubernetes.io/identity": "kube-apiserver"}
        now = self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        held = {"holderIdentity": f"{name}_{self._store.revision}", "leaseDurationSeconds": 3600, "renewTime": now}
        lease = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": held}
        if self._store.get(kind.storage, (namespace, name)) is None:
            self._registry.create(kind, namespace, lease, manager="kube-apiserver")
        else:
            current = self._with_version(kind, namespace, name, lease)
            self._registry.update(kind, namespace, name, current, manager="kube-apiserver")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # Over HTTP

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except status.Refusal as refusal:
            headers = {"Cache-Control": "no-cache, private"}
            if refusal.retry_after is not None:
                headers["Retry-After"] = str(refusal.retry_after)
            return _json(refusal.body, code=refusal.code, headers=headers)
        except status.TextRefusal as refusal:
            return web.Response(status=refusal.code, text=refusal.text)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - a defect of ours is answered, and logged
            _log.exception("the API server failed at %s %s", request.method, request.path)
            return _json(status.internal("internal error; see the server's log").body, code=500)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/") or "/"
        user = self._access.user(request.headers.get("Authorization", ""), _certified(request))
        query = dict(request.query)
        if not path.startswith(("/api/v1/", "/apis/")) or (path.startswith("/apis/") and path.count("/") <= 3):
            self.requests.append(RequestRecord("get", "", "", query, user))
            self._access.authorize_path(user, request.method.lower(), path)
            intercepted = await self.faults.intercept(request, "get", "")
            return intercepted or self._document(request, path)
        try:
            target = find_target(path, self._catalog)
        except (status.Refusal, status.TextRefusal):
            # Whom nobody knows is not told what there is.
            self._access.authorize_path(user, request.method.lower(), path)
            raise
        verb = _verb(request.method, target, query)
        self.requests.append(RequestRecord(verb, target.kind.plural, target.namespace, query, user))
        intercepted = await self.faults.intercept(request, verb, target.kind.plural)
        if intercepted is not None:
            return intercepted
        self._access.authorize(user, verb, target)
        if not target.subresource and verb not in target.kind.verbs:
            raise status.method_not_allowed()
        match verb:
            case "watch":
                return await self._watch(request, target, query, user)
            case "list":
                return self._list(request, target, query)
            case "get":
                return self._get(request, target)
        body = await request.read()
        if query.get("dryRun", "All") != "All":
            raise status.dry_run_unknown(verb, query["dryRun"])
        if verb in {"delete", "deletecollection"}:
            options = _delete_options(body, request.content_type, query)
            return self._delete(target, verb, query, options)
        return self._write(request, target, verb, query, body)

    def _document(self, request: web.BaseRequest, path: str) -> web.Response:  # noqa: C901 - a table of paths
        """Discovery, health, versions."""
        if request.method != "GET":
            raise status.method_not_allowed()
        accept = request.headers.get("Accept", "")
        catalog = self._catalog
        match path:
            case "/version":
                return web.Response(body=json.dumps(_VERSION, indent=2), headers={"Content-Type": "application/json"})
            case "/readyz" | "/livez" | "/healthz":
                text = "ok"
                if "verbose" in request.query:
                    text = f"[+]ping ok\n[+]log ok\n[+]informer-sync ok\n{path[1:]} check passed\n"
                return web.Response(text=text)
            case "/openapi/v2":
                if openapi.PROTOBUF_V2 in accept:
                    return web.Response(
                        body=openapi.v2_protobuf(catalog), headers={"Content-Type": openapi.PROTOBUF_V2_SENT}
                    )
                return _json(openapi.v2_document(catalog))
            case "/openapi/v3":
                return _json(openapi.v3_index(catalog))
            case "/api" | "/apis" if wants_aggregated(accept):
                document = catalog.aggregated_core() if path == "/api" else catalog.aggregated_groups()
                media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                return _json(document, headers={"Content-Type": media, "Vary": "Accept", "Cache-Control": "public"})
            case "/api":
                return _json(catalog.api_versions(f"{self._host}:{self._port}"))
            case "/apis":
                return _json(catalog.api_groups())
        parts = path.strip("/").split("/")
        document_or_none: dict[str, Any] | None = None
        match parts:
            case ["openapi", "v3", *rest]:
                document_or_none = openapi.v3_document(catalog, "/".join(rest))
            case ["api", version]:
                document_or_none = catalog.api_resources("", version)
            case ["apis", group]:
                document_or_none = catalog.api_group(group)
            case ["apis", group, version]:
                document_or_none = catalog.api_resources(group, version)
        if document_or_none is None:
            raise status.page_not_found()
        return _json(document_or_none)

    def _list(self, request: web.BaseRequest, target: Target, query: dict[str, str]) -> web.Response:
        view = view_of(request.headers.get("Accept", ""))
        items, metadata = self._lists.page(target, self._options(query))
        body = list_bytes(target.kind, items, metadata, view, now=self._clock())
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        if len(body) > _GZIP_FROM and "gzip" in request.headers.get("Accept-Encoding", ""):
            # The fastest level, as the API server's own writer uses.
            body = gzip.compress(body, compresslevel=1)
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return web.Response(body=body, headers=headers)

    def _options(self, query: dict[str, str]) -> ListOptions:
        if not self.faults.shards:
            query = {name: value for name, value in query.items() if name != "shardSelector"}
        return ListOptions.parse(query)

    def _get(self, request: web.BaseRequest, target: Target) -> web.Response:
        stored = self._registry.get(target.kind, target.namespace, target.name)
        if target.subresource == "scale":
            return _json(read_scale(stored.manifest))
        return self._object(request, target.kind, stored)

    def _object(self, request: web.BaseRequest, kind: ResourceType, stored: Stored, *, code: int = 200) -> web.Response:
        view = view_of(request.headers.get("Accept", ""))
        body = object_bytes(kind, stored, view, now=self._clock()) + b"\n"
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        return web.Response(body=body, status=code, headers=headers)

    async def _watch(
        self, request: web.BaseRequest, target: Target, query: dict[str, str], user: str
    ) -> web.StreamResponse:
        watch = OpenWatch(
            self._store,
            target,
            self._options(query | {"watch": "1"}),
            query=query,
            user=user,
            view=view_of(request.headers.get("Accept", "")),
            bookmark_interval=self._bookmark_interval,
            clock=self._clock,
            faults=self.faults,
        )
        self._watches[watch] = None
        try:
            return await watch.serve(request)
        finally:
            self._watches.pop(watch, None)

    def _write(
        self, request: web.BaseRequest, target: Target, verb: str, query: dict[str, str], body: bytes
    ) -> web.Response:
        kind, registry = target.kind, self._registry
        dry_run = bool(query.get("dryRun"))
        agent = request.headers.get("User-Agent", "unknown")
        manager = query.get("fieldManager") or agent.partition("/")[0][:128] or "unknown"
        content_type = request.headers.get("Content-Type", "")
        if verb == "create":
            if target.subresource:
                return _json(post_to_pod(registry, target, decode_body(body, content_type)), code=201)
            made = registry.create(
                kind, self._namespace_of(target), decode_body(body, content_type), manager=manager, dry_run=dry_run
            )
            return self._object(request, kind, made, code=201)
        if verb == "patch" and content_type.partition(";")[0].strip() == "application/apply-patch+yaml":
            if not query.get("fieldManager"):
                cause = ("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
                raise status.invalid("PatchOptions", "", [cause], group="meta.k8s.io")
            stored, created = registry.apply(
                *(kind, target.namespace, target.name, decode_body(body, content_type)),
                manager=query["fieldManager"],
                force=is_true(query.get("force", "false")),
                subresource=target.subresource,
                dry_run=dry_run,
            )
            return self._object(request, kind, stored, code=201 if created else 200)
        if verb == "patch":
            current = registry.get(kind, target.namespace, target.name)
            before = read_scale(current.manifest) if target.subresource == "scale" else current.manifest
            wanted = _patched(before, body, content_type, custom=kind.custom)
        else:
            current = None
            wanted = decode_body(body, content_type)
        if target.subresource == "scale":
            current = current or registry.get(kind, target.namespace, target.name)
            wanted = written_scale(current.manifest, wanted)
        stored = registry.update(
            *(kind, target.namespace, target.name, wanted),
            subresource=target.subresource if target.subresource == "status" else "",
            manager=manager,
            dry_run=dry_run,
        )
        if target.subresource == "scale":
            return _json(read_scale(stored.manifest))
        return self._object(request, kind, stored)

    def _delete(self, target: Target, verb: str, query: dict[str, str], options: DeleteOptions) -> web.Response:
        registry, kind = self._registry, target.kind
        dry_run = options.dry_run or bool(query.get("dryRun"))
        if verb == "delete":
            return _json(registry.delete(kind, target.namespace, target.name, options, dry_run=dry_run))
        self._namespace_of(target)
        list_options = ListOptions.parse(query)
        scope = selection_of(target, list_options)
        chosen = [
            (key, stored)
            for key, stored in self._store.listed(kind.storage)
            if scope.namespace in {"", key[0]} and (scope.selects is None or scope.selects(stored.manifest))
        ]
        for key, _ in chosen:
            if self._store.get(kind.storage, key) is not None:
                registry.delete(kind, *key, options, dry_run=dry_run)
        metadata = {"resourceVersion": str(self._store.revision)}
        body = list_bytes(kind, [stored for _, stored in chosen], metadata, "", now=self._clock())
        return web.Response(body=body, content_type="application/json")

    def _namespace_of(self, target: Target) -> str:
        if target.kind.namespaced and not target.namespace:
            # The path of all namespaces can be listed, and nothing else.
            raise status.method_not_allowed()
        return target.namespace

    def _resource_gone(self, storage: Storage) -> None:
        for watch in self.open_watches:
            if watch.target.kind.storage == storage:
                watch.end()

    # Last, because below it the annotation list[...] would mean this method.
    def list(self, api_version: str, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """The objects of a kind, of all namespaces or of one, as copies."""
        found, _ = self._kind(api_version, kind, "")
        objects = self._store.listed(found.storage)
        return [_copied(stored.manifest) for key, stored in objects if namespace in {None, key[0]}]


def _certified(request: web.BaseRequest) -> str:
    """The common name of the client certificate that the connection was made with, or ""."""
    certificate = None if request.transport is None else request.transport.get_extra_info("peercert")
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""


def _verb(method: str, target: Target, query: dict[str, str]) -> str:
    if method == "GET":
        if is_true(query.get("watch")) and not target.subresource:
            return "watch"
        return "get" if target.name else "list"
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


def _patched(current: dict[str, Any], body: bytes, content_type: str, *, custom: bool) -> Any:
    media = content_type.partition(";")[0].strip()
    if media == "application/merge-patch+json":
        return apply_merge_patch(current, decode_body(body, media))
    if media == "application/json-patch+json":
        return apply_json_patch(current, decode_body(body, media))
    if media == "application/strategic-merge-patch+json" and not custom:
        return apply_strategic_patch(current, decode_body(body, media))
    raise status.unsupported_media_type()


def _delete_options(body: bytes, content_type: str, query: dict[str, str]) -> DeleteOptions:
    given = decode_body(body, content_type) if body.strip() else {}
    if not isinstance(given, dict):
        raise status.bad_request("the body of a delete must be DeleteOptions")
    preconditions = given.get("preconditions") or {}
    grace = given.get("gracePeriodSeconds")
    if query.get("gracePeriodSeconds"):
        try:
            grace = int(query["gracePeriodSeconds"])
        except ValueError:
            raise status.bad_request(
                f'strconv.ParseInt: parsing "{query["gracePeriodSeconds"]}": invalid syntax'
            ) from None
    return DeleteOptions(
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        grace_period_seconds=grace,
        propagation_policy=given.get("propagationPolicy") or query.get("propagationPolicy", ""),
        dry_run=bool(given.get("dryRun")),
    )


def _json(value: Any, *, code: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    sent = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"} | (headers or {})
    return web.Response(body=msgspec.json.encode(value) + b"\n", status=code, headers=sent)


def _copied(manifest: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    return copy
