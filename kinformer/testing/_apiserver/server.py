"""ApiServer: the embedded Kubernetes API server, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kinformer.testing._apiserver.administrator import Administrator, copied
from kinformer.testing._apiserver.cluster_contents import ClusterContents
from kinformer.testing._apiserver.controllers.names import chosen
from kinformer.testing._apiserver.http.access import Access
from kinformer.testing._apiserver.http.handler import Handler
from kinformer.testing._apiserver.http.webhooks import WebhookCaller
from kinformer.testing._apiserver.listener import Listener
from kinformer.testing._apiserver.own_lease import renew_own_lease
from kinformer.testing._apiserver.rules.pod_scripts import PodScripts
from kinformer.testing._apiserver.rules.registry import Registry
from kinformer.testing._apiserver.schemas.archive import DEFAULT_RELEASE, RELEASES
from kinformer.testing._apiserver.started_faults import StartedFaults
from kinformer.testing._apiserver.store.catalog import Catalog
from kinformer.testing._apiserver.store.storage import Store
from kinformer.testing.faults import Faults

if TYPE_CHECKING:
    import ssl
    from collections import deque
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kinformer.testing._apiserver.controllers.loop import ControllerLoop
    from kinformer.testing._apiserver.http.handler import RequestRecord
    from kinformer.testing._apiserver.http.watches import OpenWatch
    from kinformer.testing._apiserver.store.storage import Storage

__all__ = ["ApiServer"]


class ApiServer(Administrator):
    """A Kubernetes API server in this process, for tests and demos.

        async with ApiServer() as server:
            server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})
            ...                                          # requests to server.url

    It speaks HTTP like a kube-apiserver 1.36 (checked against recordings of one), with all its built-in resources and
    every CRD that is posted. By default no controller runs: a Deployment makes no pods, and only the caller changes a
    status. The consequences of a write follow at once: garbage collection, the end of a namespace's content. With
    `controllers="all"` it does what a whole cluster does: a Deployment gets ReplicaSets, and pods that are scheduled,
    run, and become ready. No container is real: `pods` scripts their behaviour.

    Webhooks of posted configurations are called about the requests of clients, for objects and their status: rules,
    selectors, `matchConditions`, failure policies, timeouts, dry run and reinvocation count as on a real server. See
    `webhook_services`. Policies in CEL that validate, or change, objects are evaluated for the same requests.

    The methods `create`, `get`, `list`, `update`, `patch` and `delete` do the same as a request of an administrator,
    without HTTP and without webhooks. They are plain calls, to be made on the loop of the server. The limits on the
    size of objects hold for requests alone.

    Args:
        host: the address to listen on.
        port: the port; 0 for any free one.
        tokens: user names by bearer token. Without it, every user may do everything. With it, a request with a wrong
            token is answered with 401, and one without a token (and without a certificate) comes from
            `system:anonymous`, a user that may do nothing.
        history: the number of changes that can be watched back; older versions answer 410.
        bookmark_interval: seconds between the bookmarks of a watch.
        ssl_context: to serve HTTPS. If it verifies client certificates, the common name of a certificate is the name of
            the user.
        clock: the time, for timestamps; by default the wall clock.
        allowed_hosts: host names that requests may be for, beside IP addresses, names without a dot, and the names of
            services in a cluster; "*" for all. A request for another name, or from a web page of another origin, is
            answered with 403.
        rbac: whether Roles and bindings decide what users may do. The roles that each cluster has are there from the
            start: `cluster-admin`, `admin`, `edit`, `view`, and those for discovery. Without it, a user may do all that
            is not denied.
        groups: the groups of users by name, beside `system:authenticated`; a user in `system:masters` may do all.
        controllers: the controllers that run: "all", or names of `CONTROLLERS`. They run while the server listens, and
            go by its clock. With "none", nothing follows on a deletion, as on a kube-apiserver without a controller
            manager: a deleted namespace stays Terminating, with its content; dependents stay without their owner; an
            object that is deleted in the foreground, or whose dependents are orphaned, keeps that finalizer.
        nodes: the number of nodes that the cluster has from the start, if the controller "kubelet" runs.
        control_paths: answer `/kinformer/faults`, `/kinformer/reset` and `/kinformer/snapshot`, for tests in other
            languages; from this machine only.
        system_objects: whether the objects of a new cluster are there from the start: those that a kube-apiserver makes
            for itself (the Service "kubernetes", priority classes, flow schemas); and DNS in
            `kube-system`, if the controller "kubelet" runs.
        version: the Kubernetes release that the server is like: "1.36" or "1.37"; by default "1.36", the release
            of the recordings that the server is checked against.

    Attributes:
        pods: the behaviour of pods, and their answers: `server.pods.logs("web-0", "hello")`,
            `server.pods.crash("web-*")`.
        faults: the faults that can be injected.
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
        allowed_hosts: Collection[str] = (),
        rbac: bool = False,
        groups: Mapping[str, Sequence[str]] | None = None,
        controllers: str | Collection[str] = (),
        nodes: int = 1,
        control_paths: bool = False,
        system_objects: bool = False,
        version: str | None = None,
    ) -> None:
        names = chosen(controllers)
        runs_pods = "kubelet" in names
        self._clock = clock
        self._store = Store(history=history)
        if version is not None and version not in RELEASES:
            msg = f"there is no embedded API server for Kubernetes {version!r}; choose one of {', '.join(RELEASES)}"
            raise ValueError(msg)
        self._catalog = Catalog(version or DEFAULT_RELEASE)
        registry = Registry(
            self._store,
            self._catalog,
            clock=clock,
            on_gone=self._end_watches_of,
        )
        super().__init__(registry, ends_pods=runs_pods)
        self._access = Access(tokens, self._store, groups=groups, rbac=rbac)
        self.pods = PodScripts()
        self.faults = Faults(self._store, lambda: self.open_watches, stop=self.stop, start=self.start)
        self._started_faults = StartedFaults(self.faults)
        self._webhooks = WebhookCaller(self._store, self._catalog)
        self._handler = Handler(
            registry,
            self._access,
            self.faults,
            clock=clock,
            bookmark_interval=bookmark_interval,
            allowed_hosts={*allowed_hosts, host},
            pods=self.pods,
            webhooks=self._webhooks,
        )
        if control_paths:
            self._handler.controls = self
        self._listener = Listener(self._handler.handle, host=host, port=port, ssl_context=ssl_context)
        self._contents = ClusterContents(
            registry,
            self,
            rbac=rbac,
            nodes=nodes if runs_pods else 0,
            runs_pods=runs_pods,
            system_objects=system_objects,
            on_replaced=self._end_watches,
        )
        self._contents.add_first()
        self._controllers: ControllerLoop | None = None
        if controllers == "none":
            registry.life_cycle.leave_consequences()
        if names:
            # Imported here: a server without controllers pays nothing for them.
            from kinformer.testing._apiserver.controllers.all_controllers import make_loop

            self._controllers = make_loop(names, registry, self.pods, clock, self._listener.trust)
        self._contents.add_nodes()

    def __repr__(self) -> str:
        where = self.url if self._listener.listens else "not running"
        return f"<ApiServer {where} revision={self.resource_version}>"

    @property
    def url(self) -> str:
        """The URL of the server.

        Raises:
            RuntimeError: it does not listen.
        """
        return self._listener.url

    @property
    def resource_version(self) -> int:
        """The newest version: that of the last write."""
        return self._store.revision

    @property
    def open_watches(self) -> list[OpenWatch]:
        """The watches that are open now."""
        return self._handler.open_watches

    @property
    def requests(self) -> deque[RequestRecord]:
        """The last 100,000 requests."""
        return self._handler.requests

    @property
    def connections(self) -> int:
        """The number of connections that are open now."""
        return self._listener.connections

    @property
    def webhook_services(self) -> dict[str, str]:
        """The URLs of the Services of webhooks, by "namespace/name", as there is no network of a cluster.

        A webhook that is configured with a Service is called at its URL, and must have a certificate for the name of
        the Service, such as "webhooks.shop.svc".
        """
        return self._webhooks.services

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
        """Send a bookmark of the present version to every open watch that takes bookmarks, behind all its events.

        A client that has received it has received everything up to now, however narrow its selectors are.
        """
        for watch in self.open_watches:
            watch.bookmark()

    def count(self, verb: str, resource: str | None = None) -> int:
        """Count the requests of a verb (for a resource)."""
        return sum(r.verb == verb and resource in {None, r.resource} for r in self.requests)

    def kubeconfig(self, token: str = "", ca_file: str = "") -> dict[str, Any]:
        """A kubeconfig for this server, as kubectl takes it."""
        cluster: dict[str, Any] = {"server": self.url} | ({"certificate-authority": ca_file} if ca_file else {})
        if self._listener.is_secure and not ca_file:
            cluster |= {"insecure-skip-tls-verify": True}
        # Without credentials, kubectl would ask for some.
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
        # JSON is YAML, too, and needs no PyYAML.
        target.write_text(json.dumps(self.kubeconfig(token, ca_file), indent=2) + "\n")

    def settle(self, *names: str) -> None:
        """Let the controllers do at once everything that is due by now, and everything that follows from it.

        A test with a clock of its own moves the clock, and then calls this. The server need not listen.

        Args:
            *names: the controllers that work; without any, all do.

        Raises:
            RuntimeError: they never come to rest; names the controllers that go on.
        """
        if self._controllers is not None:
            self._controllers.settle(*names)

    def fill_replicasets(self, share: float = 1.0) -> int:
        """Store the pods that all Deployments and ReplicaSets lack at once: on nodes, running, ready, without Events.

        This is for large clusters: 20,000 pods take about two seconds. The controllers go on from there.

        Args:
            share: the share of the wanted pods that are there afterwards.

        Returns:
            The number of the new pods.

        Raises:
            RuntimeError: no controllers run.
        """
        if self._controllers is None:
            raise RuntimeError('no controllers run; make the server with controllers="all"')
        return self._controllers.fill(share)

    def selected_pods(self, namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the pods of a namespace that have these labels, as copies.

        With controllers, an index finds them: this costs nothing for the pods that are not selected.
        """
        if self._controllers is None:
            return [
                pod
                for pod in self.list("v1", "Pod", namespace)
                if labels.items() <= (pod["metadata"].get("labels") or {}).items()
            ]
        found = self._controllers.cluster.pods(namespace, {"matchLabels": dict(labels)})
        return [copied(pod) for pod in found]

    def hold_controllers(self) -> None:
        """Let the controllers do nothing until the server is started again."""
        if self._controllers is not None:
            self._controllers.stop()

    # All objects at once

    def reset(self) -> None:
        """Begin anew: the objects are those of a new server, and no fault is injected.

        All objects go at once, whatever finalizers they have. Versions go on from the present one. Open watches end,
        and a watch from an earlier version gets 410: informers list again. The scripts of pods and denials stay.
        """
        self.stop_faults()
        self._contents.reset()

    def snapshot(self) -> str:
        """Return all objects as documents of YAML, for `restore` and for kubectl."""
        return self._contents.snapshot()

    def restore(self, documents: str) -> None:
        """Replace all objects by those in documents of YAML, beside the objects that a new server has.

        Objects of a snapshot keep their uid, times and status. Objects without a uid are created, as by requests. For
        open watches and versions, it is as with `reset`.

        Raises:
            Refusal: 400 or 422, a document is no object that the server can have. Nothing has changed then.
        """
        self._contents.restore(documents)

    def _end_watches_of(self, storage: Storage) -> None:
        # The registry is there before the handler.
        self._handler.end_watches_of(storage)

    def _end_watches(self) -> None:
        for watch in self.open_watches:
            watch.end()

    # Faults by their text

    def start_fault(self, text: str) -> int:
        """Inject a fault of the command line, such as "drop:every=5"; return its number.

        The server must listen. At most 100 faults go on at once.

        Raises:
            ValueError: the text does not parse, or too many faults go on.
        """
        return self._started_faults.start(text)

    @property
    def started_faults(self) -> dict[int, str]:
        """The faults of `start_fault` that go on, by their numbers."""
        return self._started_faults.running()

    def stop_faults(self) -> None:
        """End all faults: those of `start_fault`, and those of `faults`."""
        self._started_faults.stop()
        self.faults.clear()

    # Its life

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
            RuntimeError: it listens already.
        """
        await self._listener.start()
        if self._controllers is not None:
            self._controllers.start()

    async def stop(self) -> None:
        """Stop listening and cut every connection, open watches among them. The objects stay.

        Raises:
            WrongLoopError: it was started in another event loop.
        """
        runner = self._listener.end()
        if runner is None:
            return
        if self._controllers is not None:
            self._controllers.stop()
        for watch in self.open_watches:
            watch.drop()
        # The handlers of the watches see their end in the loop's next turns.
        while self.open_watches:  # noqa: ASYNC110 - they end within a turn or two
            await asyncio.sleep(0)
        await runner.cleanup()
        await self._webhooks.close()

    async def restart(self) -> None:
        """Stop, if it runs, and start, as a kube-apiserver does over its etcd.

        The objects stay, and so does the past that pages of a list are read from. But the watch cache of a
        kube-apiserver has no past when it is young, and it writes (a Lease of its own) before it serves: a watch
        from any earlier version is answered with 410.

        Raises:
            OSError: another process has taken the port meanwhile.
        """
        await self.stop()
        renew_own_lease(self._registry, self._clock())
        self._store.watchable_from = self._store.revision
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._started_faults.join()
        await self.stop()
