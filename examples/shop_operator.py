"""An operator: every Shop (example.com/v1) has one Deployment, and reports the state of it in its status.

    kinformer run examples.shop_operator --install
    python examples/shop_operator.py --install --namespace default --lease 5

It shows the parts of an operator: a class that is the CRD and the type of its objects, a controller that watches its
own kind and its owned objects, a finalizer, owner references, conditions, Kubernetes Events, and leader election for
several replicas of it.

Why there is never a second Deployment, and never one left behind, also when the process dies at any line, answers get
lost and caches are old: the name follows from the Shop, so that creating twice is refused; the finalizer is on the Shop
before anything is created for it, and comes off when nothing is left; and what must not happen by mistake (to create,
to believe that nothing is left) is not decided by the cache alone, but by one look at the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from kinformer import (
    AlreadyExistsError,
    Client,
    ClusterConfig,
    Controller,
    EventRecorder,
    Finalizer,
    LeaderElector,
    LeadershipLostError,
    Manager,
    NotFoundError,
    Requeue,
    SharedInformerFactory,
    StatusCondition,
    owned_by,
)
from kinformer.custom_resources import Column, Conditions, CustomResource, ObjectMeta, custom_resource
from kinformer.operators.owners import is_owned_by
from kinformer.operators.status_conditions import write_conditions
from kinformer.operators.wait_conditions import rolled_out
from kinformer.resources import DEPLOYMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kinformer import KubeObject, ObjectKey

MANAGER = "shop-operator"
PROBES_PORT = 8080
MANAGED = "app.kubernetes.io/managed-by"


class ShopSpec(msgspec.Struct):
    """The wanted Deployment.

    Attributes:
        image: the image of its containers.
        replicas: the number of its Pods.
    """

    image: str = "nginx:stable"
    replicas: Annotated[int, msgspec.Meta(ge=0)] = 1


class ShopStatus(msgspec.Struct):
    """The present state: the condition Ready."""

    conditions: Conditions = []


@custom_resource(
    group="example.com",
    version="v1",
    short_names=("sh",),
    columns=(
        Column("Replicas", ".spec.replicas", "integer"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    ),
)
class Shop(CustomResource, msgspec.Struct):
    """A shop with one Deployment."""

    metadata: ObjectMeta
    spec: ShopSpec = msgspec.field(default_factory=ShopSpec)
    status: ShopStatus = msgspec.field(default_factory=ShopStatus)


class ShopOperator:
    """Keeps one Deployment per Shop.

    Args:
        client: writes, and reads where a cache is not enough. `kinformer.Client`, or something that has its verbs.
        factory: where the informers come from; it must list with the same client.
        say: called with each Event to record: the Shop, a reason, a message.
        leader: works only while this replica leads.
    """

    def __init__(
        self,
        client: Client,
        factory: SharedInformerFactory,
        *,
        say: Callable[[Shop, str, str], object] = lambda *_: None,
        leader: LeaderElector | None = None,
    ) -> None:
        self.client = client
        self.shops = factory.informer(Shop)
        self.deployments = factory.informer(DEPLOYMENTS, label_selector=f"{MANAGED}={MANAGER}")
        self.finalizer = Finalizer(client, "example.com/deployment")
        self.say = say
        self.leader = leader
        self.controller = (
            Controller("shops", self.reconcile, timeout=60, leader=leader)
            .watches(self.shops)
            .owns(self.deployments, owner=self.shops)
        )

    async def reconcile(self, key: ObjectKey) -> Requeue | None:
        """Make the Deployment of one Shop match its specification."""
        shop = self.shops.lister.get(key)
        if shop is None:
            return None
        return await self.finalizer.reconcile(shop, self.apply, self.clean_up)

    async def apply(self, shop: Shop) -> Requeue | None:
        """The Shop is to be; the finalizer is on it."""
        found = self.deployments.lister.get(shop.metadata.key) or await self.create(shop)
        if found is None:
            # The cache is behind: this Shop has changed. Its event is on the way.
            return Requeue(after=1)
        if not is_owned_by(found, shop, controller=True):
            reason = f"Deployment {found.name} is not of this Shop"
            await self.set_ready(shop, ready=False, reason="NameTaken", message=reason)
            return Requeue(after=30)
        if found.deletion_timestamp:
            return Requeue(after=5)
        if differs(found, shop):
            self.check()
            try:
                # Of this very Deployment. Server-side apply would create one if it has gone meanwhile.
                change = {"metadata": {"uid": found.uid}, "spec": deployment_of(shop)["spec"]}
                found = await self.client.patch(DEPLOYMENTS, found, change, type="strategic", field_manager=MANAGER)
            except NotFoundError:
                return Requeue(after=1)
            self.say(shop, "Updated", f"Deployment {found.name} is as this Shop wants it again")
        missing = rolled_out().why_not(found)
        await self.set_ready(
            shop,
            ready=not missing,
            reason="RollingOut" if missing else "RolledOut",
            message=missing or f"{shop.spec.replicas} replicas are available",
        )
        return None

    async def create(self, shop: Shop) -> KubeObject | None:
        """Create the Deployment, unless the Shop is no longer what the cache says."""
        now = await self.shop_now(shop)
        if now is None or now.metadata.uid != shop.metadata.uid:
            return None
        if now.metadata.deletion_timestamp or not self.finalizer.is_on(now):
            return None
        self.check()
        try:
            made = await self.client.create(DEPLOYMENTS, deployment_of(now), field_manager=MANAGER)
        except AlreadyExistsError:
            # Made by the process before this one, or by another program.
            return await self.deployment_now(shop)
        self.say(shop, "Created", f"Deployment {made.name} is created")
        return made

    async def clean_up(self, shop: Shop) -> Requeue | None:
        """The Shop is to go: `None` lets it, once its Deployment is gone."""
        found = await self.deployment_now(shop)
        if found is None or not is_owned_by(found, shop):
            return None
        if not found.deletion_timestamp:
            self.check()
            with contextlib.suppress(NotFoundError):
                await self.client.delete(DEPLOYMENTS, found, uid=found.uid)
            self.say(shop, "Deleted", f"Deployment {found.name} is deleted")
        # The event of its end comes sooner, as a rule.
        return Requeue(after=2)

    async def shop_now(self, shop: Shop) -> Shop | None:
        """Return the server's present Shop of this name."""
        try:
            return await self.client.get(Shop, shop.metadata.name, namespace=shop.metadata.namespace)
        except NotFoundError:
            return None

    async def deployment_now(self, shop: Shop) -> KubeObject | None:
        """Return the server's present Deployment of the Shop's name."""
        try:
            return await self.client.get(DEPLOYMENTS, shop.metadata.name, namespace=shop.metadata.namespace)
        except NotFoundError:
            return None

    async def set_ready(self, shop: Shop, *, ready: bool, reason: str, message: str) -> None:
        """Say in the status how it is; without a change, no request is made."""
        self.check()
        await write_conditions(self.client, shop, StatusCondition("Ready", ready, reason, message))

    def check(self) -> None:
        """Before a write: a process that was frozen may wake up as a leader of the past."""
        if self.leader is not None and not self.leader.is_leader:
            raise LeadershipLostError(self.leader.name, "another replica may lead by now")


def deployment_of(shop: Shop) -> dict[str, Any]:
    """The Deployment that a Shop wants: the fields that are ours, and no others."""
    meta, labels = shop.metadata, {"example.com/shop": shop.metadata.uid}
    container = {"name": "shop", "image": shop.spec.image}
    manifest = {
        "metadata": {"name": meta.name, "namespace": meta.namespace, "labels": labels | {MANAGED: MANAGER}},
        "spec": {
            "replicas": shop.spec.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    return owned_by(manifest, shop)


def differs(found: KubeObject, shop: Shop) -> bool:
    """Return whether a Deployment differs from its Shop. Fields that the server or others added do not count."""
    image = found.at("spec.template.spec.containers.0.image")
    return (found.at("spec.replicas"), image) != (shop.spec.replicas, shop.spec.image)


def manager(
    client: Client,
    *,
    namespace: str = "default",
    only: str | None = None,
    lease: int = 15,
    identity: str | None = None,
    probes: str = "",
) -> Manager:
    """Make the operator: it fills the caches, waits until it leads, works until SIGTERM, and gives the lease back."""
    events = EventRecorder(client, MANAGER)
    elector = LeaderElector(
        client,
        MANAGER,
        namespace=namespace,
        identity=identity,
        lease_duration=lease,
        renew_deadline=lease * 2 / 3,
        retry_period=lease * 2 / 15,
    )
    factory = SharedInformerFactory(client, namespace=only)
    operator = ShopOperator(client, factory, say=events.normal, leader=elector)
    return Manager(host=probes, port=PROBES_PORT).add(factory, events, operator.controller)


async def main(kubeconfig: str | None, context: str | None, install: bool, lease: int, **settings: Any) -> None:
    """Run until stopped."""
    config = await ClusterConfig.load(kubeconfig, context)
    # Below the third of the lease that a leader has after it lost it and before another one leads.
    async with Client(config, timeout=lease / 4) as client:
        if install:
            await client.install(Shop)
        try:
            await manager(client, lease=lease, **settings).run()
        except LeadershipLostError as error:
            sys.exit(str(error))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kubeconfig", help="instead of KUBECONFIG, ~/.kube/config or the pod's service account")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--install", action="store_true", help="install the CRD first")
    parser.add_argument("--namespace", default="default", help="where the Lease is")
    parser.add_argument("--only", help="look after the Shops of this namespace only")
    parser.add_argument("--lease", type=int, default=15, help="seconds until a replica that has crashed is followed")
    parser.add_argument("--identity", help="as which the Lease is held; the host's name and a random part by default")
    parser.add_argument("--probes", metavar="HOST", default="", help=f"serve probes and metrics, at port {PROBES_PORT}")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    asyncio.run(main(**vars(arguments())))
