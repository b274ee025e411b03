"""`Fleet`: follows a provider, and keeps one member for each cluster that it names."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, Unpack, cast, overload

from kinformer._callables import check_function
from kinformer._flag import Flag
from kinformer._tasks import BackgroundTask
from kinformer.backoff import Backoff
from kinformer.client import Client
from kinformer.custom_resources.definition import resource_of
from kinformer.errors import AlreadyStartedError, NotStartedError, UnknownClusterError, WaitTimeoutError
from kinformer.fleet._feed import Feed
from kinformer.fleet._lister import FleetInformer
from kinformer.fleet._member import Member, Plan
from kinformer.fleet._provider_follower import ProviderFollower
from kinformer.fleet._wanted_clusters import WantedClusters
from kinformer.fleet.providers import FixedClusters, Provider
from kinformer.fleet.status import FleetStatus
from kinformer.informer.factory import SharedInformerFactory
from kinformer.informer.settings import InformerSettings, checked_settings
from kinformer.resources import Resource
from kinformer.workqueue import FairQueue

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Callable
    from typing import Literal

    from kinformer.config import ClusterConfig
    from kinformer.controller import Controller
    from kinformer.controller._event_mapping import Filter, Keys
    from kinformer.events import T
    from kinformer.fleet._lister import FleetLister
    from kinformer.fleet.cluster import Cluster
    from kinformer.fleet.keys import ClusterKey
    from kinformer.fleet.providers import Clusters
    from kinformer.objects import KubeObject
    from kinformer.operators.leadership import Leadership

__all__ = ["Fleet", "FleetMetrics"]

_log = logging.getLogger("kinformer.fleet")

_LOOK_EVERY: Final = 5.0
"""Seconds between two looks for informers that have ended by themselves."""


class FleetMetrics(Protocol):
    """A sink for the status of fleets; `PrometheusMetrics` is one."""

    def fleet(self, name: str, fleet: Fleet) -> None:
        """Report a new fleet; its `status` may be read at any moment, on the event loop."""
        ...


class Fleet:
    """Many clusters: each has a client, caches and controllers of its own; they come and go while it runs.

        def websites(cluster: Cluster) -> Controller:
            sites = cluster.informer("websites")

            async def reconcile(key: ObjectKey) -> None:
                site = sites.lister.get(key)
                ...
            return Controller("websites", reconcile).watches(sites)

        fleet = Fleet(KubeconfigDirectory("/etc/clusters")).add(websites)
        async with fleet:
            ...

    For each cluster that the provider names, the fleet makes a client and a factory, calls the functions of `add` with
    them, fills the caches, and runs the controllers that the functions have made. When a cluster leaves, its
    controllers end, its queues and caches are dropped, and its connections are closed. No reconcile of it begins any
    more, and one that is under way is cancelled (after `leave_grace`).

    Clusters share nothing. A cluster that is away, hangs or sends garbage has a status and a backoff of its own, and
    delays neither the start nor another cluster. Each controller has its own workers and its own queue in each cluster,
    so neither 10,000 keys of one cluster nor its failures keep the workers of another. `Controller(workers=...)` limits
    the reconciles of one cluster; the fleet has as many as all clusters together.

    Args:
        provider: the source of the clusters, or a mapping of names to configurations that never changes.
        name: the name in logs and metrics.
        client: makes the client of a cluster, from its name and configuration: `Client(config)` by default. It must use
            this configuration, in which credentials are renewed.
        factory: makes the factory of a client. With `functools.partial(SharedInformerFactory, storage="compact")` the
            caches take less memory.
        backoff: delays between attempts to reach a cluster, and to call a provider that failed; 1 to 60 seconds by
            default.
        duplicates: "refuse" lets a cluster wait that the fleet has by another name already (the uid of kube-system is
            the same), because its objects would be reconciled twice at once. "allow" does not look.
        leave_grace: seconds that the reconciles under way have when their cluster leaves, before they are cancelled.
            When the fleet ends, they have the grace of their controllers.
        metrics: gets the fleet, to read its status; `PrometheusMetrics` is one.

    Raises:
        TypeError: this is no provider.
        ValueError: a value makes no sense.

    Examples:
        >>> def print_keys(cluster):
        ...     async def reconcile(key):
        ...         print(cluster.name, key)
        ...     return Controller("example", reconcile).watches(cluster.informer("pods"))
        >>> async with Fleet({"berlin": ClusterConfig.for_server(server.url)}).add(print_keys) as fleet:
        ...     await fleet.settled(timeout=30)
        ...     await asyncio.sleep(0.2)
        berlin default/web-0
    """

    def __init__(
        self,
        provider: Provider | Clusters,
        *,
        name: str = "fleet",
        client: Callable[[str, ClusterConfig], Client] | None = None,
        factory: Callable[[Client], SharedInformerFactory] = SharedInformerFactory,
        backoff: Backoff | None = None,
        duplicates: Literal["refuse", "allow"] = "refuse",
        leave_grace: float = 0.0,
        metrics: FleetMetrics | None = None,
    ) -> None:
        if not leave_grace >= 0:
            msg = f"leave_grace={leave_grace!r} makes no sense: give 0 seconds or more"
            raise ValueError(msg)
        if duplicates not in ("refuse", "allow"):
            msg = f"duplicates={duplicates!r}: expected 'refuse' or 'allow'"
            raise ValueError(msg)
        self.name = name
        self._provider: Provider = FixedClusters(provider) if isinstance(provider, Mapping) else provider
        if not isinstance(self._provider, Provider):
            msg = f"{type(provider).__name__} is no provider: it needs a method clusters() that yields mappings"
            raise TypeError(msg)
        self._plan = Plan(
            client=_client_of if client is None else client,
            factory=factory,
            backoff=Backoff(initial=1.0, maximum=60.0) if backoff is None else backoff,
            refuses_duplicates=duplicates == "refuse",
            leave_grace=leave_grace,
            changed=self._note,
        )
        self._members: dict[str, Member] = {}
        self._wanted = WantedClusters(name)
        self._ending = False
        self._noted = Flag()
        self._follower = ProviderFollower(name, self._provider, self._plan.backoff, take=self._take, changed=self._note)
        self._looking = BackgroundTask(f"kinformer fleet {name} looks at its informers")
        if metrics is not None:
            metrics.fleet(name, self)

    def __repr__(self) -> str:
        live = sum(member.live is not None for member in self._members.values())
        return f"<Fleet {self.name} clusters={len(self._members) + len(self._wanted.invalid())} live={live}>"

    @property
    def provider(self) -> Provider:
        """Return the provider, as given; a mapping of clusters is returned as a provider that yields it once."""
        return self._provider

    def add(self, *setups: Callable[[Cluster], object]) -> Self:
        """Add functions that are called with each cluster that joins, before its caches are filled.

        A function asks for informers and returns a `Controller`, an async context manager (such as an `EventRecorder`),
        a list of these, or `None`. Context managers are entered before the controllers start, and left after they have
        ended. If a function raises, its cluster fails and joins again after a delay; the others do not notice.

        Returns:
            The fleet itself, so that calls can be chained.

        Raises:
            AlreadyStartedError: the fleet has been started.
            TypeError: this is no function.
        """
        if self._follower.task.running or self._ending:
            raise AlreadyStartedError(
                "this fleet has been started, and its clusters may have joined; add() before that"
            )
        for setup in setups:
            check_function("a function of Fleet.add", setup, "cluster")
            if inspect.iscoroutinefunction(setup):
                msg = (
                    f"{setup.__qualname__} is a coroutine function; write `def`, and do async work in a context manager"
                )
                raise TypeError(msg)
            self._plan.setups.append(setup)
        return self

    @overload
    def informer(self, resource: builtins.type[T], **settings: Unpack[InformerSettings]) -> FleetInformer[T]: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> FleetInformer[KubeObject]: ...

    @overload
    def informer(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> FleetInformer[T]: ...

    def informer(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - the usual name
        **settings: Unpack[InformerSettings],
    ) -> FleetInformer[Any]:
        """Have an informer of a resource in each cluster, also in those that join later.

        Args:
            resource: as for `SharedInformerFactory.informer`.
            type: as for `SharedInformerFactory.informer`.
            settings: as for `SharedInformerFactory.informer`.

        Raises:
            UnknownResourceError: no built-in resource of that name.
            SelectorError: a selector does not parse.
            ValueError: the settings contradict each other.
            TypeError: an unknown setting.
        """
        found = resource if isinstance(resource, Resource | str) else resource_of(resource)
        checked_settings(found, settings)

        def find(cluster: Cluster) -> Any:
            ask: Any = cluster.informer
            return ask(resource, type=type, **settings)

        self._plan.declared.append(find)
        for member in self._members.values():
            if member.cluster is not None:
                find(member.cluster)
        return FleetInformer(self._connected, self._names, find)

    @overload
    def lister(self, resource: builtins.type[T], **settings: Unpack[InformerSettings]) -> FleetLister[T]: ...

    @overload
    def lister(
        self, resource: Resource | str, *, type: None = None, **settings: Unpack[InformerSettings]
    ) -> FleetLister[KubeObject]: ...

    @overload
    def lister(
        self, resource: Resource | str, *, type: builtins.type[T], **settings: Unpack[InformerSettings]
    ) -> FleetLister[T]: ...

    def lister(
        self,
        resource: Resource | str | builtins.type[Any],
        *,
        type: builtins.type[Any] | None = None,  # noqa: A002 - the usual name
        **settings: Unpack[InformerSettings],
    ) -> FleetLister[Any]:
        """Return the reads of a resource in all clusters; shorthand for `fleet.informer(...).lister`.

        Raises:
            As `informer`.
        """
        ask: Any = self.informer
        return cast("FleetLister[Any]", ask(resource, type=type, **settings).lister)

    def feed(
        self,
        controller: Controller[ClusterKey],
        resource: Resource | str | builtins.type[Any],
        *,
        map: Callable[[Cluster, KubeObject], Keys[ClusterKey]] | None = None,  # noqa: A002 - the usual name
        filter: Filter | None = None,  # noqa: A002 - the usual name
        priority: int | None = None,
        **settings: Unpack[InformerSettings],
    ) -> Self:
        """Have one controller work on all clusters, with `ClusterKey`s: for work that concerns several at once.

            queue = FairQueue(attrgetter("cluster"), name="spread")
            spread = Controller("spread", reconcile, workers=8, queue=queue)
            fleet.feed(spread, "websites")

        The controller is not a part of the fleet: it starts and ends on its own, after and before the fleet. When the
        caches of a cluster have synced, its objects bring keys. When the cluster leaves, its keys are dropped; a
        reconcile under way goes on, and `fleet[key.cluster]` raises `UnknownClusterError` from then on.

        All clusters share the workers of this controller. The queue lets clusters take turns, and leaves each at most
        `per_group` workers; `Controller(timeout=...)` bounds the time that a cluster which hangs can hold them.

        Args:
            controller: the controller; its queue is a `FairQueue` by cluster.
            resource: as for `informer`.
            map: from a cluster and an object to the keys that it concerns; the object's own key by default.
            filter: as for `Controller.watches`.
            priority: as for `Controller.watches`.
            settings: as for `informer`.

        Returns:
            The fleet itself, so that calls can be chained.

        Raises:
            TypeError: the queue of the controller is no `FairQueue`.
            AlreadyStartedError: the fleet has been started.
            UnknownResourceError, SelectorError, ValueError: as `informer`.
        """
        if not isinstance(controller.queue, FairQueue):
            msg = (
                f"controller {controller.name!r} has one queue for all clusters; give it "
                'queue=FairQueue(attrgetter("cluster"), name=...), from which clusters can be dropped'
            )
            raise TypeError(msg)
        if self._follower.task.running or self._ending:
            raise AlreadyStartedError(
                "this fleet has been started, and its clusters may have joined; feed() before that"
            )
        ask: Any = self.informer
        informers: FleetInformer[Any] = ask(resource, **settings)
        self._plan.feeds.append(Feed(controller, controller.queue, informers.find, map, filter, priority))
        return self

    @property
    def clusters(self) -> dict[str, Cluster]:
        """The clusters whose caches have synced, by name."""
        members = sorted(self._members.items())
        return {name: live for name, member in members if (live := member.live) is not None}

    def __getitem__(self, name: str) -> Cluster:
        """Return a cluster whose caches have synced.

        Raises:
            UnknownClusterError: there is none of that name.
        """
        member = self._members.get(name)
        live = None if member is None else member.live
        if live is None:
            raise UnknownClusterError(name, [*self.clusters])
        return live

    @property
    def status(self) -> FleetStatus:
        """The status of the fleet and of each cluster at this moment.

        Raises:
            RuntimeError: no event loop is running.
        """
        now = asyncio.get_running_loop().time()
        clusters = {name: member.status(now) for name, member in self._members.items()}
        clusters = self._wanted.invalid() | clusters
        return FleetStatus(
            name=self.name,
            taken_at=now,
            answered=self._follower.answered,
            provider_error=self._follower.error,
            clusters=dict(sorted(clusters.items())),
            refused=dict(self._wanted.refused),
        )

    @property
    def is_settled(self) -> bool:
        """True if the provider has answered, and each cluster has synced, has failed once, or has had 30 seconds.

        This is when a `Manager` with a fleet is ready: a cluster that is away does not keep a replica from being ready.
        """
        return self._follower.answered and all(member.tried for member in self._members.values())

    async def settled(self, timeout: float | None = None) -> None:
        """Wait until the provider has answered, and each cluster has synced, has failed once, or has had 30 seconds.

        Raises:
            WaitTimeoutError: not in time; names the clusters.
            NotStartedError: the fleet has not been started, or has ended.
            WrongLoopError: it was started in another event loop.
        """
        self._follower.task.refuse_other_loop()
        if not self._follower.task.running:
            raise NotStartedError(
                "this fleet does not run; use `async with fleet:`, or wait for `manager.ready()` if a Manager starts it"
            )
        try:
            async with asyncio.timeout(timeout):
                while not self.is_settled:
                    self._noted.clear()
                    # A first failure of an informer is noted by no one.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.25):
                            await self._noted.wait()
        except TimeoutError:
            late = [repr(name) for name, member in self._members.items() if not member.tried]
            what = ", ".join(late[:10]) if self._follower.answered else "the provider, which has named no clusters yet"
            msg = f"fleet {self.name!r} is not settled after {timeout} s; it waits for {what}"
            raise WaitTimeoutError(msg) from self._follower.error

    async def __aenter__(self) -> Self:
        """Begin to follow the provider. Nothing is waited for; see `settled`.

        Raises:
            AlreadyStartedError: the fleet runs, or has run.
        """
        if self._follower.task.running or self._ending:
            raise AlreadyStartedError("this fleet runs, or has run; make a new one")
        self._follower.start()
        self._looking.start(self._look())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop all controllers, with their grace, then all caches and clients. No task is left.

        If cancelled, all of them still end.
        """
        self._follower.task.refuse_other_loop()
        self._ending = True
        for member in self._members.values():
            member.end()
        with contextlib.suppress(Exception):  # it was logged when it ended
            await self._follower.task.stop()
        await self._looking.stop()
        while self._members:
            await next(iter(self._members.values())).background.join()
            # Its callback removes it.
            await asyncio.sleep(0)

    # Leadership

    def stand_by(self) -> None:
        """Fill caches, but let no controller start before `leads` is entered. A `Manager` with an elector does this.

        Raises:
            AlreadyStartedError: the fleet has been started.
        """
        if self._follower.task.running or self._ending:
            raise AlreadyStartedError("this fleet has been started, and its controllers may work already")
        self._plan.gate.close()

    @contextlib.asynccontextmanager
    async def leads(self, leadership: Leadership) -> AsyncIterator[None]:
        """Let the controllers of all clusters work, in one term of leadership; leaving ends all of them.

        The election is held in the cluster where the program lives, by a `LeaderElector` of its client.

        Raises:
            WrongLoopError: the fleet was started in another event loop.
        """
        self._follower.task.refuse_other_loop()
        self._plan.gate.open(leadership)
        try:
            yield
        finally:
            self._plan.gate.close()
            async with asyncio.TaskGroup() as group:
                for member in self._members.values():
                    group.create_task(member.end_work(), name=f"kinformer fleet: end the work in {member.name}")

    # The clusters

    def _connected(self) -> dict[str, Cluster]:
        return {name: member.cluster for name, member in self._members.items() if member.cluster is not None}

    def _names(self) -> list[str]:
        return [*self._members]

    def _note(self) -> None:
        self._noted.set()

    def _take(self, clusters: Clusters) -> None:
        """Take the newest clusters of the provider.

        Raises:
            TypeError: this is no mapping.
        """
        for name, error in self._wanted.take(clusters, asyncio.get_running_loop().time()).items():
            if name in self._members:
                self._members[name].reject(error)
        self._settle()

    def _settle(self) -> None:
        """Let members join and leave, so that they are those that are wanted."""
        for name, member in self._members.items():
            config = self._wanted.configs.get(name)
            if config is not None and not self._ending and member.fits(config):
                if not member.leaving:
                    member.rotate(config)
            else:
                # One whose address has changed leaves, and joins again when it has ended.
                member.leave()
        if not self._ending:
            for name in [name for name in self._wanted.configs if name not in self._members]:
                member = self._members[name] = Member(name, self._wanted.configs[name], self._plan)
                member.start(functools.partial(self._member_ended, name))

    def _member_ended(self, name: str) -> None:
        member = self._members.pop(name)
        failure = member.background.failure
        if failure is not None:
            _log.error("fleet %s: cluster %r has failed by a defect", self.name, name, exc_info=failure)
        self._settle()
        self._note()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            for member in self._members.values():
                member.look()


def _client_of(_name: str, config: ClusterConfig) -> Client:
    return Client(config)
