"""A cluster with controllers, without HTTP, whose clock the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kinformer.testing import ApiServer

if TYPE_CHECKING:
    from collections.abc import Collection

Manifest = dict[str, Any]

APPS = "apps/v1"


class ClusterInTime:
    """An API server that does not listen, with controllers."""

    def __init__(self, controllers: str | Collection[str] = "all", *, nodes: int = 1) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.server = ApiServer(controllers=controllers, nodes=nodes, clock=lambda: self.now)
        self.server.settle()

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object, and let the controllers come to rest."""
        made = self.server.create(manifest)
        self.server.settle()
        return made

    def patch(self, api_version: str, kind: str, name: str, patch: Manifest, **more: str) -> None:
        """Patch an object, and let the controllers come to rest."""
        self.server.patch(api_version, kind, name, patch, **more)
        self.server.settle()

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "default", policy: str = "") -> None:
        """Delete an object as `kubectl delete --cascade` does, and let the controllers come to rest."""
        self.server.delete(api_version, kind, name, namespace, propagation_policy=policy)
        self.server.settle()

    def later(self, seconds: float, *, step: float = 1.0) -> None:
        """Let time pass in steps."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(self.now + timedelta(seconds=step), end)
            self.server.settle()

    def get(self, api_version: str, kind: str, name: str, namespace: str = "default") -> Manifest:
        """Return an object."""
        return self.server.get(api_version, kind, name, namespace)

    def status(self, api_version: str, kind: str, name: str) -> Manifest:
        """Return the status of an object."""
        status: Manifest = self.get(api_version, kind, name)["status"]
        return status

    def condition(self, api_version: str, kind: str, name: str, wanted: str) -> tuple[str, str]:
        """Return the status and the reason of a condition; ("", "") if it is absent."""
        for one in self.status(api_version, kind, name).get("conditions") or ():
            if one["type"] == wanted:
                return one["status"], one.get("reason", "")
        return "", ""

    def pods(self, **labels: str) -> list[Manifest]:
        """Return the pods with these labels that are not being deleted."""
        return [
            pod
            for pod in self.server.list("v1", "Pod")
            if labels.items() <= pod["metadata"].get("labels", {}).items()
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def images(self, app: str) -> list[str]:
        """Return the images of the pods of an application."""
        return sorted(pod["spec"]["containers"][0]["image"] for pod in self.pods(app=app))

    def names(self, api_version: str, kind: str) -> list[str]:
        """Return the names of the objects of a kind."""
        return [one["metadata"]["name"] for one in self.server.list(api_version, kind)]

    def events(self, kind: str) -> list[str]:
        """Return the reasons and messages of the Events about objects of a kind."""
        return [
            f"{event['reason']}: {event['message']}"
            for event in self.server.list("v1", "Event")
            if event["involvedObject"]["kind"] == kind
        ]
