"""Keeps labels on namespaces, as a ConfigMap says: one line per pattern of names.

    kubectl create configmap namespace-labels -n kube-system --from-literal='rules=team-*: billing=teams, tier=gold'
    python examples/namespace_labels.py

It shows server-side apply: labels that no line names any more are removed, and labels of other managers stay. If
another manager owns a label, the program leaves it alone and logs the manager. Two kinds of objects cause work: a
changed namespace is reconciled alone, and a change of the ConfigMap reconciles all namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fnmatch
import logging
from typing import TYPE_CHECKING

from kinformer import ApplyConflictError, Client, ClusterConfig, Controller, ObjectKey, SharedInformerFactory
from kinformer.resources import CONFIGMAPS, NAMESPACES

if TYPE_CHECKING:
    from kinformer import KubeObject

MANAGER = "namespace-labels"

log = logging.getLogger(MANAGER)


class NamespaceLabels:
    """Applies the rules of one ConfigMap to all namespaces.

    Args:
        client: writes.
        factory: where the informers come from.
        rules: the ConfigMap.
    """

    def __init__(self, client: Client, factory: SharedInformerFactory, rules: ObjectKey) -> None:
        self.client = client
        # Only metadata: of a namespace nothing else is needed. Only one ConfigMap: the server selects it.
        self.namespaces = factory.informer(NAMESPACES, metadata_only=True)
        self.rules = factory.informer(
            CONFIGMAPS, namespace=rules.namespace, field_selector=f"metadata.name={rules.name}"
        )
        self.key = rules
        self.controller = (
            Controller("namespace labels", self.reconcile)
            .watches(self.namespaces)
            .watches(self.rules, map=lambda _: self.namespaces.lister.keys())
        )

    async def reconcile(self, key: ObjectKey) -> None:
        """Have one namespace labelled as the rules say."""
        namespace = self.namespaces.lister.get(key)
        if namespace is None or namespace.at("metadata.deletionTimestamp"):
            return
        wanted = self.labels_for(key.name)
        if applied_before(namespace) == wanted and wanted.items() <= namespace.labels.items():
            return
        try:
            await self.apply(namespace, wanted)
        except ApplyConflictError as error:
            for conflict in error.conflicts:
                log.warning("namespace %s: %s is left to %s", key.name, conflict.field, conflict.manager)
                wanted.pop(conflict.field.removeprefix(".metadata.labels."), None)
            await self.apply(namespace, wanted)

    async def apply(self, namespace: KubeObject, labels: dict[str, str]) -> None:
        """Have exactly these labels of this very namespace as ours."""
        manifest = {"metadata": {"name": namespace.name, "uid": namespace.uid, "labels": labels}}
        await self.client.apply(NAMESPACES, manifest, field_manager=MANAGER)

    def labels_for(self, name: str) -> dict[str, str]:
        """Return the labels that the rules set on a namespace: the last line that names a label counts."""
        rules = self.rules.lister.get(self.key)
        labels: dict[str, str] = {}
        for line in ("" if rules is None else rules.at("data.rules", "")).splitlines():
            pattern, _, rest = line.partition(":")
            if fnmatch.fnmatchcase(name, pattern.strip()):
                pairs = (pair.partition("=") for pair in rest.split(",") if "=" in pair)
                labels |= {key.strip(): value.strip() for key, _, value in pairs}
        return labels


def applied_before(namespace: KubeObject) -> dict[str, str]:
    """The labels that are ours by the server's books (`managedFields`), as they are now."""
    for entry in namespace.at("metadata.managedFields") or ():
        if entry["manager"] == MANAGER and entry["operation"] == "Apply":
            fields = entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:labels", {})
            names = [name.removeprefix("f:") for name in fields if name.startswith("f:")]
            return {name: namespace.labels.get(name, "") for name in names}
    return {}


async def main(arguments: argparse.Namespace) -> None:
    """Run until stopped."""
    config = await ClusterConfig.load(kubeconfig=arguments.kubeconfig, context=arguments.context)
    async with Client(config) as client:
        factory = SharedInformerFactory(client)
        labels = NamespaceLabels(client, factory, ObjectKey.parse(arguments.rules))
        async with factory:
            await labels.controller.run()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kubeconfig", help="instead of KUBECONFIG, ~/.kube/config or the pod's service account")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--rules", default="kube-system/namespace-labels", help="the ConfigMap, as namespace/name")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments()))
